"""Ranks of sparse scores are those of the dense matrix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from macrec.data.ranking import exact_ranks
from macrec.systems.sparse_scores import SparseScores


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 9), st.booleans())
def test_ranks_equal_those_of_the_matrix(seed, rows, items, fine):
    rng = np.random.default_rng(seed)
    # Few distinct values, so that ties of every kind occur: reached with reached, with a prior, and prior with prior.
    reached = rng.integers(0, 3, (rows, items)) * (rng.random((rows, items)) < 0.5) * (0.1 if fine else 1.0)
    scores = SparseScores(csr_array(reached), rng.integers(0, 3, items) * 1.0)
    np.testing.assert_array_equal(scores.dense(), reached + scores.prior)
    targets = rng.integers(0, items, rows)
    seen = rng.integers(-1, items, (rows, 4))
    for exclude in (None, seen):
        np.testing.assert_array_equal(scores.ranks(targets, exclude), exact_ranks(scores.dense(), targets, exclude))
