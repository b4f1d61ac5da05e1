"""The interface of a recommender: train on a split, as a stream of events, and rank items for histories."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import numpy as np

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
        """The k best items for each history (targets are not used), without those in it if `mask_seen`."""


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
        return self.rankings(samples, k, (mask_seen,))[0]

    def rankings(self, samples: Samples, k: int, masks: Sequence[bool]) -> list[Ranking]:
        """What `recommend` gives for each of `masks` (mask what is seen?), from one scoring of the histories."""
        rows = max(1, CELLS // self.num_items)
        parts = [samples.take(np.arange(at, min(at + rows, len(samples)))) for at in range(0, len(samples), rows)]
        batches = [
            [
                top_k(scores, k, exclude=part.padded() if mask_seen else None)
                for mask_seen, scores in zip(masks, self.scored(part, masks), strict=True)
            ]
            for part in parts or [samples]
        ]
        return [Ranking.stack(of_mask) for of_mask in zip(*batches, strict=True)]

    def scored(self, samples: Samples, masks: Sequence[bool]) -> list[Scores]:
        """The scores that each of `masks` ranks by: one and the same, unless a system has settings for each."""
        return [self.scores(samples)] * len(masks)


def rankings(system: System, samples: Samples, k: int, masks: Sequence[bool]) -> list[Ranking]:
    """The k best items of `system` for each of `masks`: one training and, where items are scored, one scoring.

    A beam search has to be made again, as masking decides which prefixes are kept.
    """
    if isinstance(system, ScoringSystem):
        return system.rankings(samples, k, masks)
    return [system.recommend(samples, k, mask_seen) for mask_seen in masks]


def learned(state: T | None, name: str) -> T:
    """`state`, or RuntimeError when system `name` has not learned it yet."""
    if state is None:
        raise RuntimeError(f"{name} is not trained yet: call fit first")
    return state
