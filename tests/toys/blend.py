"""Blend: what often follows the items of a history, plus what is popular. A system in one file."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split, item_counts
from macrec.evaluation.system import ScoringSystem
from macrec.systems import Entry
from macrec.systems.registry import named_without
from macrec.training import Event

TERMS = {"transitions": "how often an item followed one of the history", "popularity": "how often it was taken at all"}


class Blend(ScoringSystem):
    """Score of an item: its transitions from all items of the history, plus its share of the most popular item."""

    def __init__(self, without: Collection[str] = ()) -> None:
        self.name, self.without = named_without("Blend", without, TERMS), without
        self._follows: NDArray[np.float64] = np.zeros((0, 0))
        self._popularity: NDArray[np.float64] = np.zeros(0)

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Count; there are no events."""
        train = split.train
        self._follows = np.zeros((data.num_items, data.num_items))
        np.add.at(self._follows, (train.items[train.target - 1], train.targets), 1.0)
        counts = item_counts(split, data.num_items)
        self._popularity = counts / max(1, counts.max())
        return iter(())

    @property
    def num_items(self) -> int:
        """N."""
        return len(self._popularity)

    def scores(self, samples: Samples) -> Scores:
        """The sum of both terms, `[B, N]`."""
        history = samples.padded()  # [B, T], PADDING on the left
        found = np.zeros((len(samples), self.num_items))
        if "transitions" not in self.without:
            for column in history.T:
                found[column >= 0] += self._follows[column[column >= 0]]
        if "popularity" not in self.without:
            found += self._popularity
        return found


SYSTEM = Entry(
    name="Blend",
    family="counting",
    idea="what follows the items of the history, plus what is popular",
    make=lambda context, without: [Blend(without)],
    terms=TERMS,
)
