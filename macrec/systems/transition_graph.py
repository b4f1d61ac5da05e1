"""A graph of transitions: the newest items of a history vote for what came after them, and near them, in training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts
from macrec.data.transitions import transition_counts
from macrec.evaluation.system import learned
from macrec.systems.registry import Entry
from macrec.systems.sparse_scores import SparseScores
from macrec.systems.text_knn import similar_texts
from macrec.systems.tuned import Settings, Tuned, history_weights
from macrec.training import Event

GAPS = 4
"""Transitions over so many steps are counted, each with weight 1 / gap."""
WALKED = 20
"""Entries that are kept of a row of the graph where it is walked twice."""
BACK_OFF = 1e-6
"""What popularity adds to the score of the most popular item: it decides where no vote does."""

GRID = {
    "texts": (0.0, 0.1, 0.2, 0.4, 0.8),
    "decay": (0.2, 0.35, 0.5, 0.65, 0.8),
    "damping": (0.0, 0.5, 1.0),
    "reverse": (0.0, 0.1, 0.3, 1.0),
}
"""The values that are tried, field after field: few, as fine differences on the validation users would be chance."""
WALKS = {"hops": (0.0, 0.5)}
"""Those that are tried at last: a second step costs more than all else."""


@dataclass(frozen=True)
class Votes(Settings):
    """How the items of a history vote.

    `decay`^age is the weight of an item, the newest having age 0. Its votes are its transition counts, `reverse` times
    as many for what came before it, divided by their sum to the power `damping`: at 0 counts vote, so that an item
    often met is heard more, at 1 each item has one vote. `hops` weighs what is reached over one item between, and
    `texts` the cosine of texts.
    """

    decay: float = 0.5
    damping: float = 0.5
    reverse: float = 0.0
    hops: float = 0.0
    texts: float = 0.0


class TransitionGraph(Tuned[Votes]):
    """A baseline without training: transition counts, their graph and the similarity of texts.

    Without `votes` validation users choose them. `texts=False`: who took what in which order, and nothing else;
    `walks=False`: two hops are not tried; `similar`: what `similar_texts` gives, where it is known already.
    """

    name = "transition graph"

    def __init__(
        self,
        votes: Votes | None = None,
        texts: bool = True,
        walks: bool = True,
        last: int = 20,
        similar: csr_array | None = None,
    ) -> None:
        super().__init__(votes)
        self.texts, self.walks, self.last, self.similar = texts, walks, last, similar
        self._counts: csr_array | None = None
        self._similar: csr_array | None = None
        self._prior: NDArray[np.float64] | None = None
        self._graphs: dict[Votes, tuple[csr_array, csr_array | None]] = {}

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Count transitions, compare texts and choose how they vote; there are no events."""
        self._counts = transition_counts(split.train, data.num_items, GAPS)
        self._similar = (similar_texts(data) if self.similar is None else self.similar) if self.texts else None
        counts = item_counts(split, data.num_items)
        self._prior = counts * (BACK_OFF / max(1, counts.max(initial=0)))
        self._graphs = {}
        grid = {name: values for name, values in GRID.items() if name != "texts" or self._similar is not None}
        self.choose(split, Votes(), grid, WALKS if self.walks else {})
        return iter(())

    @property
    def num_items(self) -> int:
        """N."""
        return len(learned(self._prior, self.name))

    def scores_with(self, samples: Samples, settings: Votes) -> SparseScores:
        """The votes of the newest `last` items of each history plus the back-off, `[B, N]`."""
        prior = learned(self._prior, self.name)
        votes, step = self._graph(settings)
        weights = history_weights(samples, self.num_items, settings.decay, self.last)
        reached = weights @ votes
        if step is not None:
            reached = reached + settings.hops * ((weights @ step) @ step)
        return SparseScores(reached.tocsr(), prior)

    def _graph(self, settings: Votes) -> tuple[csr_array, csr_array | None]:
        """The votes of every item, `[N, N]`, and one step of a walk, or None where no walk has two steps."""
        if settings not in self._graphs:
            counts = learned(self._counts, self.name)
            both = (counts + settings.reverse * counts.T).tocsr() if settings.reverse else counts
            votes = divided(both, settings.damping)
            if settings.texts and self._similar is not None:
                votes = (votes + settings.texts * self._similar).tocsr()
            self._graphs = {settings: (votes, strongest(divided(both, 1.0), WALKED) if settings.hops else None)}
        return self._graphs[settings]


def divided(counts: csr_array, power: float) -> csr_array:
    """Every row divided by its sum to this power; an empty row stays empty."""
    total = np.asarray(counts.sum(axis=1)).ravel()
    return (diags_array(np.where(total > 0, total, 1.0) ** -power) @ counts).tocsr()


def strongest(matrix: csr_array, k: int) -> csr_array:
    """The k largest entries of every row, among equals those of the lowest columns."""
    row = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((matrix.indices, -matrix.data, row))
    kept = order[np.arange(matrix.nnz) - matrix.indptr[row] < k]
    return coo_array((matrix.data[kept], (row[kept], matrix.indices[kept])), shape=matrix.shape).tocsr()


SYSTEM = Entry(
    name="transition graph",
    family="counting",
    idea="transition counts and similar texts of the newest items, weighted on validation users",
    make=lambda context, without: [TransitionGraph()],
    place=4,
    color="grey",
)
