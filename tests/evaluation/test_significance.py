"""Luck over seeds and over users: invariants, a plain bootstrap as second opinion, coverage on simulated users."""

from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import bootstrap

from macrec.evaluation.metrics import gains, hit_rate
from macrec.evaluation.significance import mcnemar, over_seeds, paired_bootstrap

PAIRS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40)
METRICS = st.sampled_from(["HR@1", "HR@10", "NDCG@10", "MRR@20"])


@pytest.mark.slow
@given(PAIRS, METRICS, st.integers(0, 100))
def test_exchanging_the_systems_turns_the_signs(pairs, metric, seed):
    a, b = np.array(pairs).T
    there, back = (paired_bootstrap(*ranks, metric, resamples=200, seed=seed) for ranks in ((a, b), (b, a)))
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert 0 < there.p <= 1
    assert there.low <= there.high
    assume(abs(there.difference) > 1e-9)
    assert (there.low, there.high, there.p) == (-back.high, -back.low, back.p)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40), METRICS)
def test_equal_systems_do_not_differ(ranks, metric):
    found = paired_bootstrap(ranks, ranks, metric, resamples=100)
    assert (found.difference, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert mcnemar(ranks, ranks) == 1.0


@given(PAIRS, METRICS, st.randoms(use_true_random=False))
def test_the_order_of_the_users_is_of_no_account(pairs, metric, random):
    shuffled = random.sample(pairs, len(pairs))
    one, other = (paired_bootstrap(*np.array(users).T, metric, resamples=200) for users in (pairs, shuffled))
    assert one.difference == pytest.approx(np.mean(np.subtract(*(gains(r, metric) for r in np.array(pairs).T))))
    assert other == one


def simulated(rng, users=400, shift=0.25):
    """Ranks of two systems over the same users; a is better by an amount that `truth` measures on many."""
    ease = rng.exponential(12, users)
    a = 1 + (ease * rng.exponential(1 - shift, users)).astype(int)
    b = 1 + (ease * rng.exponential(1, users)).astype(int)
    return a, b


def test_it_agrees_with_drawing_users_one_by_one():
    a, b = simulated(np.random.default_rng(0))
    differences = gains(a, "NDCG@10") - gains(b, "NDCG@10")
    plain = bootstrap((differences,), np.mean, n_resamples=10_000, method="percentile", rng=np.random.default_rng(1))
    found = paired_bootstrap(a, b)
    width = found.high - found.low
    assert found.low == pytest.approx(plain.confidence_interval.low, abs=0.03 * width)
    assert found.high == pytest.approx(plain.confidence_interval.high, abs=0.03 * width)
    drawn = plain.bootstrap_distribution
    assert found.p == pytest.approx((np.abs(drawn - differences.mean()) >= differences.mean()).mean(), abs=0.01)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(2)
    a, b = simulated(rng, users=2_000_000)
    truth = hit_rate(a, 10) - hit_rate(b, 10)
    found = [paired_bootstrap(*simulated(rng), "HR@10", resamples=1000, seed=trial) for trial in range(400)]
    covered = np.mean([comparison.low <= truth <= comparison.high for comparison in found])
    assert 0.92 <= covered <= 0.98  # 0.95, give or take three standard errors of 400 trials


@pytest.mark.slow
def test_without_a_difference_small_p_values_are_as_rare_as_they_should_be():
    rng = np.random.default_rng(3)
    p = [paired_bootstrap(*simulated(rng, shift=0.0), resamples=500, seed=trial).p for trial in range(400)]
    assert 0.02 <= np.mean(np.array(p) < 0.05) <= 0.085
    assert 0.4 <= np.mean(p) <= 0.6


@pytest.mark.slow
def test_seeds_count_as_users_do_and_the_interval_covers_the_truth():
    """Two systems that do not differ, three runs each: the interval holds zero nearly as often as it says.

    With three seeds the quantiles of a bootstrap are a little short (a t-interval knows why), so 88 % is asked for;
    intervals over users alone, of the first seed, hold zero far less often.
    """
    rng = np.random.default_rng(4)
    both, alone = [], []
    for trial in range(200):
        ease = rng.exponential(12, 1500)

        def runs():
            luck = np.exp(rng.normal(0, 0.1, (3, 1)))
            return 1 + (ease * luck * rng.exponential(1, (3, 1500))).astype(int)  # noqa: B023

        a, b = runs(), runs()
        found = paired_bootstrap(a, b, "HR@10", resamples=400, seed=trial)
        both.append(found.low <= 0 <= found.high)
        found = paired_bootstrap(a[0], b[0], "HR@10", resamples=400, seed=trial)
        alone.append(found.low <= 0 <= found.high)
    assert np.mean(both) >= 0.88
    assert np.mean(alone) <= 0.8


def test_equal_runs_are_one_run_and_systems_may_have_different_numbers_of_seeds():
    a, b = simulated(np.random.default_rng(5))
    one = paired_bootstrap(a, b)
    same = paired_bootstrap(np.stack([a, a, a]), b)
    assert same.difference == pytest.approx(one.difference)
    assert (same.low, same.high) == pytest.approx((one.low, one.high), rel=0.05)
    other = simulated(np.random.default_rng(6))[0]
    mixed = paired_bootstrap(np.stack([a, other]), b)
    assert mixed.difference == pytest.approx((one.difference + paired_bootstrap(other, b).difference) / 2)
    assert mixed.high - mixed.low > 0
    back = paired_bootstrap(b, np.stack([a, other]))
    assert (back.low, back.high, back.p) == (-mixed.high, -mixed.low, mixed.p)


def test_a_clear_difference_is_found_and_written_out():
    found = paired_bootstrap([1] * 200, [2] * 100 + [1] * 100, "HR@1", resamples=999)
    assert found.difference == 0.5
    assert found.low > 0.4
    assert found.p == 0.001
    assert str(found).startswith("HR@1 +0.5000 [+0.4")


@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 5))
def test_mcnemar_equals_counting_coin_tosses(only_a, only_b, both):
    a = [1] * only_a + [99] * only_b + [1] * both
    b = [99] * only_a + [1] * only_b + [1] * both
    assume(a)
    tosses = only_a + only_b
    tail = sum(comb(tosses, heads) for heads in range(min(only_a, only_b) + 1)) / 2**tosses
    assert mcnemar(a, b) == pytest.approx(min(1.0, 2 * tail))
    assert mcnemar(a, b) == pytest.approx(mcnemar(b, a))


def test_the_spread_over_seeds_is_numpys():
    values = np.array([0.1, 0.13, 0.12])
    found = over_seeds([{"HR@10": value, "NDCG@10": 0.5} for value in values])
    assert (found["HR@10"].mean, found["HR@10"].sd) == pytest.approx((values.mean(), values.std(ddof=1)))
    assert (str(found["NDCG@10"]), found["NDCG@10"].runs) == ("0.5000 ± 0.0000", 3)
    one = over_seeds([{"HR@10": 0.25}])["HR@10"]
    assert np.isnan(one.sd)
    assert str(one) == "0.2500"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="no runs"):
        over_seeds([])
    with pytest.raises(ValueError, match="same metrics"):
        over_seeds([{"HR@1": 0.1}, {"HR@5": 0.1}])
    for compare in (paired_bootstrap, mcnemar):
        with pytest.raises(ValueError, match="same users"):
            compare([1, 2], [1])
        with pytest.raises(ValueError, match="no ranks"):
            compare([], [])
    with pytest.raises(ValueError, match="resamples"):
        paired_bootstrap([1], [2], resamples=0)


def test_of_the_seeds_one_fewer_is_drawn_so_that_the_spread_of_their_mean_is_not_too_small():
    """Where users agree, only seeds vary: of four, three are drawn, so the lowest 1/64 is one seed thrice."""
    ranks = np.repeat([[10], [5], [3], [1]], 6, axis=1)
    found = paired_bootstrap(ranks, np.zeros(6, np.int64))
    worst, second, *_, best = gains(np.array([10, 5, 3, 1]), "NDCG@10")
    assert found.low == pytest.approx((2 * worst + second) / 3)
    assert found.high == pytest.approx((2 * best + gains(np.array([3]), "NDCG@10")[0]) / 3)
