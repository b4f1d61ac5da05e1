"""Nearest neighbors against scikit-learn, and what purity and overlap mean."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from macrec.encoders import Embeddings
from macrec.encoders import neighbors as module
from macrec.encoders.neighbors import Neighborhoods, agreement, nearest, neighborhoods, overlap, purity


def test_nearest_equals_scikit_learn(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 37 * 200)  # several blocks, the last one short
    values = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    oracle = NearestNeighbors(n_neighbors=6, metric="cosine").fit(values).kneighbors(return_distance=False)
    np.testing.assert_array_equal(nearest(values, 6), oracle)
    some = np.array([7, 3, 150])
    np.testing.assert_array_equal(nearest(values, 6, some), oracle[some])


def test_no_row_is_its_own_neighbor_even_among_duplicates():
    values = np.ones((5, 3), np.float32)
    assert all(row not in found for row, found in enumerate(nearest(values, 4)))


@pytest.mark.parametrize("k", [0, 5])
def test_too_many_neighbors_are_refused(k):
    with pytest.raises(ValueError, match="k must be from 1 to 4"):
        nearest(np.ones((5, 2), np.float32), k)


def of_labels(neighbors, labels):
    """Purity where every item is looked at and may be near."""
    return purity(labels, labels[neighbors], labels)


def test_purity_counts_known_pairs_only():
    neighbors = np.array([[1, 2], [0, 3], [3, 1], [2, 0]])
    same, chance = of_labels(neighbors, np.array([0, 0, 1, -1]))
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
    assert of_labels(neighbors, np.array([0, 1, 2])) == (0.0, 0.0)
    assert of_labels(neighbors, np.array([-1, -1, -1])) == (0.0, 0.0)
    assert of_labels(neighbors, np.array([4, -1, -1])) == (0.0, 0.0)


def test_random_neighbors_are_as_pure_as_chance():
    rng = np.random.default_rng(0)
    labels = rng.choice(4, 500, p=[0.6, 0.2, 0.1, 0.1])
    neighbors = np.stack([rng.permutation(np.delete(np.arange(500), row))[:20] for row in range(500)])
    same, chance = of_labels(neighbors, labels)
    assert same == pytest.approx(chance, abs=0.02)


def made(modality, present, width=4):
    values = np.random.default_rng(len(modality)).standard_normal((len(present), width))
    return Embeddings.from_values(modality, "made", np.where(present[:, None], values, 0).astype(np.float32), present)


def test_neighborhoods_hold_item_rows_of_those_that_have_the_modality():
    present = np.arange(40) % 3 > 0
    rows, near, among = neighborhoods({"image": made("image", present)})["image"]
    assert rows.tolist() == among.tolist() == np.flatnonzero(present).tolist() and near.shape == (len(rows), 10)
    assert present[near].all() and (near != rows[:, None]).all()
    few = neighborhoods({"text": made("text", np.ones(5, bool))})["text"].near
    assert np.sort(few, axis=1).tolist() == [[k for k in range(5) if k != row] for row in range(5)]


def test_a_sample_of_items_is_the_same_for_every_modality_and_finds_the_same_neighbors():
    embeddings = {"text": made("text", np.ones(60, bool)), "image": made("image", np.arange(60) % 2 == 0)}
    whole, part = neighborhoods(embeddings), neighborhoods(embeddings, limit=20)
    assert len(part["text"].rows) == 20 and set(part["image"].rows) <= set(part["text"].rows)
    for modality, (rows, near, among) in part.items():
        place = np.searchsorted(whole[modality].rows, rows)
        assert (near == whole[modality].near[place]).all() and (among == whole[modality].among).all()


def test_agreement_is_counted_item_by_item():
    text = Neighborhoods(np.array([0, 1, 2, 5]), np.array([[1, 2], [0, 5], [0, 1], [2, 1]]), np.arange(6))
    image = Neighborhoods(np.array([1, 2, 4, 5]), np.array([[5, 0], [4, 5], [0, 3], [1, 2]]), np.arange(6))
    agreed = agreement({"text": text, "image": image})
    assert agreed.overlap.tolist() == [2, 0, 2] and agreed.mean == pytest.approx(4 / 3) and agreed.k == 2


@pytest.mark.parametrize(("first_image", "k_image"), [(0, 50), (360, 50), (200, 20)])
def test_unrelated_modalities_share_what_chance_says(first_image, k_image):
    rng = np.random.default_rng(0)

    def random(items, k):
        near = np.stack([rng.choice(items[items != item], k, replace=False) for item in items])
        return Neighborhoods(items, near, items)

    text, image = random(np.arange(400), 50), random(np.arange(first_image, first_image + 400), k_image)
    agreed = agreement({"text": text, "image": image})
    assert agreed.overlap.mean() == pytest.approx(agreed.chance, rel=0.15)


def test_one_modality_alone_agrees_with_nothing():
    agreed = agreement(neighborhoods({"text": made("text", np.ones(20, bool))}))
    assert agreed.mean is None and len(agreed.overlap) == 0
