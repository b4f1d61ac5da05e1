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


def test_a_vector_of_zeros_is_as_near_to_all_and_spoils_nothing():
    values = np.array([[1, 0], [0, 0], [0, 1], [0.9, 0.1]], np.float32)
    found = nearest(values, 3)
    assert found[0, 0] == 3 and found[2, 0] == 3
    assert sorted(found[1].tolist()) == [0, 2, 3]  # all at similarity 0, and never itself


def test_length_does_not_count_and_the_values_stay_as_they_were():
    values = np.random.default_rng(0).standard_normal((40, 5)).astype(np.float16)
    before = values.copy()
    stretched = values.astype(np.float32) * np.geomspace(1e-3, 1e3, 40, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(nearest(values, 4), nearest(stretched, 4))
    assert (values == before).all()


def test_purity_of_labels_nobody_shares_or_knows_is_nothing():
    neighbors = np.array([[1], [2], [0]])
    assert purity(neighbors, np.array([0, 1, 2])) == (0.0, 0.0)
    assert purity(neighbors, np.array([-1, -1, -1])) == (0.0, 0.0)
    assert purity(neighbors, np.array([4, -1, -1])) == (0.0, 0.0)


def test_random_neighbors_are_as_pure_as_chance():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 500, p=[0.6, 0.2, 0.1, 0.1])
    neighbors = np.stack([rng.permutation(np.delete(np.arange(500), row))[:20] for row in range(500)])
    same, chance = purity(neighbors, labels)
    assert same == pytest.approx(chance, abs=0.02)
