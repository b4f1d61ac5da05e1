"""One ID per item, by every policy; ranks and counters against a written-out loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from macrec.errors import DataError
from macrec.quantization.conflict_policies import append_rank, check_policy, unique_ids
from macrec.quantization.conflicts import resolve_conflicts
from macrec.quantization.redistribution import redistribute
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.tuples import errors

tables = hnp.arrays(np.int32, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=st.integers(0, 3))


def test_items_of_one_id_are_ranked_by_falling_priority_then_by_row():
    assert append_rank(np.zeros((4, 2), int), np.array([5, 9, 9, 1]))[:, 2].tolist() == [2, 0, 1, 3]
    assert append_rank(np.array([[0], [1], [0]]), np.array([0, 0, 7])).tolist() == [[0, 1], [1, 0], [0, 0]]


@given(tables, st.randoms())
def test_ranks_are_those_of_a_written_out_loop(codes, random):
    priority = np.array([random.randint(0, 3) for _ in codes])
    longer = append_rank(codes, priority)
    assert (longer[:, :-1] == codes).all() and longer.dtype == np.int32
    for row, key in enumerate(codes.tolist()):
        same = [other for other in range(len(codes)) if codes[other].tolist() == key]
        assert longer[row, -1] == sorted(same, key=lambda other: (-priority[other], other)).index(row)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["least", "hungarian", "digit", "rank", "counter", "capped:cap=2", "redistribute"])
@given(codes=tables, seed=st.integers(0, 99))
def test_every_policy_gives_every_item_an_id_of_its_own(policy, codes, seed):
    rng = np.random.default_rng(seed)
    books = [rng.standard_normal((4, 2)) for _ in range(codes.shape[1])]
    vectors = rng.standard_normal((len(codes), 2))
    ids = SemanticIds.from_codes(codes, sizes=(4,) * codes.shape[1])
    found, report = unique_ids(ids, vectors, books, policy, rng.integers(0, 9, len(codes)), "text_more")
    assert len(np.unique(found.codes, axis=0)) == len(ids) == report.items and report.rate_after == 0
    distinct = len(np.unique(codes, axis=0))
    assert report.rate_before == pytest.approx((len(codes) - distinct) / len(codes))
    if policy in ("digit", "rank", "counter"):
        assert (found.codes[:, :-1] == codes).all() and report.moved == 0
        assert found.codebooks[-1] == "text_more" and found.sizes[-1] == found.codes[:, -1].max() + 1
    if policy == "digit":  # the best reconstructed item of an ID counts as 0
        error = errors(codes, vectors, books)
        for key in np.unique(codes, axis=0):
            group = np.flatnonzero((codes == key).all(1))
            assert found.codes[group[error[group].argmin()], -1] == 0
    if policy == "redistribute":
        assert found.num_levels == codes.shape[1] + (len(ids) > 4 ** codes.shape[1])
    if policy in ("least", "hungarian"):
        mode = "greedy" if policy == "least" else policy
        expected, _ = resolve_conflicts(codes, vectors, books, mode=mode, saturated="extra_level")
        assert (found.codes == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["least", "hungarian", "digit", "rank", "counter", "capped:cap=2", "redistribute"])
@given(codes=tables, seed=st.integers(0, 99))
def test_items_that_come_first_have_the_codes_that_they_have_alone(policy, codes, seed):
    rng = np.random.default_rng(seed)
    books = [rng.standard_normal((4, 2)) for _ in range(codes.shape[1])]
    vectors, priority = rng.standard_normal((len(codes), 2)), rng.integers(0, 9, len(codes))
    ids = SemanticIds.from_codes(codes, sizes=(4,) * codes.shape[1])
    first = rng.random(len(codes)) < 0.6
    found = unique_ids(ids, vectors, books, policy, priority, first=first)[0].codes
    assert len(np.unique(found, axis=0)) == len(found)
    if len(codes) <= 4 ** codes.shape[1]:  # else nothing moves, and a code more counts
        some = SemanticIds.from_codes(codes[first], sizes=ids.sizes)
        alone = unique_ids(some, vectors[first], books, policy, priority[first])[0].codes
        assert np.array_equal(found[first], alone)
    # The contents of the others change nothing for them.
    vectors[~first] = rng.standard_normal(((~first).sum(), 2))
    other = unique_ids(ids, vectors, books, policy, priority, first=first)[0].codes
    assert np.array_equal(other[first], found[first])
    every = unique_ids(ids, vectors, books, policy, priority, first=np.ones(len(codes), bool))[0].codes
    assert np.array_equal(every, unique_ids(ids, vectors, books, policy, priority)[0].codes)


def test_the_counter_of_the_specification():  # T3
    codes = [(0, 1, 2), (0, 1, 2), (0, 1, 3), (0, 2, 0), (3, 1, 2), (3, 1, 2), (3, 1, 2)]
    ids = SemanticIds.from_codes(np.array(codes), sizes=(4, 4, 4))
    found, report = unique_ids(ids, np.zeros((7, 1)), [np.zeros((4, 1))] * 3, "counter")
    assert found.codes[:, 3].tolist() == [0, 1, 0, 0, 0, 1, 2] and found.sizes[3] == 3
    assert report.groups == 2 and report.moved == 0 and report.rate_before == pytest.approx(3 / 7)


LAST = np.array([(0.1, 0.0), (0.0, 0.1), (-0.1, 0.0), (0.0, -0.1)])
RESIDUALS = np.array([(0.10, 0.0), (0.12, 0.03), (0.09, -0.05), (0.02, 0.09), (0.11, 0.08)])


def test_the_over_full_leaves_of_the_specification():  # T5
    nearest = np.square(RESIDUALS[:, None] - LAST).sum(2).argmin(1)
    assert nearest.tolist() == [0, 0, 0, 1, 0]
    assert redistribute(nearest[:, None], RESIDUALS, [LAST], 2)[:, 0].tolist() == [0, 0, 3, 1, 1]
    four = SemanticIds.from_codes(nearest[:4, None], sizes=(4,))
    found, report = unique_ids(four, RESIDUALS[:4], [LAST], "redistribute")
    assert found.codes[:, 0].tolist() == [0, 2, 3, 1]
    assert report.moved == 2 and report.added_distortion * 4 == pytest.approx(0.056)
    capped, report = unique_ids(SemanticIds.from_codes(nearest[:, None], sizes=(4,)), RESIDUALS, [LAST], "capped:cap=2")
    assert capped.codes.tolist() == [[0, 0], [0, 1], [3, 0], [1, 0], [1, 1]] and report.moved == 2


def by_the_letter(codes, vectors, books, cap):
    """The algorithm of the specification, pair by pair, for items whose parent has room."""
    after, error = [tuple(row) for row in codes.tolist()], errors(codes, vectors, books)
    loads = {}
    surplus = []
    for row in sorted(range(len(codes)), key=lambda row: (error[row], row)):
        loads.setdefault(after[row], 0)
        if loads[after[row]] < cap:
            loads[after[row]] += 1
        else:
            surplus.append(row)
    while surplus:
        pairs = []
        for row in surplus:
            for code in range(len(books[-1])):
                leaf = (*after[row][:-1], code)
                if loads.get(leaf, 0) < cap:
                    pairs.append((errors(np.array([leaf]), vectors[row : row + 1], books)[0].round(9), row, code))
        _, row, code = min(pairs)
        after[row] = (*after[row][:-1], code)
        loads[after[row]] = loads.get(after[row], 0) + 1
        surplus.remove(row)
    return after


@given(st.integers(1, 3), st.integers(0, 99))
def test_the_surplus_moves_as_the_specification_says(cap, seed):
    rng = np.random.default_rng(seed)
    books = [rng.standard_normal((3, 2)), rng.standard_normal((5, 2))]
    codes = np.column_stack([np.repeat([0, 1, 2], 5 * cap), rng.integers(0, 2, 15 * cap)])[rng.permutation(15 * cap)]
    vectors = rng.standard_normal((len(codes), 2))
    found = redistribute(codes, vectors, books, cap)
    assert [tuple(row) for row in found.tolist()] == by_the_letter(codes, vectors, books, cap)
    assert np.unique(found, axis=0, return_counts=True)[1].max() == cap
    assert (redistribute(codes, vectors, books, cap) == found).all()


def test_without_room_at_its_parent_an_item_goes_to_the_nearest_that_has_some():
    books = [np.array([[0.0], [10.0], [14.0]]), np.array([[0.0], [1.0]])]
    codes = np.array([(1, 0), (1, 1), (1, 1), (1, 0)])
    vectors = np.array([[10.0], [11.0], [11.5], [9.5]])
    assert redistribute(codes, vectors, books).tolist() == [[1, 0], [1, 1], [2, 0], [2, 1]]
    assert redistribute(np.zeros((7, 2), int), np.zeros((7, 1)), books).tolist() == [[0, 0]] * 7  # no room for all


def test_unknown_policies_and_a_rank_without_priorities_are_refused():
    ids = SemanticIds.from_codes(np.zeros((2, 1), int))
    with pytest.raises(DataError, match='no way "shuffle" to resolve conflicts; choose one of least, hungarian, digit'):
        unique_ids(ids, np.zeros((2, 1)), [np.zeros((1, 1))], "shuffle")
    with pytest.raises(DataError, match='"cap"'):
        check_policy("redistribute:cap=2")
    with pytest.raises(DataError, match="0 items cannot have one ID"):
        check_policy("capped:cap=0")
    with pytest.raises(ValueError, match="cap must be 1 or more"):
        redistribute(np.zeros((1, 1), int), np.zeros((1, 1)), [np.zeros((1, 1))], 0)
    with pytest.raises(ValueError, match="needs the priority"):
        unique_ids(ids, np.zeros((2, 1)), [np.zeros((1, 1))], "rank")
