"""Measures of alignment equal brute force over all pairs, and are what they must be where the answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.evaluation import alignment
from macrec.evaluation.alignment import alignment_measures, mean_distances, pair_distances
from macrec.tokenizers.contrastive import info_nce

RECALLS = [f"recall@{k}/{direction}" for direction in ("text→image", "image→text") for k in (1, 10)]


def states(n, d, seed, levels=None):
    """Two tables of random states; with few `levels` per dimension, many are the same."""
    rng = np.random.default_rng(seed)
    if levels is None:
        return tuple(rng.standard_normal((2, n, d)).astype(np.float32))
    return tuple(rng.integers(-levels, levels + 1, (2, n, d)).astype(np.float32))


def cosine(a, b):
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / lengths) if lengths else 0.0


def brute_force(first, second, tie):
    """Every pair one by one, in float64; cosines that differ by less than `tie` are equal."""
    n = len(first)
    table = np.array([[cosine(a, b) for b in second.astype(float)] for a in first.astype(float)])
    found = {
        "distance/same": np.mean([1 - table[i, i] for i in range(n)]),
        "distance/other": np.mean([1 - table[i, j] for i in range(n) for j in range(n) if i != j]),
        "items": n,
    }
    for name, scores in (("text→image", table), ("image→text", table.T)):
        for k in (1, 10):
            # The item comes after all that are as near as it is.
            place = [1 + sum(scores[i, j] > scores[i, i] - tie for j in range(n) if j != i) for i in range(n)]
            found[f"recall@{k}/{name}"] = np.mean([p <= k for p in place])
    return found


@settings(max_examples=60)
@given(st.integers(2, 24), st.integers(1, 5), st.integers(0, 10**6), st.sampled_from([None, 1, 2]), st.integers(1, 60))
def test_measures_equal_brute_force_whatever_the_block(n, d, seed, levels, block):
    first, second = states(n, d, seed, levels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment, "BLOCK", block)
        found = alignment_measures(first, second)
    strict, lenient = brute_force(first, second, 2 * alignment.TIE), brute_force(first, second, alignment.TIE / 2)
    for name in strict:
        assert strict[name] - 2e-6 <= found[name] <= lenient[name] + 2e-6
    loss = info_nce(torch.from_numpy(first), torch.from_numpy(second))
    assert found["info_nce"] == pytest.approx(float(loss), abs=1e-4)
    assert found.keys() == {*strict, "info_nce"}


@settings(max_examples=30)
@given(st.integers(2, 30), st.integers(0, 10**6))
def test_exchanging_the_modalities_exchanges_the_directions(n, seed):
    first, second = states(n, 3, seed)
    there, back = alignment_measures(first, second), alignment_measures(second, first, names=("image", "text"))
    assert there == pytest.approx(back, abs=1e-6)


def test_equal_states_are_found_at_once_and_random_ones_by_chance():
    first, second = states(1500, 64, 0)
    perfect = alignment_measures(first, first * np.random.default_rng(1).uniform(0.5, 9, (1500, 1)).astype(np.float32))
    assert perfect["distance/same"] == pytest.approx(0, abs=1e-6)
    assert [perfect[name] for name in RECALLS] == [1, 1, 1, 1]
    apart = alignment_measures(first, second)
    for name in RECALLS:
        k = 10 if "@10" in name else 1
        # Five standard deviations of a binomial count.
        assert abs(apart[name] - k / 1500) < 5 * (k / 1500 / 1500) ** 0.5
    assert apart["distance/same"] == pytest.approx(1, abs=0.02) == apart["distance/other"]
    assert perfect["info_nce"] < apart["info_nce"]


def test_one_state_for_all_gains_nothing():
    collapsed = np.tile(np.array([[0.3, -0.7, 0.2]], np.float32), (50, 1))
    found = alignment_measures(collapsed, collapsed)
    assert [found[name] for name in RECALLS] == [0, 0, 0, 0]
    assert found["info_nce"] == pytest.approx(2 * np.log(50), abs=1e-5)
    assert found["distance/other"] == pytest.approx(0, abs=1e-6)


def test_a_state_without_direction_is_at_distance_one():
    first = np.array([[0, 0], [1, 0]], np.float32)
    assert mean_distances(first, np.array([[1, 0], [1, 0]], np.float32)) == (0.5, 0.5)


def test_a_low_temperature_gives_a_finite_loss():
    first, second = states(40, 4, 2)
    assert alignment_measures(first, second, temperature=1e-4)["info_nce"] == pytest.approx(
        float(info_nce(torch.from_numpy(first).double(), torch.from_numpy(second).double(), 1e-4)), rel=1e-3
    )


@settings(max_examples=40)
@given(st.integers(2, 40), st.integers(0, 10**6))
def test_random_items_are_never_the_item_itself_and_each_serves_once(n, seed):
    same, other = pair_distances(np.eye(n), np.eye(n), seed)
    np.testing.assert_array_equal((same, other), (np.zeros(n), np.ones(n)))
    angles = np.linspace(0, 1.5, n)
    first = np.tile([[1.0, 0.0]], (n, 1))
    second = np.stack([np.cos(angles), np.sin(angles)], 1)
    same, other = pair_distances(first, second, seed)
    np.testing.assert_allclose(same, 1 - np.cos(angles), atol=1e-6)
    np.testing.assert_allclose(np.sort(other), 1 - np.cos(angles), atol=1e-6)


def test_the_seed_draws_the_random_items():
    first, second = states(30, 3, 0)
    one, again, two = (pair_distances(first, second, seed)[1] for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (one != two).any()


def test_what_does_not_fit_is_refused():
    for first, second in (((3, 2), (4, 2)), ((3, 2), (3, 4)), ((1, 2), (1, 2)), ((3,), (3,))):
        with pytest.raises(ValueError, match=r"\[N, d\] with N >= 2"):
            alignment_measures(np.ones(first), np.ones(second))
    with pytest.raises(ValueError, match="temperature"):
        alignment_measures(np.ones((3, 2)), np.ones((3, 2)), temperature=0)
