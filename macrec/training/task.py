"""The interface of what `train` trains."""

from __future__ import annotations

from collections.abc import Callable
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


def weights_at(task: Task, step: int) -> dict[str, float]:
    """What the terms of `losses` are multiplied with in the last step of an event at `step`.

    A task whose terms have weights says so in `loss_weights(step)`; terms that it does not name have the weight 1.
    """
    of_task: Callable[[int], dict[str, float]] | None = getattr(task, "loss_weights", None)
    return {} if of_task is None else of_task(step - 1)
