"""Scores of a catalog of which most are a prior: ranks of them without a dense matrix."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrec.data.ranking import NOT_RANKED
from macrec.data.split import PADDING

Rows = NDArray[np.integer]


class SparseScores(NamedTuple):
    """Scores `[B, N]`: those `reached` (sparse, `[B, N]`) plus a `prior` `[N]` that all rows have."""

    reached: csr_array
    prior: NDArray[np.float64]

    def dense(self) -> NDArray[np.float64]:
        """The scores as a matrix `[B, N]`."""
        scores: NDArray[np.float64] = self.reached.toarray()
        scores += self.prior
        return scores

    def ranks(self, targets: NDArray[np.integer], exclude: NDArray[np.integer] | None = None) -> NDArray[np.int64]:
        """What `exact_ranks` gives for `dense()`, in a time that grows with what was reached instead of with N.

        Among equal scores the lowest item number comes first; `exclude` `[B, T]` holds items that are no candidates
        (`PADDING` excludes nothing), and a target among them is `NOT_RANKED`.
        """
        rows = np.arange(len(targets))
        own = np.asarray(self.reached[rows, targets]).ravel() + self.prior[targets]
        row = np.repeat(rows, np.diff(self.reached.indptr))
        item, prior = self.reached.indices, self.prior[self.reached.indices]

        def before(
            row: NDArray[np.integer], item: NDArray[np.integer], score: NDArray[np.float64]
        ) -> NDArray[np.bool_]:
            is_before: NDArray[np.bool_] = (score > own[row]) | ((score == own[row]) & (item < targets[row]))
            return is_before

        # What was reached stands where its score puts it, and not where its prior would.
        moved = before(row, item, self.reached.data + prior).astype(np.int64) - before(row, item, prior)
        ranks = 1 + self._before_by_prior(own, targets) + np.bincount(row, moved, len(rows)).astype(np.int64)
        if exclude is None:
            return ranks
        out = np.sort(exclude, axis=1)
        once = (out != PADDING) & (np.diff(out, axis=1, prepend=PADDING) != 0)
        row, item = np.nonzero(once)[0], out[once]
        gone = before(row, item, np.asarray(self.reached[row, item]).ravel() + self.prior[item])
        ranks -= np.bincount(row[gone], minlength=len(rows))
        return np.where((exclude == targets[:, None]).any(axis=1), NOT_RANKED, ranks)

    def _before_by_prior(self, own: NDArray[np.float64], targets: NDArray[np.integer]) -> NDArray[np.int64]:
        """How many items would come before each target if all others had their prior alone, `[B]`."""
        order = np.lexsort((np.arange(len(self.prior)), -self.prior))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        falling = -self.prior[order]
        above, until = (np.searchsorted(falling, -own, side) for side in ("left", "right"))
        alike = self.prior[targets] == own  # such a target stands among its equals itself
        counts = np.where(alike, place[targets], above)
        for row in np.flatnonzero(~alike & (until > above)):
            counts[row] += np.count_nonzero(order[above[row] : until[row]] < targets[row])
        return counts
