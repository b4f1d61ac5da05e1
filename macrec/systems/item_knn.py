"""Item neighbors: what the same people took who took the items of this history."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split, training_events
from macrec.evaluation.system import ScoringSystem, learned
from macrec.training import Event


class ItemKNN(ScoringSystem):
    """Score of an item: the sum, over the `last` items j of the history, of decay^age · cosine(j, item).

    The cosine is that of the two items' columns in the binary user-item matrix of training; an item is no neighbor of
    itself; the newest item has age 0. `popularity` times the training events orders what no neighbor reaches: small
    enough to decide only there. Source: the specification, 7.5.
    """

    name = "item-kNN"

    def __init__(self, decay: float = 1.0, last: int = 20, popularity: float = 1e-7) -> None:
        if not 0 < decay <= 1 or last < 1 or popularity < 0:
            found = f"{decay}, {last} and {popularity}"
            raise ValueError(f"decay must be in (0, 1], last at least 1 and popularity not negative, got {found}")
        self.decay, self.last, self.popularity = decay, last, popularity
        self._cosine: csr_array | None = None
        self._prior: NDArray[np.float64] | None = None

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Count who took both of two items; there are no events."""
        user, item = training_events(split)
        shape = (int(user.max(initial=0)) + 1, data.num_items)
        taken = coo_array((np.ones(len(user)), (user, item)), shape=shape).tocsr()
        taken.data[:] = 1.0  # taken twice counts once
        takers = taken.sum(axis=0)
        together = (taken.T @ taken).tocsr()
        together.setdiag(0.0)
        together.eliminate_zeros()
        scale = diags_array(1.0 / np.sqrt(np.maximum(takers, 1.0)))
        self._cosine = (scale @ together @ scale).tocsr()
        self._prior = np.bincount(item, minlength=data.num_items) * np.float64(self.popularity)
        return iter(())

    @property
    def num_items(self) -> int:
        """N."""
        return len(learned(self._prior, self.name))

    def scores(self, samples: Samples) -> Scores:
        """The weighted sum of cosines plus the share of popularity, `[B, N]`."""
        cosine, prior = learned(self._cosine, self.name), learned(self._prior, self.name)
        found = (self.history_weights(samples) @ cosine).toarray()
        found += prior
        return np.asarray(found, np.float64)

    def history_weights(self, samples: Samples) -> csr_array:
        """decay^age of the newest `last` items of each history, a sparse `[B, N]`; an item met twice adds up."""
        length = np.minimum(samples.lengths, self.last)
        offsets = np.concatenate([[0], np.cumsum(length)])
        age = np.repeat(offsets[1:], length) - np.arange(offsets[-1]) - 1
        place = np.repeat(samples.target, length) - 1 - age
        return csr_array((self.decay**age, samples.items[place], offsets), shape=(len(samples), self.num_items))
