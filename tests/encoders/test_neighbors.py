"""Nearest neighbors against scikit-learn, and what purity and overlap mean."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from macrec.encoders import neighbors as module
from macrec.encoders.neighbors import nearest, overlap, purity


def test_nearest_equals_scikit_learn(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 37)  # several chunks, the last one short
    values = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    oracle = NearestNeighbors(n_neighbors=6, metric="cosine").fit(values).kneighbors(return_distance=False)
    np.testing.assert_array_equal(nearest(values, 6), oracle)


def test_no_row_is_its_own_neighbor_even_among_duplicates():
    values = np.ones((5, 3), np.float32)
    assert all(row not in found for row, found in enumerate(nearest(values, 4)))


@pytest.mark.parametrize("k", [0, 5])
def test_too_many_neighbors_are_refused(k):
    with pytest.raises(ValueError, match="k must be from 1 to 4"):
        nearest(np.ones((5, 2), np.float32), k)


def test_purity_counts_known_pairs_only():
    neighbors = np.array([[1, 2], [0, 3], [3, 1], [2, 0]])
    same, chance = purity(neighbors, np.array([0, 0, 1, -1]))
    # Known pairs: 0-1, 0-2, 1-0, 2-1; equal labels: 0-1, 1-0. Random pairs of {0, 0, 1}: 2 of 6.
    assert (same, chance) == (pytest.approx(2 / 4), pytest.approx(2 / 6))


def test_overlap_counts_shared_neighbors():
    assert overlap(np.array([[1, 2, 3], [4, 5, 6]]), np.array([[3, 1, 9], [7, 8, 9]])).tolist() == [2, 0]
