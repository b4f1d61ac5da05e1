"""Ranking metrics against the toy values of the specification (T7) and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from macrec.evaluation.metrics import NOT_RANKED, hit_rate, ndcg, ranking_metrics


def test_toy_ranks_give_the_values_of_the_specification():
    ranks = [1, 3, 11, NOT_RANKED, 7]
    assert [hit_rate(ranks, k) for k in (1, 5, 10)] == pytest.approx([0.2, 0.4, 0.6])
    assert [ndcg(ranks, k) for k in (1, 5, 10)] == pytest.approx([0.2, 0.3, 0.366667], abs=1e-6)
    assert ranking_metrics(ranks)["NDCG@10"] == ndcg(ranks, 10)


def test_toy_ranks_of_mscgrec():  # its T9
    ranks = [1, 3, 11, NOT_RANKED, 5]
    assert [hit_rate(ranks, k) for k in (1, 5, 10)] == pytest.approx([0.2, 0.6, 0.6])
    assert [ndcg(ranks, k) for k in (1, 5, 10)] == pytest.approx([0.2, 0.377371, 0.377371], abs=1e-6)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=20), st.integers(1, 30))
def test_ndcg_equals_scikit_learn(ranks, k):
    relevance = np.zeros((len(ranks), 30))
    relevance[np.arange(len(ranks)), np.array(ranks) - 1] = 1
    scores = np.tile(-np.arange(30.0), (len(ranks), 1))
    assert ndcg(ranks, k) == pytest.approx(ndcg_score(relevance, scores, k=k))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 29))
def test_a_longer_list_never_lowers_a_metric_and_ndcg_never_exceeds_the_hit_rate(ranks, k):
    assert hit_rate(ranks, k) <= hit_rate(ranks, k + 1)
    assert ndcg(ranks, k) <= ndcg(ranks, k + 1) + 1e-12
    assert ndcg(ranks, k) <= hit_rate(ranks, k) + 1e-12


def test_nothing_to_average_is_refused():
    with pytest.raises(ValueError, match="no ranks"):
        hit_rate([], 10)
    with pytest.raises(ValueError, match="at least 1"):
        ndcg([1], 0)
