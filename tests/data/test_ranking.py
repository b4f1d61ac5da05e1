"""Rankings: what they refuse, deterministic top-k against sorting, exact ranks against counting by hand."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from macrec.data.ranking import NOT_RANKED, Ranking, exact_ranks, top_k
from macrec.data.split import PADDING

INF = np.inf


@st.composite
def scored(draw):
    """Scores `[B, N]` with many ties, what is allowed, and excluded items padded and repeated."""
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    scores = rng.integers(0, 3, shape).astype(draw(st.sampled_from([np.float32, np.float64])))
    scores[rng.random(shape) < 0.1] = -INF
    allowed = rng.random(shape if draw(st.booleans()) else shape[1]) < 0.8
    exclude = rng.integers(PADDING, shape[1], (shape[0], draw(st.integers(0, 5))))
    return scores, allowed, exclude, rng


def sorted_by_hand(row, may, k):
    """Items of one row, best first, equals by number, with Python's sort."""
    items = [item for item in range(len(row)) if may[item] and row[item] > -INF]
    return sorted(items, key=lambda item: (-row[item], item))[:k]


def candidates(scores, allowed, exclude):
    may = np.broadcast_to(allowed, scores.shape).copy()
    for row, items in enumerate(exclude):
        may[row, items[items != PADDING]] = False
    return may


@given(scored(), st.integers(1, 10))
def test_top_k_is_the_head_of_a_stable_sort_of_what_may_be_recommended(case, k):
    scores, allowed, exclude, _ = case
    before = scores.copy()
    found = top_k(scores, k, allowed, exclude)
    may = candidates(scores, allowed, exclude)
    for row in range(len(scores)):
        best = sorted_by_hand(scores[row], may[row], k)
        blank = found.k - len(best)
        assert found.items[row].tolist() == best + [PADDING] * blank
        assert found.scores[row].tolist() == scores[row][best].tolist() + [-INF] * blank
    assert found.k == min(k, scores.shape[1])
    assert found.scores.dtype == scores.dtype
    np.testing.assert_array_equal(scores, before)  # the caller's scores stay as they are


@given(scored())
def test_an_exact_rank_is_the_place_in_a_list_of_all_items(case):
    scores, _, exclude, rng = case
    targets = rng.integers(0, scores.shape[1], len(scores))
    whole = top_k(scores, scores.shape[1], exclude=exclude)
    assert exact_ranks(scores, targets, exclude).tolist() == whole.rank_of(targets).tolist()
    assert exact_ranks(scores, targets).tolist() == top_k(scores, scores.shape[1]).rank_of(targets).tolist()


@given(scored())
def test_a_pessimistic_rank_counts_every_other_candidate_with_the_same_score_as_ahead(case):
    scores, _, exclude, rng = case
    targets = rng.integers(0, scores.shape[1], len(scores))
    may = candidates(scores, np.ones(scores.shape[1], bool), exclude)
    found = exact_ranks(scores, targets, exclude, ties="pessimistic")
    for row, target in enumerate(targets):
        in_play = may[row, target] and scores[row, target] > -INF
        ahead = sum(may[row] & (scores[row] >= scores[row, target]))  # itself included
        assert found[row] == (ahead if in_play else NOT_RANKED)
    assert (found >= exact_ranks(scores, targets, exclude)).all()


def test_without_ties_the_two_ways_to_rank_agree():
    scores = np.random.default_rng(0).permuted(np.tile(np.arange(50.0), (20, 1)), axis=1)
    targets = np.arange(20)
    assert exact_ranks(scores, targets).tolist() == exact_ranks(scores, targets, ties="pessimistic").tolist()
    assert exact_ranks(scores, targets).tolist() == (50 - scores[np.arange(20), targets]).astype(int).tolist()


def test_read_only_scores_are_welcome():
    scores = np.broadcast_to(np.array([1.0, 3.0, 2.0]), (2, 3))
    assert top_k(scores, 2, exclude=np.array([[1], [PADDING]])).items.tolist() == [[2, 0], [1, 2]]


def ranking(items, scores):
    return Ranking(np.array(items, np.int64), np.array(scores, np.float32))


def test_ranks_begin_at_1_and_what_is_not_listed_has_none():
    found = ranking([[5, 0, 3], [2, 1, -1], [-1, -1, -1]], [[3, 2, 2], [1, 0, -INF], [-INF] * 3])
    assert found.rank_of(np.array([3, 2, 0])).tolist() == [3, 1, NOT_RANKED]
    assert Ranking.stack([found, found]).rank_of(np.array([5, 1, 7] * 2)).tolist() == [1, 2, NOT_RANKED] * 2


@pytest.mark.parametrize(
    ("items", "scores", "message"),
    [
        ([[1, 2], [2, 2]], [[2, 1], [2, 1]], "row 1 .* twice"),
        ([[1, 2]], [[1, 2]], "row 0 .* rises"),
        ([[1, 2]], [[1, np.nan]], "row 0 .* no number"),
        ([[1]], [[np.nan]], "row 0 .* no number"),
        ([[-1, 2]], [[-INF, -INF]], "row 0 .* after padding"),
        ([[1, -1]], [[1, 0]], "row 0 .* not -inf"),
        ([[1, 2]], [[1, -INF]], "row 0 .* not -inf"),
        ([[1, -2]], [[1, 0]], "row 0 .* negative"),
        ([[1, 2]], [[1.0]], "must be"),
        ([[]], [[]], "at least 1"),
    ],
)
def test_a_ranking_that_is_none_is_refused(items, scores, message):
    with pytest.raises(ValueError, match=message):
        ranking(items, scores)


def test_bad_arguments_are_refused():
    scores = np.array([[1.0, np.nan]])
    with pytest.raises(ValueError, match="not a number"):
        top_k(scores, 1)
    with pytest.raises(ValueError, match="not a number"):
        exact_ranks(scores, np.array([0]))
    with pytest.raises(ValueError, match="at least 1"):
        top_k(np.ones((1, 2)), 0)
    with pytest.raises(ValueError, match="one item per row"):
        ranking([[1]], [[1]]).rank_of(np.array([1, 2]))
    with pytest.raises(ValueError, match="one item per row"):
        ranking([[-1]], [[-INF]]).rank_of(np.array([-1]))
    with pytest.raises(TypeError, match="int64"):
        Ranking(np.array([[1]], np.int32), np.array([[1.0]]))


@given(scored(), st.integers(1, 8), st.integers(1, 8))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(case, a, b):
    scores, _, exclude, _ = case
    assume(a <= b)
    short, long = top_k(scores, a, exclude=exclude), top_k(scores, b, exclude=exclude)
    assert short.items.tolist() == long.items[:, : short.k].tolist()
