"""Training histories cut into windows, for models that predict the next item at every place of a sequence."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.data.split import Samples
from macrec.training import generator_for

SHUFFLE = 1
"""What the random order of an epoch is for, among the uses of a seed."""


class Windows(NamedTuple):
    """W pieces of histories: piece i reads `items[begin:end]` and learns the targets at places `first` to `end`.

    Places in the flat event array, `[W]` each. Items before `first` - 1 are read and not asked about.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, train: Samples, longest: int) -> Windows:
        """Pieces of at most `longest` items that hold every target of `train` once.

        The first piece of a user has the first `longest` targets, each with all that came before. Every further piece
        has the next half as many, and reads back as far as it may: so a target in it is told from at least
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


class WindowBatch(NamedTuple):
    """B windows: the `places` in the flat event array `[B, T]`, which of them are `inside` the window (the rest is
    padding on the right), and at which of them the event after is `asked` for, `[B, T]` bool.
    """

    places: Tensor
    inside: Tensor
    asked: Tensor


class WindowBatches:
    """The windows of `samples` in batches of about `batch`, each window once per epoch, in an order drawn from `seed`.

    Every target of the samples is asked for once per epoch.
    """

    def __init__(
        self, samples: Samples, longest: int, batch: int, seed: int, device: torch.device | str = "cpu"
    ) -> None:
        self.device, self.seed = torch.device(device), seed
        is_target = np.zeros(len(samples.items), bool)
        is_target[samples.target] = True
        windows = Windows.of(samples, longest)
        self.events, self.is_target, self.begin, self.end, self.first = (
            torch.tensor(column, device=device) for column in (samples.items, is_target, *windows)
        )
        before = torch.tensor(np.append(0, is_target.cumsum()), device=device)  # targets before each event
        self.targets = before[self.end + 1] - before[self.first]
        self.per_epoch = -(-len(self.begin) // batch)
        self._order: tuple[int, Tensor] | None = None

    def batch_size(self, step: int) -> int:
        """Targets in the batch of `step`."""
        return int(self.targets[self.rows(step)].sum())

    def batch(self, step: int) -> WindowBatch:
        """The windows of `step`."""
        rows = self.rows(step)
        places, inside = places_between(self.begin[rows], self.end[rows])
        following = (places + 1).clamp(max=len(self.events) - 1)
        return WindowBatch(places, inside, inside & (places + 1 >= self.first[rows, None]) & self.is_target[following])

    def rows(self, step: int) -> Tensor:
        """The numbers of the windows of `step`: an epoch is one random order of all, cut into equal parts."""
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.begin), generator=generator_for(self.seed, SHUFFLE, epoch))
            self._order = epoch, order.to(self.device)
        return self._order[1].tensor_split(self.per_epoch)[part]


def places_between(begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The places from `begin` to before `end`, `[B]` each, as a matrix `[B, T]`, and where it holds one of them."""
    longest = int((end - begin).max()) if len(begin) else 0
    places = begin[:, None] + torch.arange(longest, device=begin.device)
    return places, places < end[:, None]
