"""The interface of what `train` trains."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from macrec.training.events import Usage


class Task(Protocol):
    """What `train` trains: a module, its loss at every step and how it is measured."""

    @property
    def module(self) -> nn.Module:
        """Everything that is learned or remembered between steps, as parameters and buffers."""

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimize at `step`, counted from 0, and the named terms to report.

        Gradients are zero when it is called: to save memory a task may go backward through parts of the loss itself,
        and return the loss with those parts detached.
        """

    def batch_size(self, step: int) -> int:
        """How many samples the batch of `step` holds."""

    def stepped(self, step: int) -> None:
        """Called when the optimizer has made `step`."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """The numbers and code counts of an event; must leave the module as it is."""
