"""Collaborative vectors: the singular vectors of the positive PMI of transitions in training, and of nothing else."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.curio import curio
from macrec.data.histories import Histories
from macrec.data.split import item_counts, leave_one_out
from macrec.encoders.collaborative import collaborative_vectors, positive_pmi
from macrec.errors import NotApplicable

HISTORIES = st.lists(st.lists(st.integers(0, 8), min_size=4, max_size=9), min_size=2, max_size=12)


def split_of(lists):
    return leave_one_out(Histories.from_lists(lists))


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


def by_definition(lists, items):
    """PPMI `[N, N]` pair by pair, of histories without their last two events."""
    counts: Counter[tuple[int, int]] = Counter()
    for history in lists:
        training = history[:-2]
        for gap, weight in ((1, 1.0), (2, 0.5)):
            for one, other in zip(training, training[gap:], strict=False):
                counts[one, other] += weight
                counts[other, one] += weight
    total = sum(counts.values())
    each = [sum(counts[one, other] for other in range(items)) for one in range(items)]
    pmi = np.zeros((items, items))
    for (one, other), count in counts.items():
        if count:
            pmi[one, other] = max(0.0, log(count * total / (each[one] * each[other])))
    return pmi, np.array(each) > 0


@given(HISTORIES)
def test_the_matrix_is_what_the_definition_says(lists):
    pmi, present = positive_pmi(split_of(lists).train, 9)
    expected, has_any = by_definition(lists, 9)
    np.testing.assert_allclose(pmi.toarray(), expected, atol=1e-12)
    np.testing.assert_array_equal(present, has_any)


def test_the_vectors_are_those_of_a_dense_decomposition(data):
    split = data.split()
    vectors = collaborative_vectors(split, data.num_items, 16)
    matrix = positive_pmi(split.train, data.num_items)[0].toarray()
    left, lengths, _ = np.linalg.svd(matrix)
    values = vectors.values.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(values, axis=0), np.sqrt(lengths[:16]), rtol=1e-3)  # descending
    gap = -np.diff(lengths[:17]) > 1e-3 * lengths[0]  # a vector is defined where its singular value is single
    alone = gap & np.append(True, gap[:-1])
    assert alone.sum() > 5
    np.testing.assert_allclose(
        np.abs(values[:, alone]), np.abs(left[:, :16] * np.sqrt(lengths[:16]))[:, alone], atol=2e-3
    )
    assert (np.take_along_axis(values, np.abs(values).argmax(0)[None], 0) > 0).all()


def test_one_deviation_for_all_dimensions_keeps_their_weights(data):
    vectors = collaborative_vectors(data.split(), data.num_items, 16)
    x = vectors.standardized(np.flatnonzero(vectors.present))
    raw = vectors.values[vectors.present].astype(np.float64).std(0)
    np.testing.assert_allclose(x.std(0) / x.std(0)[0], raw / raw[0], rtol=1e-4)
    assert np.square(x).mean() == pytest.approx(1, rel=1e-3)


def test_validation_and_test_events_change_no_bit(data):
    histories = data.histories
    items = histories.items.copy()
    later = np.concatenate([histories.offsets[1:] - 1, histories.offsets[1:] - 2])
    items[later] = (items[later] + 7) % data.num_items
    one, other = (
        collaborative_vectors(leave_one_out(each), data.num_items)
        for each in (histories, replace(histories, items=items))
    )
    assert not np.array_equal(items, histories.items)
    assert one.values.tobytes() == other.values.tobytes() and np.array_equal(one.present, other.present)


def test_the_order_of_users_changes_no_bit_and_a_training_event_does(data):
    lists = np.split(data.histories.items, data.histories.offsets[1:-1])
    order = np.random.default_rng(1).permutation(len(lists))
    changed = [lists[0][::-1], *lists[1:]]
    one, again, permuted, other = (
        collaborative_vectors(split_of(each), data.num_items).values.tobytes()
        for each in (lists, lists, [lists[user] for user in order], changed)
    )
    assert one == again == permuted != other


def test_items_without_training_events_are_absent(data):
    split = data.split()
    vectors = collaborative_vectors(split, data.num_items)
    np.testing.assert_array_equal(vectors.present, item_counts(split, data.num_items) > 0)
    assert not vectors.present.all() and not vectors.values[~vectors.present].any()
    assert vectors.modality == "collaborative" and vectors.dim == 64


@given(HISTORIES.filter(lambda lists: by_definition(lists, 9)[0].any()))
def test_a_small_catalog_has_fewer_dimensions(lists):
    split = split_of(lists)
    vectors = collaborative_vectors(split, 9)
    pmi, present = positive_pmi(split.train, 9)
    rank = np.linalg.matrix_rank(pmi.toarray(), tol=1e-9)
    assert 1 <= vectors.dim <= min(rank, present.sum() - 1) and vectors.values.any(0).all()
    np.testing.assert_allclose(
        np.linalg.norm(vectors.values.astype(np.float64), axis=0) ** 2,
        np.linalg.svd(pmi.toarray())[1][: vectors.dim],
        rtol=3e-3,
    )


@pytest.mark.parametrize("lists", [[[0, 1], [2]], [[0, 0, 0, 0, 1, 2]], [[3, 0, 1], [4, 2, 1]]])
def test_where_no_item_follows_another_more_often_than_by_chance_there_is_no_such_modality(lists):
    lists = [history if len(history) > 2 else history[:1] for history in lists]
    with pytest.raises(NotApplicable, match=r'"collaborative": no item follows another.*leave this modality out'):
        collaborative_vectors(split_of(lists), 5)


def test_a_dimension_weighs_by_the_root_of_its_singular_value():
    vectors = collaborative_vectors(split_of([[0, 1, 4, 4], [0, 1, 4, 4], [2, 3, 4, 4]]), 5)
    pmi = by_definition([[0, 1, 4, 4], [0, 1, 4, 4], [2, 3, 4, 4]], 5)[0]
    assert float(np.linalg.norm(vectors.values[:, 0].astype(float))) == pytest.approx(
        sqrt(np.linalg.norm(pmi, 2)), rel=1e-3
    )
    with pytest.raises(ValueError, match="dim"):
        collaborative_vectors(split_of([[0, 1, 2, 3]]), 5, 0)
