"""What a recommender is: it learns from a split, as a stream of events, and answers histories with a ranking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking, Scores, top_k
from macrec.data.split import Samples, Split
from macrec.training import Event

T = TypeVar("T")

CELLS = 1 << 24
"""Scores held at a time, 128 MiB of float64."""


class System(Protocol):
    """A recommender. Each cuts the histories to the length it reads; what is masked is the whole history given."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Learn from `split.train`, and choose by `split.valid` if at all; run to the end, as `drain` does."""

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items for each history (targets are not looked at), without those in it if `mask_seen`."""


class ScoringSystem(ABC):
    """A `System` that scores every item, and ranks by that."""

    name: str

    @abstractmethod
    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """See `System.fit`."""

    @abstractmethod
    def scores(self, samples: Samples) -> Scores:
        """How fitting every item is for each history, `[B, N]`, higher is better; may be read-only."""

    @property
    @abstractmethod
    def num_items(self) -> int:
        """N."""

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k items scored best, among equals the lowest item number first; a part of the users at a time."""
        rows = max(1, CELLS // self.num_items)
        parts = [samples.take(np.arange(at, min(at + rows, len(samples)))) for at in range(0, len(samples), rows)]
        return Ranking.stack(
            [top_k(self.scores(part), k, exclude=part.padded() if mask_seen else None) for part in parts or [samples]]
        )


def learned(state: T | None, name: str) -> T:
    """`state`, or RuntimeError when system `name` has not learned it yet."""
    if state is None:
        raise RuntimeError(f"{name} has learned nothing yet: call fit first")
    return state


def training_events(split: Split) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The user and the item of every event in a training sample, once each, `[E]` both, in order.

    After `leave_one_out` that is all but the last two events of each user. A user of whom only one event is left
    gives no sample, so that event does not count.
    """
    train = split.train
    edges = np.zeros(len(train.items) + 1, np.int64)
    np.add.at(edges, train.start, 1)
    np.add.at(edges, train.target + 1, -1)
    place = np.flatnonzero(np.cumsum(edges) > 0)
    # The user of an event is that of the next training target: a sample never spans two users.
    order = np.argsort(train.target, kind="stable")
    user = train.user[order[np.searchsorted(train.target[order], place)]]
    return user, train.items[place]


def item_counts(split: Split, num_items: int) -> NDArray[np.int64]:
    """Training events of every item, `[N]`: its popularity. An item with none is cold."""
    return np.bincount(training_events(split)[1], minlength=num_items)
