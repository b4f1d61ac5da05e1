"""Cold items of curio: only last steps take them, by a law that is stated, and the oracle knows it exactly."""

import dataclasses
import math

import numpy as np
import pytest

from macrec.data.curio import Oracle, Settings, curio
from macrec.data.curio.shoppers import shop
from macrec.data.curio.world import World, build
from macrec.data.split import PADDING, item_counts, leave_one_out
from macrec.evaluation.ceiling import known_ranks

SHOP = Settings(num_items=120, num_users=4_000, seed=3, cold=0.1, cold_last=0.3)


@pytest.fixture(scope="module")
def world() -> World:
    return build(SHOP)


def chance(world: World, taste: int, history: list[int], item: int, last: bool) -> float:
    """p(item | history, taste) spelled out from the definition in `world`, one item at a time."""
    plain = build(dataclasses.replace(SHOP, cold=0.0))  # the weights of all items, cold or not

    def law(among: np.ndarray) -> float:
        def weight(j: int) -> float:
            move = world.complement[world.cell[history[-1]], world.cell[j]] if history else 1.0
            return float(move * plain.weight[taste, j])

        rest = [j for j in np.flatnonzero(among) if j not in history]
        return weight(item) / sum(map(weight, rest)) if item in rest else 0.0

    warm = law(~world.cold)
    return (1 - SHOP.cold_last) * warm + SHOP.cold_last * law(world.cold) if last else warm


def test_oracle_equals_bayes_rule_written_out(world):
    history = [int(item) for item in np.flatnonzero(~world.cold)[[5, 17, 80]]]
    evidence = np.array(
        [
            math.prod(chance(world, taste, history[:step], history[step], last=False) for step in range(3))
            for taste in range(world.num_tastes)
        ]
    )
    posterior = evidence / evidence.sum()
    some = [*np.flatnonzero(world.cold)[:3], *np.flatnonzero(~world.cold)[:6], *history]
    padded = np.array([[PADDING, *history]] * 2, np.int32)
    found = Oracle(world).probabilities(padded, np.array([True, False]))
    for row, last in enumerate((True, False)):
        expected = [
            sum(posterior[z] * chance(world, z, history, item, last) for z in range(world.num_tastes)) for item in some
        ]
        np.testing.assert_allclose(found[row, some], expected, rtol=1e-9)
    np.testing.assert_allclose(found[0], Oracle(world).probabilities(padded)[0])  # a last step, unless told


def test_probabilities_sum_to_one_and_to_the_share_over_cold_items(world):
    samples = leave_one_out(shop(world)).test.take(np.arange(100))
    predictive = Oracle(world).probabilities(samples.padded())
    np.testing.assert_allclose(predictive.sum(1), 1.0)
    np.testing.assert_allclose(predictive[:, world.cold].sum(1), SHOP.cold_last)
    before = Oracle(world).probabilities(samples.padded(), np.zeros(100, bool))
    np.testing.assert_allclose(before.sum(1), 1.0)
    assert (before[:, world.cold] == 0).all()


def test_cold_items_are_last_items_and_nothing_else(world):
    histories = shop(world)
    split = leave_one_out(histories)
    place = np.flatnonzero(world.cold[histories.items])
    assert np.isin(place, histories.offsets[1:] - 1).all()
    assert (world.cold == (item_counts(split, len(world.cold)) == 0)).all()
    assert not world.cold[split.train.targets].any() and not world.cold[split.valid.targets].any()
    share = world.cold[split.test.targets].mean()
    assert share == pytest.approx(SHOP.cold_last, abs=4 * math.sqrt(0.3 * 0.7 / SHOP.num_users))
    assert world.cold.sum() == round(0.1 * SHOP.num_items)
    pairs = histories.users.astype(np.int64) * SHOP.num_items + histories.items
    assert len(np.unique(pairs)) == len(pairs)


@pytest.mark.parametrize("of_cold", [True, False])
def test_shoppers_follow_the_stated_law(world, of_cold):
    # As for the plain catalog: hits among the best of the one kind of items, against the sum of stated probabilities.
    samples = leave_one_out(shop(world)).test
    expected, variance, hits = 0.0, 0.0, 0
    for place, predictive in Oracle(world).batches(samples):
        kind = np.where(world.cold == of_cold, predictive, -1.0)
        top = np.argsort(-kind, axis=1)[:, :3]
        share = np.take_along_axis(predictive, top, 1).sum(1)
        expected, variance = expected + share.sum(), variance + (share * (1 - share)).sum()
        hits += int((top == samples.targets[place][:, None]).any(1).sum())
    assert abs(hits - expected) < 4 * math.sqrt(variance)


def test_ranks_know_which_steps_are_last():
    data = curio("tiny", cold=0.1)
    split = data.split()
    assert data.last_steps(split.test).all() and not data.last_steps(split.valid).any()
    for samples, last in ((split.test, True), (split.valid, False)):
        kinds = np.full(len(samples), last)
        found = known_ranks(data, samples)["oracle"]
        assert (found == data.oracle.ranks(samples, kinds)).all()
        assert (found != data.oracle.ranks(samples, ~kinds)).any()


def test_a_cold_item_in_a_history_says_nothing_about_the_taste(world):
    cold, warm = (np.flatnonzero(kind)[:3] for kind in (world.cold, ~world.cold))
    oracle = Oracle(world)
    with_cold, without = (np.array([row], np.int32) for row in ([*warm, cold[0]], [*warm]))
    assert np.isfinite(oracle.probabilities(with_cold)).all()
    np.testing.assert_allclose(oracle.steps(with_cold)[0], oracle.steps(without)[0])


def test_texts_and_pictures_stay_as_they_were():
    plain, data = curio("tiny"), curio("tiny", cold=0.08)
    assert data.text_fingerprint == plain.text_fingerprint and data.images.fingerprint == plain.images.fingerprint
    assert plain.world.last_law is None and not plain.world.cold.any()
    assert curio("tiny", cold_last=0.5).fingerprint == plain.fingerprint  # of nothing


def test_who_is_blind_sees_the_same_cold_items_by_the_same_share():
    settings = dataclasses.replace(SHOP, hidden=1)
    worlds = [build(settings, blind_to) for blind_to in (None, "text", "image", "crowd")]
    assert all((each.cold == worlds[0].cold).all() for each in worlds)
    samples = leave_one_out(shop(worlds[0])).test.take(np.arange(20))
    for each in worlds:
        np.testing.assert_allclose(Oracle(each).probabilities(samples.padded())[:, each.cold].sum(1), SHOP.cold_last)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"cold": 1.0}, "cold must be a share"),
        ({"cold_last": -0.1}, "cold_last must be a share"),
        ({"cold": 0.5}, "twice max_length. without the 60 cold ones"),
        ({"min_length": 2}, "min_length must be at least 3"),
    ],
)
def test_impossible_settings_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SHOP, **bad)
