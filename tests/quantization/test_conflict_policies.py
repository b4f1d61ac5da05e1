"""One ID per item, by every policy; ranks and counters against a written-out loop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from macrec.errors import DataError
from macrec.quantization.conflict_policies import append_rank, unique_ids
from macrec.quantization.conflicts import errors, resolve_conflicts
from macrec.quantization.semantic_ids import SemanticIds

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
@pytest.mark.parametrize("policy", ["least", "hungarian", "digit", "rank"])
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
    if policy in ("digit", "rank"):
        assert (found.codes[:, :-1] == codes).all() and report.moved == 0
        assert found.codebooks[-1] == "text_more" and found.sizes[-1] == found.codes[:, -1].max() + 1
    if policy == "digit":  # the best reconstructed item of an ID counts as 0
        error = errors(codes, vectors, books)
        for key in np.unique(codes, axis=0):
            group = np.flatnonzero((codes == key).all(1))
            assert found.codes[group[error[group].argmin()], -1] == 0
    if policy in ("least", "hungarian"):
        mode = "greedy" if policy == "least" else policy
        expected, _ = resolve_conflicts(codes, vectors, books, mode=mode, saturated="extra_level")
        assert (found.codes == expected).all()


def test_unknown_policies_and_a_rank_without_priorities_are_refused():
    ids = SemanticIds.from_codes(np.zeros((2, 1), int))
    with pytest.raises(DataError, match='no way "shuffle" to resolve conflicts; choose one of least, hungarian, digit'):
        unique_ids(ids, np.zeros((2, 1)), [np.zeros((1, 1))], "shuffle")
    with pytest.raises(ValueError, match="needs the priority"):
        unique_ids(ids, np.zeros((2, 1)), [np.zeros((1, 1))], "rank")
