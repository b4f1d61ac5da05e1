"""Who stands where, by group of users: the numbers of `Results`, and the sentences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import Histories
from macrec.data.split import leave_one_out
from macrec.evaluation.by_group import GroupComparison, compare_in_group
from macrec.evaluation.metrics import ndcg
from macrec.evaluation.significance import Comparison, paired_bootstrap
from macrec.experiments.group_differences import group_differences, groups_in_words, recorded, rivals
from macrec.experiments.results import Results
from macrec.experiments.standing import standing, standing_in_group

USERS = 60
NAMES = ("popularity", "Markov-1", "SASRec", "TIGER (text)", "TIGERs fused late", "MQL4GRec", "MACRec", "mine")


def made(seeds=(0, 1), mask_seen=False):
    """Results of systems that rank at random, and one group that holds nobody."""
    rng = np.random.default_rng(0)
    users = leave_one_out(Histories.from_lists([[0, 1, 2]])).test.take(np.zeros(USERS, int))
    groups = {"head": rng.random(USERS) < 0.5, "cold": np.zeros(USERS, bool)}
    groups["tail"] = ~groups["head"]
    results = Results(users, groups, seeds, mask_seen, against="MACRec")
    for protocol in (False, True):
        results.ranks[protocol] = {
            name: {seed: rng.integers(1, 15, USERS) for seed in (seeds[:1] if name == "Markov-1" else seeds)}
            for name in NAMES
        }
    results.evaluations = dict.fromkeys(NAMES)
    return results


def stacked(results):
    return {name: np.stack(list(each.values())) for name, each in results.ranks[results.mask_seen].items()}


@pytest.mark.parametrize("mask_seen", [False, True])
def test_every_group_with_users_has_the_differences_of_its_users(mask_seen):
    results = made(mask_seen=mask_seen)
    found, ranks = group_differences(results), stacked(results)
    assert list(found) == ["head", "tail"]
    for name, group in found.items():
        inside = {system: each[:, results.groups[name]] for system, each in ranks.items()}
        counting = max(("popularity", "Markov-1"), key=lambda system: ndcg(inside[system], 10))
        assert list(group.scores) == ["MACRec", counting, "SASRec", "TIGER (text)", "TIGERs fused late"]
        for system, paired in group.differences.items():
            assert paired == paired_bootstrap(inside[system], inside["MACRec"])
    assert list(recorded(results, found)) == ["masked" if mask_seen else "unmasked"]


def test_only_the_groups_asked_for_are_compared():
    results = made()
    assert group_differences(results, only=("tail", "cold")) == {"tail": group_differences(results)["tail"]}


def test_the_best_counting_system_is_that_of_the_group_and_never_the_reference():
    results = made()
    ranks = stacked(results)
    ranks["popularity"][:, results.groups["head"]], ranks["Markov-1"][:, results.groups["tail"]] = 1, 1
    assert rivals(ranks, results.groups["head"], "MACRec")[0] == "popularity"
    assert rivals(ranks, results.groups["tail"], "MACRec")[0] == "Markov-1"
    assert rivals(ranks, results.groups["tail"], "Markov-1")[0] == "popularity"
    assert rivals({"mine": ranks["mine"]}, results.groups["tail"], "MACRec") == []


def test_the_words_name_every_group_once_and_every_system_in_it():
    results = made()
    found = group_differences(results)
    head, *lines = groups_in_words(results, found).split("\n")
    assert head.startswith("NDCG@10 of MACRec minus") and "over users and seeds" in head
    assert "seeds" not in groups_in_words(made((0,)), found).split("\n")[0]
    assert [line.split()[1] for line in lines] == ["head", "tail"]
    for line, group in zip(lines, found.values(), strict=True):
        assert f"({group.users} users)" in line
        assert all(line.count(f"{name} (") == 1 for name in group.differ)
    nobody = made()
    nobody.ranks = {}
    assert groups_in_words(nobody, group_differences(nobody)) == "No system was compared by group."


def test_a_difference_is_told_from_the_side_of_the_reference():
    differences = {
        "worse": Comparison("NDCG@10", -0.2, -0.3, -0.1, 0),
        "better": Comparison("NDCG@10", 0.2, 0.1, 0.3, 0),
        "alike": Comparison("NDCG@10", 0.01, -0.01, 0.03, 0),
    }
    assert standing("ours", differences) == (
        "ours is clearly below better; not clearly different from alike; clearly above worse."
    )
    assert standing("ours", differences, intervals=True) == (
        "ours is clearly below better (-0.2000, -0.3000 to -0.1000); not clearly different from alike (-0.0100, "
        "-0.0300 to +0.0100); clearly above worse (+0.2000, +0.1000 to +0.3000)."
    )


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=60))
def test_what_is_equal_to_the_reference_is_neither_above_nor_below_it(ranks):
    ours, theirs = np.array(ranks).T
    everyone = np.ones(len(ours), bool)
    found = compare_in_group({"a": ours, "same": ours, "b": theirs}, everyone, "a", ["same", "b"])
    assert found.differ["same"] == 0 and "same" not in found.differences
    if any(found.scores.values()):
        assert "same (0)" in standing_in_group("all", found)
    equal = standing("a", {"same": paired_bootstrap(ours, ours)})
    assert equal == "a is not clearly different from same."


def test_a_group_without_a_hit_or_with_too_few_users_who_differ_is_said_to_be_so():
    none = GroupComparison(17, {"a": 0.0, "b": 0.0}, {"b": 0}, {})
    assert standing_in_group("cold", none) == "cold (17 users): a and b all score 0."
    few = GroupComparison(1, {"a": 0.5, "b": 0.0}, {"b": 1}, {})
    assert standing_in_group("cold", few) == (
        "cold (1 user): Fewer than 10 users differ, too few for an interval: b (1)."
    )
    assert "compared with no other system" in standing_in_group("cold", GroupComparison(1, {"a": 0.5}, {}, {}))
