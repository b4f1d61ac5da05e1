"""The truth behind curio: what the world states, what shoppers do and what the oracle knows must be one."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.curio import PICTURE_FACTORS, TEXT_FACTORS, Oracle, Settings, curio
from macrec.data.curio.shoppers import Walk, shop
from macrec.data.curio.vocabulary import MATERIALS_OF
from macrec.data.curio.world import FACTORS, World, build, complement_rule, likings
from macrec.data.histories import Histories
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
@settings(max_examples=25)
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
    samples = leave_one_out(shop(world)).test
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
    samples = leave_one_out(shop(world)).test
    oracle = Oracle(world).ranks(samples)
    reads_only = Oracle(build(world.settings, blind_to="image")).ranks(samples)
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


def test_a_complement_rule_follows_one_cycle_and_prefers_the_first_step():
    rule = complement_rule(6, 0.6, np.random.default_rng(0))
    after = rule.argmax(1)
    seen = [0]
    while len(seen) < 6:
        seen.append(int(after[seen[-1]]))
    assert sorted(seen) == list(range(6)) and after[seen[-1]] == 0  # one cycle through all levels
    for level in range(6):
        expected = np.full(6, 0.4 / 6)
        expected[after[level]] += 0.4
        expected[after[after[level]]] += 0.2
        np.testing.assert_allclose(rule[level], expected)


def test_liking_adds_its_log_weight_for_every_liked_level():
    settings = Settings(num_items=500, num_users=10, popularity=0, liking=0.7, seed=5)
    world = build(settings)
    steps = np.log(world.weight / world.weight.min(1, keepdims=True)) / 0.7
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-9)
    steps = np.round(steps)
    assert world.num_tastes == 36 and steps.max() <= 4  # brand, material, shape and pattern, each liked or not
    for factor in ("brand", "material", "shape", "pattern"):
        others = [name for name in ("brand", "material", "shape", "pattern") if name != factor]
        key = np.stack([world.factors[name] for name in others], axis=1)
        _, group = np.unique(key, axis=0, return_inverse=True)
        spread = [np.ptp(steps[0, group.reshape(-1) == g]) for g in range(group.max() + 1)]
        assert max(spread) == 1  # items alike in all other factors differ by this factor's one like


def test_popularity_is_the_deviation_of_log_weights():
    flat = build(Settings(num_items=4_000, num_users=10, popularity=0.5, liking=0))
    assert (flat.weight == flat.weight[:1]).all()
    assert np.log(flat.weight[0]).std() == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize(
    ("modality", "hidden", "likings", "moves"),
    [
        ("image", PICTURE_FACTORS, ("brand", "material"), ("category", "purpose")),
        ("text", TEXT_FACTORS, ("shape", "pattern"), ("category", "palette")),
    ],
)
def test_who_cannot_see_or_read_sees_the_same_shop_without_those_rules(modality, hidden, likings, moves):
    settings = Settings(num_items=600, num_users=10, popularity=0)
    full, blind = build(settings), build(settings, blind_to=modality)
    assert all((full.factors[name] == blind.factors[name]).all() for name in FACTORS)

    def varies(values: np.ndarray, names: tuple[str, ...], world: World) -> bool:
        """Whether `values` `[N]` differ among items that share all these factors."""
        _, group = np.unique(np.stack([world.factors[name] for name in names], axis=1), axis=0, return_inverse=True)
        return any(np.ptp(values[group.reshape(-1) == g]) > 1e-12 for g in range(group.max() + 1))

    move = blind.complement[blind.cell[0]][blind.cell]
    assert not varies(blind.weight[0], likings, blind) and not varies(move, moves, blind)
    assert varies(full.weight[0], likings, full) and varies(full.complement[full.cell[0]][full.cell], moves, full)
    # And it does depend on each of those that are left.
    assert all(varies(blind.weight[0], tuple({*likings} - {name}), blind) for name in likings)
    assert all(varies(move, tuple({*moves} - {name}), blind) for name in moves)
    assert not {*likings, *moves} & {*hidden}


def test_an_unknown_blindness_is_refused():
    with pytest.raises(ValueError, match="one can be blind to"):
        build(Settings(num_items=100, num_users=10), blind_to="picture")


def test_exact_draws_follow_the_law_and_need_no_luck(world):
    # One shopper of every taste, far from home: what is drawn from the weights written out has the stated frequency.
    walk, rng = Walk(world), np.random.default_rng(0)
    history, taste = [5, 17, 80], 7
    drawn = walk.draw_new(np.full(20_000, taste), np.tile(np.array(history, np.int32), (20_000, 1)), rng)
    expected = np.array([chance(world, taste, history, item) for item in range(len(world.cell))])
    counts = np.bincount(drawn, minlength=len(expected))
    assert counts[history].sum() == 0
    deviation = (counts - 20_000 * expected) / np.sqrt(np.maximum(20_000 * expected, 1))
    assert abs(deviation).max() < 5


@pytest.mark.parametrize("extreme", [{"popularity": 8.0}, {"liking": 10.0}])
def test_shoppers_of_a_lopsided_shop_still_finish(extreme):
    histories = shop(build(Settings(num_items=160, num_users=60, **extreme)))
    pairs = histories.users.astype(np.int64) * 160 + histories.items
    assert len(np.unique(pairs)) == len(pairs)


def test_every_taste_likes_as_many_levels_as_stated():
    for seed in range(50):
        liked = likings({"brand": (24, 5), "material": (10, 3), "shape": (6, 2)}, np.random.default_rng(seed))
        assert {name: set(mask.sum(1)) for name, mask in liked.items()} == {"brand": {5}, "material": {3}, "shape": {2}}
        assert all(np.ptp(mask.sum(0)) <= 1 for mask in liked.values())


def test_ties_count_against_the_oracle(world, monkeypatch):
    stated = np.array([[0.5, 0.25, 0.25, 0.0], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
    monkeypatch.setattr(Oracle, "probabilities", lambda self, items, last: stated[: len(items)])
    samples = leave_one_out(Histories.from_lists([[0, 3, 1], [0, 1, 3], [3, 1, 2]])).test
    assert Oracle(world).ranks(samples).tolist() == [3, 1, 4]


def test_the_oracle_does_not_depend_on_the_batch(world, monkeypatch):
    from macrec.data.curio import oracle

    samples = leave_one_out(shop(world)).test.take(np.arange(50))
    whole = Oracle(world).ranks(samples)
    monkeypatch.setattr(oracle, "BATCH", 7)
    assert [place.stop - place.start for place, _ in Oracle(world).batches(samples)] == [7] * 7 + [1]
    assert (Oracle(world).ranks(samples) == whole).all()


def test_a_batch_shrinks_as_the_shop_grows(world):
    # The sizes of batches follow the settings alone, so a small shop may pretend to be a large one.
    samples = leave_one_out(shop(world)).test.take(np.arange(9))
    for items, largest in ((10**6, 9), (25_000_000, 4), (10**9, 1)):
        pretending = dataclasses.replace(world, settings=Settings(num_items=items, num_users=1))
        sizes = [place.stop - place.start for place, _ in Oracle(pretending).batches(samples)]
        assert sum(sizes) == 9 and max(sizes) == largest and max(sizes) * items * 8 <= max(8 * items, 8e8)


def test_lengths_fall_geometrically_and_in_no_order_of_users(world):
    lengths = shop(world).lengths
    assert (lengths == 4).mean() == pytest.approx(1 / 5, abs=0.03)  # mean 4 beyond the least: a fifth adds nothing
    assert (lengths == 5).mean() == pytest.approx(4 / 25, abs=0.03)
    assert lengths[:1_500].mean() == pytest.approx(lengths[1_500:].mean(), rel=0.1)


def test_shoppers_in_several_chunks_follow_one_another(monkeypatch):
    from macrec.data.curio import shoppers

    monkeypatch.setattr(shoppers, "CHUNK", 64)
    histories = shop(build(Settings(num_items=120, num_users=150)))
    assert len(histories) == 150 and histories.lengths.min() >= 4
    first, second = (histories.items[histories.offsets[u] : histories.offsets[u + 64]] for u in (0, 64))
    assert first[:50].tolist() != second[:50].tolist()  # each chunk has its own stream


def test_materials_suit_their_category():
    world = build(Settings(num_items=3_000, num_users=10))
    for category, allowed in enumerate(MATERIALS_OF):
        found = set(world.factors["material"][world.factors["category"] == category].tolist())
        assert found == set(allowed)


def test_asking_for_more_variants_leaves_the_other_items_alone():
    few, many = (build(Settings(num_items=1_000, num_users=10, variants=share)) for share in (0.1, 0.3))
    own = (few.original == np.arange(1_000)) & (many.original == np.arange(1_000))
    assert own.sum() == 700
    assert all((few.factors[name][own] == many.factors[name][own]).all() for name in FACTORS)
    assert (few.has_picture == many.has_picture).all()


def test_pictures_follow_seed_size_and_what_is_missing():
    shops = [curio("tiny"), curio("tiny", seed=1), curio("tiny", picture_size=64), curio("tiny", no_picture=0.5)]
    assert len({shop.images.fingerprint for shop in shops}) == 4
    assert curio("tiny", no_description=0.5).images.fingerprint == shops[0].images.fingerprint
    original = shops[0].world.original
    pictured = shops[0].images.present & shops[0].images.present[original] & (original != np.arange(len(original)))
    variant = int(np.flatnonzero(pictured)[0])  # a variant is photographed again, from a slightly other place
    first, again = shops[0].images.open(int(original[variant])), shops[0].images.open(variant)
    assert first.size == (96, 96) and first.tobytes() != again.tobytes()
    with pytest.raises(KeyError, match="has no picture"):
        shops[3].images.open(int(np.flatnonzero(~shops[3].images.present)[0]))


def test_what_the_shop_withholds_is_absent_from_the_item_table():
    data = curio("tiny", no_description=0.4, no_picture=0.4)
    assert ((data.items["description"] != "").to_numpy() == data.world.has_description).all()
    assert (data.items["image"].is_not_null().to_numpy() == data.images.present).all()
    assert (data.items["title"] != "").all() and data.items["item_id"].is_unique().all()
