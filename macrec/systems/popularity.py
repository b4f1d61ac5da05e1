"""Rank the items by their number of training events, the same for every user."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split, item_counts
from macrec.evaluation.system import ScoringSystem, learned
from macrec.systems.registry import Entry
from macrec.training import Event


class Popularity(ScoringSystem):
    """Score of an item: its training events, for every user alike."""

    name = "popularity"

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] | None = None

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Count; there are no events."""
        self._counts = item_counts(split, data.num_items)
        return iter(())

    @property
    def num_items(self) -> int:
        """N."""
        return len(learned(self._counts, self.name))

    def scores(self, samples: Samples) -> Scores:
        """Training events of every item, `[B, N]`, one row seen B times."""
        counts = learned(self._counts, self.name).astype(np.float64)
        return np.broadcast_to(counts, (len(samples), len(counts)))


SYSTEM = Entry(
    name="popularity",
    family="counting",
    idea="the most frequent items, the same for every user",
    make=lambda context, without: [Popularity()],
    place=1,
    color="black",
)
