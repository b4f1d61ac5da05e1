"""Training SASRec: pieces of histories that hold every target once, and the loss over all items at every place."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from macrec.data.split import Samples
from macrec.errors import NotApplicable
from macrec.systems.sasrec_network import SHUFFLE, SASRecNetwork, SASRecRecipe
from macrec.training import VALIDATION_LOSS, Keep, Plan, Usage, Watch, generator_for


class Windows(NamedTuple):
    """W pieces of histories: piece i reads `items[begin:end]` and learns the targets at places `first` to `end`.

    Places in the flat event array, `[W]` each. Items before `first` - 1 are inputs and not targets.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, train: Samples, longest: int) -> Windows:
        """Pieces of at most `longest` items that hold every target of `train` once.

        The first piece of a user has the first `longest` targets, each with all that came before. Every further piece
        has the next half as many, and reads back as far as it may: so a target in it is predicted from at least
        `longest // 2 + 1` items. A user's items are those in any of the samples, so it does not matter how short
        their histories were cut.
        """
        order = np.argsort(train.target)
        user, target = train.user[order], train.target[order]
        head = np.flatnonzero(np.diff(user, prepend=-1))
        oldest = np.minimum.reduceat(train.start[order], head)
        oldest = np.repeat(oldest, np.diff(head, append=len(user)))
        number = target - oldest - 1
        piece = np.maximum(0, (number - longest) // -(-longest // 2) + 1)
        edge = np.flatnonzero((np.diff(user, prepend=-1) != 0) | (np.diff(piece, prepend=0) != 0))
        end = target[np.append(edge[1:], len(target)) - 1]
        return cls(np.maximum(oldest[edge], end - longest), end, target[edge])


class SASRecTraining:
    """A `Task` for `macrec.training.train`: a network and the targets of `samples`, each once per epoch.

    `measure_with` gives the numbers of a measurement. Raises NotApplicable when there are no samples.
    """

    def __init__(
        self,
        module: SASRecNetwork,
        samples: Samples,
        recipe: SASRecRecipe,
        measure_with: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        if len(samples) == 0:
            raise NotApplicable("there is nothing to train on", fix="give histories of 2 items or more")
        self.module, self.recipe, self.measure_with = module, recipe, measure_with
        self.device = next(module.parameters()).device
        is_target = np.zeros(len(samples.items), bool)
        is_target[samples.target] = True
        windows = Windows.of(samples, recipe.max_history)
        self.events, self.is_target, self.begin, self.end, self.first = (
            torch.tensor(column, device=self.device) for column in (samples.items, is_target, *windows)
        )
        before = torch.tensor(np.append(0, is_target.cumsum()), device=self.device)  # targets before each event
        self.targets = before[self.end + 1] - before[self.first]
        self.per_epoch = -(-len(self.begin) // recipe.batch)
        self._order: tuple[int, Tensor] | None = None

    def plan(self, reports: int = 200) -> Plan:
        """The plan of this training, with about so many events, and a measurement after each epoch."""
        steps = self.recipe.epochs * self.per_epoch
        keep = (Keep("NDCG@10/validation", "highest"),) if self.measure_with is not None else ()
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=self.per_epoch,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            decay=self.recipe.decay,
            tables=("embedding", "age"),
            schedule="constant",
            keep=keep,
            watch=(Watch(VALIDATION_LOSS),) if keep else (),
            patience=self.recipe.patience if keep else None,
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """-log p of the next item, in nats: the mean over the M targets of a batch, whose logits `[M, N]` are held."""
        place, inside, asked = self.batch(step)
        states = self.module(self.events[place], inside)[asked]
        loss = cross_entropy(self.module.logits(states), self.events[place[asked] + 1].long())
        return loss, {"next item": loss}

    def batch_size(self, step: int) -> int:
        """Targets in the batch of `step`."""
        return int(self.targets[self._rows(step)].sum())

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """The measurements of `measure_with`."""
        return (self.measure_with() if self.measure_with is not None else {}), {}

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs and targets of the B windows of `step`: an epoch is one random order of all, cut into equal parts.

        The places in the event array that are read, `[P]`; which places of a matrix they fill row by row, `[B, T]`;
        and `[P]` whether the event after a place is to be predicted there.
        """
        rows = self._rows(step)
        matrix, inside = places(self.begin[rows], self.end[rows])
        place = matrix[inside]
        new = (matrix + 1 >= self.first[rows, None])[inside]
        return place, inside, new & self.is_target[place + 1]

    def _rows(self, step: int) -> Tensor:
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.begin), generator=generator_for(self.recipe.seed, SHUFFLE, epoch))
            self._order = epoch, order.to(self.device)
        return self._order[1].tensor_split(self.per_epoch)[part]


def places(begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The places from `begin` to before `end`, `[B]` each, as a matrix `[B, T]`, and where it holds one of them."""
    longest = int((end - begin).max()) if len(begin) else 0
    place = begin[:, None] + torch.arange(longest, device=begin.device)
    return place, place < end[:, None]
