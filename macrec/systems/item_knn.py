"""Item-kNN: items with many users in common with the items of the history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts, training_events
from macrec.evaluation.system import learned
from macrec.systems.registry import Entry
from macrec.systems.sparse_scores import SparseScores
from macrec.systems.tuned import Settings, Tuned, history_weights
from macrec.training import Event

DECAYS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
"""The decays that are tried."""


@dataclass(frozen=True)
class Neighborhood(Settings):
    """How much the items of a history count: decay^age, the `last` newest of them."""

    decay: float
    last: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or self.last < 1:
            raise ValueError(f"decay must be in (0, 1] and last at least 1, got {self.decay} and {self.last}")


class ItemKNN(Tuned[Neighborhood]):
    """Score of an item: the sum, over the `last` items j of the history, of decay^age · cosine(j, item).

    The cosine is that of the two items' columns in the binary user-item matrix of training; an item is no neighbor of
    itself; the newest item has age 0. Without a `decay` validation users choose it. `popularity` times the training
    events orders what no neighbor reaches: small enough to decide only there. Source: the specification, 7.5.
    """

    name = "item-kNN"

    def __init__(self, decay: float | None = None, last: int = 20, popularity: float = 1e-7) -> None:
        if popularity < 0:
            raise ValueError(f"popularity must not be negative, got {popularity}")
        super().__init__(None if decay is None else Neighborhood(decay, last))
        self.last, self.popularity = Neighborhood(1.0, last).last, popularity
        self._cosine: csr_array | None = None
        self._prior: NDArray[np.float64] | None = None

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Compare all items, and choose the decay; there are no events."""
        self._cosine = self.similarity(data, split)
        self._prior = item_counts(split, data.num_items) * np.float64(self.popularity)
        self.choose(split, Neighborhood(DECAYS[0], self.last), {"decay": DECAYS})
        return iter(())

    def similarity(self, data: Dataset, split: Split) -> csr_array:
        """How alike two items are, `[N, N]`: the cosine of who took them."""
        user, item = training_events(split)
        shape = (int(user.max(initial=0)) + 1, data.num_items)
        taken = coo_array((np.ones(len(user)), (user, item)), shape=shape).tocsr()
        taken.data[:] = 1.0  # taken twice counts once
        takers = taken.sum(axis=0)
        together = (taken.T @ taken).tocsr()
        together.setdiag(0.0)
        together.eliminate_zeros()
        scale = diags_array(1.0 / np.sqrt(np.maximum(takers, 1.0)))
        return (scale @ together @ scale).tocsr()

    @property
    def num_items(self) -> int:
        """N."""
        return len(learned(self._prior, self.name))

    def scores_with(self, samples: Samples, settings: Neighborhood) -> SparseScores:
        """The weighted sum of cosines plus the share of popularity, `[B, N]`."""
        cosine, prior = learned(self._cosine, self.name), learned(self._prior, self.name)
        return SparseScores(history_weights(samples, self.num_items, settings.decay, settings.last) @ cosine, prior)


SYSTEM = Entry(
    name="item-kNN",
    family="counting",
    idea="items with many users in common with the items of the history",
    make=lambda context, without: [ItemKNN()],
    place=3,
    color="sky",
)
