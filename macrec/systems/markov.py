"""A first-order Markov chain: what most often came next after the last item."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split, item_counts
from macrec.evaluation.system import ScoringSystem, learned
from macrec.systems.registry import Entry
from macrec.training import Event


class Markov(ScoringSystem):
    """Score of item j after item i: how often j directly followed i in training, and less than 1 for popularity.

    So the chain decides, and popularity where it is silent or undecided (the back-off of the specification, 7.5).
    """

    name = "Markov-1"

    def __init__(self) -> None:
        self._follows: csr_array | None = None
        self._backoff: NDArray[np.float64] | None = None

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Count transitions, one per training sample; there are no events."""
        train, shape = split.train, (data.num_items, data.num_items)
        last = train.items[train.target - 1]
        self._follows = coo_array((np.ones(len(train)), (last, train.targets)), shape=shape).tocsr()
        counts = item_counts(split, data.num_items)
        self._backoff = counts / (counts.max(initial=0) + 1)
        return iter(())

    @property
    def num_items(self) -> int:
        """N."""
        return len(learned(self._backoff, self.name))

    def scores(self, samples: Samples) -> Scores:
        """Transitions from each history's last item plus the back-off, `[B, N]`."""
        follows = learned(self._follows, self.name)[samples.items[samples.target - 1]].toarray()
        follows += learned(self._backoff, self.name)
        return np.asarray(follows, np.float64)


SYSTEM = Entry(
    name="Markov-1",
    family="counting",
    idea="the items that most often followed the last one",
    make=lambda context, without: [Markov()],
    place=2,
    color="yellow",
)
