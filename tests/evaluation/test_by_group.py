"""A system compared with others in a group of users is the comparison of the users in it."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.evaluation.by_group import FEWEST, GroupComparison, compare_in_group
from macrec.evaluation.significance import paired_bootstrap

RNG = np.random.default_rng(0)
GROUP = RNG.random(80) < 0.6


def ndcg_of(rank):
    return 1 / np.log2(1 + rank) if 1 <= rank <= 10 else 0.0


def test_a_difference_is_the_mean_over_the_pairs_of_the_group_and_the_seeds():
    ranks = {
        "ours": RNG.integers(1, 25, (3, 80)),
        "theirs": RNG.integers(1, 25, (2, 80)),
        "one": RNG.integers(1, 25, 80),
    }
    found = compare_in_group(ranks, GROUP, "ours", ["theirs", "one"])
    users = np.flatnonzero(GROUP)
    assert found.users == len(users) and list(found.scores) == ["ours", "theirs", "one"]
    for name in ("theirs", "one"):
        pairs = [
            ndcg_of(theirs[user]) - ndcg_of(ours[user])
            for ours in ranks["ours"] for theirs in np.atleast_2d(ranks[name]) for user in users
        ]  # fmt: skip
        assert found.differences[name].difference == pytest.approx(np.mean(pairs))
        assert found.scores[name] - found.scores["ours"] == pytest.approx(np.mean(pairs))
        of_users = np.array(pairs).reshape(-1, len(users)).mean(0)
        assert found.differ[name] == np.count_nonzero(abs(of_users) > 1e-12)
        inside = (np.atleast_2d(ranks[each])[:, GROUP] for each in (name, "ours"))
        assert found.differences[name] == paired_bootstrap(*inside)


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40), st.data())
def test_users_outside_the_group_change_nothing(inside, data):
    group = np.array([True] * len(inside) + [False] * 5)
    others = data.draw(st.lists(st.integers(0, 12), min_size=len(inside), max_size=len(inside)))
    first, second = (
        compare_in_group(
            {"a": np.array(inside + [outside] * 5), "b": np.array(others + [7] * 5)}, group, "a", ["b"], "HR@10"
        )
        for outside in (1, 11)
    )
    assert first == second


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_a_system_does_not_differ_from_its_equal(ranks):
    ranks = np.array(ranks)
    found = compare_in_group({"a": ranks, "b": ranks.copy()}, np.ones(len(ranks), bool), "a", ["b"])
    assert found.differ == {"b": 0} and found.differences == {}


@pytest.mark.parametrize("users", [FEWEST - 1, FEWEST])
def test_an_interval_needs_users_who_differ(users):
    ours = np.array([1] * users + [3] * 100)
    found = compare_in_group({"a": ours, "b": np.full(len(ours), 3)}, np.ones(len(ours), bool), "a", ["b"])
    assert found.differ == {"b": users} and bool(found.differences) == (users == FEWEST)


def test_plain_values_are_read_again():
    ranks = {"a": RNG.integers(1, 25, 80), "b": RNG.integers(1, 25, 80)}
    found = compare_in_group(ranks, GROUP, "a", ["b"])
    assert GroupComparison.read(asdict(found)) == found
    with pytest.raises(ValueError, match="no ranks"):
        compare_in_group(ranks, np.zeros(80, bool), "a", ["b"])
