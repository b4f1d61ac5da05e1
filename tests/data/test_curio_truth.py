"""The truth behind curio: what the world states, what shoppers do and what the oracle knows must be one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.curio import Oracle, Settings
from macrec.data.curio.shoppers import shop
from macrec.data.curio.world import FACTORS, World, build, complement_rule
from macrec.data.split import PADDING, leave_one_out
from macrec.evaluation.metrics import hit_rate, ndcg


@pytest.fixture(scope="module")
def world() -> World:
    return build(Settings(num_items=120, num_users=3_000, seed=3))


def chance(world: World, taste: int, history: list[int], item: int) -> float:
    """p(item | history, taste) spelled out from the definition in `world`, one item at a time."""

    def weight(j: int) -> float:
        move = world.complement[world.cell[history[-1]], world.cell[j]] if history else 1.0
        return 0.0 if j in history else float(move * world.weight[taste, j])

    return weight(item) / sum(weight(j) for j in range(len(world.cell)))


def test_oracle_equals_bayes_rule_written_out(world):
    history = [5, 17, 80, 3]
    evidence = [
        math.prod(chance(world, taste, history[:step], history[step]) for step in range(len(history)))
        for taste in range(world.num_tastes)
    ]
    posterior = np.array(evidence) / sum(evidence)
    expected = [
        sum(posterior[z] * chance(world, z, history, item) for z in range(world.num_tastes))
        for item in range(len(world.cell))
    ]
    padded = np.array([[PADDING, PADDING, *history]], np.int32)
    np.testing.assert_allclose(Oracle(world).probabilities(padded)[0], expected, rtol=1e-9)


@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_next_item_probabilities_sum_to_one_and_never_repeat(data, world):
    histories = data.draw(
        st.lists(st.lists(st.integers(0, 119), min_size=1, max_size=8, unique=True), min_size=1, max_size=4)
    )
    padded = np.full((len(histories), 8), PADDING, np.int32)
    for row, history in enumerate(histories):
        padded[row, 8 - len(history) :] = history
    predictive = Oracle(world).probabilities(padded)
    np.testing.assert_allclose(predictive.sum(1), 1.0)
    assert all((predictive[row, history] == 0).all() for row, history in enumerate(histories))


def test_shoppers_follow_the_stated_law(world):
    # Over all test targets, the expected number of hits is the sum of stated probabilities; what happened must lie
    # within 4 standard deviations of it (a false alarm once in 15,000 seeds, and the seed is fixed).
    samples = leave_one_out(shop(world), max_history=10**6).test
    for k in (1, 10):
        expected, variance, hits = 0.0, 0.0, 0
        for place, predictive in Oracle(world).batches(samples):
            top = np.argsort(-predictive, axis=1)[:, :k]
            share = np.take_along_axis(predictive, top, 1).sum(1)
            expected, variance = expected + share.sum(), variance + (share * (1 - share)).sum()
            hits += int((top == samples.targets[place][:, None]).any(1).sum())
        assert abs(hits - expected) < 4 * math.sqrt(variance)


def test_first_items_are_drawn_by_weight(world):
    histories = shop(world)
    counts = np.bincount(histories.items[histories.offsets[:-1]], minlength=len(world.cell))
    share = world.weight.mean(0)
    deviation = (counts - len(histories) * share) / np.sqrt(len(histories) * share)
    assert abs(deviation).max() < 5


def test_no_ranking_beats_the_oracle(world):
    samples = leave_one_out(shop(world), max_history=10**6).test
    oracle = Oracle(world).ranks(samples)
    reads_only = Oracle(build(world.settings, blind_to="picture")).ranks(samples)
    sees_only = Oracle(build(world.settings, blind_to="text")).ranks(samples)
    popular = np.argsort(np.argsort(-world.weight.mean(0)))[samples.targets] + 1
    for blind in (reads_only, sees_only):
        assert hit_rate(oracle, 10) > 1.2 * hit_rate(blind, 10) > 1.2 * hit_rate(popular, 10)
        assert ndcg(oracle, 10) > 1.2 * ndcg(blind, 10)


def test_histories_never_repeat_an_item_and_keep_their_bounds(world):
    histories = shop(world)
    pairs = histories.users.astype(np.int64) * 120 + histories.items
    assert len(np.unique(pairs)) == len(pairs)
    assert histories.lengths.min() >= 4 and histories.lengths.max() <= 40
    assert histories.lengths.mean() == pytest.approx(8, rel=0.05)


def test_equal_settings_give_an_equal_shop_and_another_seed_another():
    first, again, other = (build(Settings(num_items=200, num_users=50, seed=seed)) for seed in (1, 1, 2))
    assert all((first.factors[name] == again.factors[name]).all() for name in FACTORS)
    assert (first.weight == again.weight).all() and (shop(first).items == shop(again).items).all()
    assert any((first.factors[name] != other.factors[name]).any() for name in FACTORS)


def test_shares_are_what_the_settings_say():
    world = build(Settings(num_items=4_000, num_users=10, variants=0.2, no_picture=0.3, no_description=0.4))
    repeats = world.original != np.arange(4_000)
    assert repeats.mean() == pytest.approx(0.2) and (world.variant[repeats] > 0).all()
    assert (world.variant[~repeats] == 0).all() and not repeats[world.original[repeats]].any()
    for name in FACTORS:
        assert (world.factors[name] == world.factors[name][world.original]).all()
    assert (~world.has_picture).mean() == pytest.approx(0.3, abs=0.03)
    assert (~world.has_description).mean() == pytest.approx(0.4, abs=0.03)


def test_text_factors_say_nothing_about_picture_factors():
    world = build(Settings(num_items=20_000, num_users=10, variants=0))
    for text in ("brand", "material", "purpose"):
        for picture in ("shape", "palette", "pattern"):
            table = np.zeros((24, 8))
            np.add.at(table, (world.factors[text], world.factors[picture]), 1)
            table = table[table.sum(1) > 0][:, table.sum(0) > 0]
            expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
            freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
            statistic = ((table - expected) ** 2 / expected).sum()
            assert statistic < freedom + 5 * math.sqrt(2 * freedom)


@given(levels=st.integers(3, 12), share=st.floats(0, 0.99), seed=st.integers(0, 99))
def test_complement_rules_are_doubly_stochastic(levels, share, seed):
    rule = complement_rule(levels, share, np.random.default_rng(seed))
    np.testing.assert_allclose(rule.sum(0), 1)
    np.testing.assert_allclose(rule.sum(1), 1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"variants": 1.0}, "variants must be a share"),
        ({"complement": -0.1}, "complement must be"),
        ({"min_length": 9}, "min_length <= mean_length"),
        ({"num_items": 20}, "num_items must be at least"),
        ({"num_users": 0}, "num_users must be at least"),
    ],
)
def test_impossible_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{"num_items": 100, "num_users": 10, **bad})
