"""The health of semantic IDs: toy values of the specification, peers' published IDs, and definitions spelled out."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

from macrec.quantization.health import (
    codebook_health,
    conflict_groups,
    entropy_bits,
    gini,
    joint_counts,
    mutual_information,
    normalized_information,
)
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids


def test_toy_counts_give_the_values_of_the_specification():
    codes = np.repeat([0, 1, 2, 3], [4, 2, 1, 1])[:, None]  # T6
    (level,) = codebook_health(SemanticIds.from_codes(codes, sizes=(8,))).levels
    assert (level.utilization, level.entropy, level.dead_codes) == (0.5, 1.75, 4)
    assert level.perplexity == pytest.approx(3.363586, abs=1e-6)
    assert level.entropy * np.log(2) == pytest.approx(1.213008, abs=1e-6)


def test_toy_conflicts_give_the_values_of_the_specification():
    health = codebook_health(SemanticIds.from_codes(np.array([[ord(c)] for c in "AAABBCDEFG"])))  # T6
    assert (health.conflict_rate, health.conflict_items) == (pytest.approx(0.3), pytest.approx(0.5))
    assert (health.largest_group, health.conflict_pairs, health.distinct) == (3, 4, 7)


def test_published_ids_have_the_recorded_statistics(shared_data):
    published = shared_data / "published_sids"
    for known in json.loads((published / "stats.json").read_text()):
        ids = load_semantic_ids(published / known["file"])
        health = codebook_health(ids)
        assert (len(ids), ids.num_levels, health.distinct) == (known["items"], known["levels"], known["distinct_ids"])
        assert health.conflict_rate == pytest.approx(known["collision_rate_items_minus_distinct"], abs=1e-6)
        assert health.conflict_items == pytest.approx(known["share_of_items_sharing_an_id"], abs=1e-6)
        assert health.largest_group == known["largest_group"]
        assert [level.used for level in health.levels] == known["used_codes_per_level"]
        assert [level.size - 1 for level in health.levels] == known["max_code_per_level"]
        assert [level.prefixes for level in health.levels] == known["distinct_prefixes"]
        nats = [level.entropy * np.log(2) for level in health.levels]
        assert nats == pytest.approx(known["entropy_nats_per_level"], abs=1e-6)


def test_released_codes_of_mql4grec_have_the_perplexity_of_the_specification(shared_data):
    expected = {  # section 4.4: perplexity and max load per level
        "text": ([15.8, 182.9, 218.9, 235.9], [1969, 234, 97, 85]),
        "image": ([40.4, 200.1, 233.8, 245.2], [1050, 139, 89, 47]),
    }
    for modality, (perplexity, load) in expected.items():
        ids = load_semantic_ids(shared_data / "published_sids" / f"instruments_mql4grec_{modality}.parquet")
        levels = codebook_health(ids).levels
        assert [level.perplexity for level in levels] == pytest.approx(perplexity, abs=0.05)
        assert [level.max_load for level in levels] == load


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40))
def test_conflicts_are_what_the_definitions_say(codes):
    health = codebook_health(SemanticIds.from_codes(np.array(codes)))
    groups = Counter(codes).values()
    assert health.conflict_rate == pytest.approx((len(codes) - len(groups)) / len(codes))
    assert health.conflict_items == pytest.approx(sum(n for n in groups if n > 1) / len(codes))
    assert health.conflict_pairs == sum(n * (n - 1) // 2 for n in groups)
    assert health.levels[0].max_items == max(Counter(first for first, _ in codes).values())
    assert (health.conflict_rate == 0) == (health.largest_group == 1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference_and_entropy_is_largest_for_even_use(counts):
    counts = np.array(counts)
    differences = np.abs(counts[:, None] - counts[None, :]).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(differences)
    assert 0 <= entropy_bits(counts) <= np.log2(len(counts)) + 1e-12


def test_a_codebook_costs_nothing_for_the_codewords_that_do_not_occur():
    codes = [[2**31 - 1], [5], [5], [0]]
    (level,) = codebook_health(SemanticIds.from_codes(codes)).levels
    assert (level.size, level.used, level.dead_codes) == (2**31, 3, 2**31 - 3)
    assert level.utilization == 3 / 2**31 and level.gini == pytest.approx(1)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(0, 20))
def test_codewords_without_items_count_in_gini_as_zeros(counts, unused):
    counts, size = np.array(counts), len(counts) + unused
    assert gini(counts, size) == pytest.approx(gini(np.append(counts, np.zeros(unused, int))))


def test_duplicates_among_the_inputs_are_a_floor():
    inputs = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    health = codebook_health(SemanticIds.from_codes([[0], [0], [0], [1]]), inputs)
    assert health.duplicate_floor == 0.25 <= health.conflict_rate
    assert "force a conflict rate of 25" in str(health)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60))
def test_mutual_information_equals_scikit_learn(pairs):
    first, second = np.array(pairs).T
    assert mutual_information(first, second) == pytest.approx(mutual_info_score(first, second), abs=1e-12)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50))
def test_normalized_information_is_that_of_scikit_learn(pairs):
    first, second = np.array(pairs).T
    assert normalized_information(first, second) == pytest.approx(normalized_mutual_info_score(first, second), abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=50))
def test_joint_counts_count_every_pair_of_codes(pairs):
    first, second = np.array(pairs).T
    joint, rows, columns = joint_counts(first, second, most=10)
    counted = Counter(pairs)
    assert {(a, b): int(joint[i, j]) for i, a in enumerate(rows) for j, b in enumerate(columns) if joint[i, j]} == (
        counted
    )
    assert (np.diff(joint.sum(1)) <= 0).all()


def test_codes_that_agree_are_ordered_into_a_diagonal():
    rng = np.random.default_rng(0)
    first = rng.choice(6, 600, p=[0.3, 0.22, 0.18, 0.13, 0.1, 0.07])
    second = np.array([3, 5, 0, 1, 4, 2])[first]
    joint, _, _ = joint_counts(first, second, most=6)
    assert (joint == np.diag(joint.diagonal())).all()
    assert joint_counts(first, second, most=2)[0].shape == (2, 2)


@given(hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 4)))
def test_conflict_groups_are_the_items_with_equal_codes(codes):
    ids = SemanticIds.from_codes(codes[:, :5])
    groups = conflict_groups(ids)
    rows = {}
    for row, codes in enumerate(map(tuple, ids.codes.tolist())):
        rows.setdefault(codes, []).append(row)
    assert sorted(group.tolist() for group in groups) == sorted(group for group in rows.values() if len(group) > 1)
    sizes = [len(group) for group in groups]
    assert sizes == sorted(sizes, reverse=True)
