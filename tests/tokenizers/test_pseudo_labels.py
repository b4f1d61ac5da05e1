"""Pseudo-labels: clusters of the standardized vectors of the items that have one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from macrec.encoders.embeddings import Embeddings
from macrec.tokenizers.pseudo_labels import pseudo_labels


def embeddings(values, present=None):
    return Embeddings.from_values("text", "made up", np.asarray(values, np.float32), present)


def test_separated_clusters_are_found_as_scikit_learn_finds_them():
    values, truth = make_blobs(600, 6, centers=8, cluster_std=0.1, random_state=1)
    values[:, 0] *= 1000  # one dominating dimension, which standardizing makes harmless
    found = pseudo_labels(embeddings(values), 8)
    oracle = KMeans(8, n_init=10, random_state=0).fit_predict((values - values.mean(0)) / values.std(0))
    assert adjusted_rand_score(oracle, found) == 1 == adjusted_rand_score(truth, found)


def test_without_standardizing_a_long_dimension_would_decide():
    rng = np.random.default_rng(0)
    sides = np.repeat([0, 1], 100)
    values = np.column_stack([1e4 * rng.standard_normal(200), 10 * sides[:, None] + rng.normal(0, 0.1, (200, 6))])
    assert adjusted_rand_score(sides, pseudo_labels(embeddings(values), 2)) == 1
    assert adjusted_rand_score(sides, KMeans(2, n_init=10, random_state=0).fit_predict(values)) < 0.5


@settings(max_examples=40)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10**6), st.booleans())
def test_absent_items_have_no_label_and_the_others_one_of_the_clusters(n, clusters, seed, balanced):
    rng = np.random.default_rng(seed)
    present = rng.random(n) < 0.7
    values = (rng.integers(0, 4, (n, 2)) + 1.0) * present[:, None]
    labels = pseudo_labels(embeddings(values, present), clusters, seed, balanced)
    assert labels.shape == (n,) and labels.dtype == np.int32
    np.testing.assert_array_equal(labels == -1, ~present)
    kinds = len(np.unique(values[present], axis=0))
    used = np.unique(labels[present])
    assert len(used) == min(clusters, kinds) and set(used) == set(range(len(used)))
    sizes = np.bincount(labels[present], minlength=1)
    assert not balanced or sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(labels, pseudo_labels(embeddings(values, present), clusters, seed, balanced))
    if not balanced:
        assert len(np.unique(np.column_stack([values, labels])[present], axis=0)) == kinds, (
            "equal vectors, equal labels"
        )


def test_absent_items_do_not_change_the_others():
    values = make_blobs(200, 4, centers=10, random_state=0)[0].astype(np.float32)
    gaps = np.zeros((300, 4), np.float32)
    rows = np.sort(np.random.default_rng(0).permutation(300)[:200])
    gaps[rows] = values
    np.testing.assert_array_equal(pseudo_labels(embeddings(gaps), 10)[rows], pseudo_labels(embeddings(values), 10))


def test_a_catalog_without_any_vector_has_no_labels():
    assert pseudo_labels(embeddings(np.zeros((3, 2)))).tolist() == [-1, -1, -1]


def test_no_clusters_is_an_error():
    with pytest.raises(ValueError, match="clusters must be 1 or more"):
        pseudo_labels(embeddings(np.ones((3, 2))), 0)
