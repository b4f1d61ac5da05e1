"""Hidden rules of curio: neither text nor picture shows what they run over, and everything else stays as it was."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest

from macrec.data.curio import FACTORS, Oracle, Settings, curio
from macrec.data.curio.shoppers import shop
from macrec.data.curio.world import CROWD_FACTORS, RULES, World, build
from macrec.data.split import leave_one_out
from macrec.encoders.factors import factors_of
from macrec.evaluation.metrics import ndcg

SHOP = Settings(num_items=160, num_users=2_000, seed=4)
SHOWN = {"": {*RULES}, "text": {"category", "palette"}, "image": {"category", "purpose"}, "crowd": {*RULES}}
"""The factors of complement rules that are known to who is blind to something, where none is hidden."""


def hiding(hidden: int, blind_to: str | None = None) -> World:
    return build(dataclasses.replace(SHOP, hidden=hidden), blind_to)


def settled_by(world: World, factors: set[str]) -> bool:
    """Whether a move to an item has the same weight as one to any other item that is equal in all `factors`."""
    move = world.complement[world.cell[:, None], world.cell[None, :]]
    levels = np.stack([np.zeros_like(world.cell), *(world.factors[name] for name in sorted(factors))], axis=1)
    _, group = np.unique(levels, axis=0, return_inverse=True)
    alike = [np.flatnonzero(group.reshape(-1) == each) for each in range(group.max() + 1)]
    return all(np.ptp(move[:, rows], axis=1).max() < 1e-12 for rows in alike)


@pytest.mark.parametrize(
    ("size", "seed", "fingerprint"),
    [
        ("tiny", 0, "c5e12ae7f7627ae4e048d0af6bb0b8b1"),
        ("tiny", 1, "e5ea0fac9d230cd4bb92f04c57e52883"),
        ("small", 0, "a9d255f2a74e7111b5a5fa372a5b7c15"),
    ],
)
def test_the_catalog_without_settings_is_the_one_it_always_was(size, seed, fingerprint):
    data = curio(size, seed=seed)
    assert data.fingerprint == fingerprint  # that of the commit before there were hidden rules
    assert set(data.world.factors) == set(FACTORS) and not {*CROWD_FACTORS.values()} & {*data.items.columns}


@pytest.mark.parametrize("hidden", range(4))
@pytest.mark.parametrize("blind_to", [None, "text", "image", "crowd"])
def test_rules_run_over_crowds_and_who_is_blind_has_those_flat(hidden, blind_to):
    covered = dict(list(CROWD_FACTORS.items())[:hidden])
    expected = SHOWN[blind_to or ""] - {*covered} | (set() if blind_to else {*covered.values()})
    world = hiding(hidden, blind_to)
    assert settled_by(world, expected)
    assert not any(settled_by(world, expected - {name}) for name in expected)


@pytest.mark.parametrize("hidden", [1, 2, 3])
def test_texts_pictures_and_likings_stay_as_they_were(hidden):
    plain, data = curio("tiny"), curio("tiny", hidden=hidden)
    assert data.text_fingerprint == plain.text_fingerprint and data.images.fingerprint == plain.images.fingerprint
    assert data.fingerprint != plain.fingerprint
    assert (data.world.weight == plain.world.weight).all()


def test_more_hidden_rules_leave_the_first_factors_as_they_were():
    one, three = hiding(1), hiding(3)
    assert (one.factors["crowd_1"] == three.factors["crowd_1"]).all()
    assert [name for name in three.factors if name not in FACTORS] == ["crowd_1", "crowd_2", "crowd_3"]


def test_contents_say_nothing_about_crowds():
    world = build(Settings(num_items=20_000, num_users=10, hidden=3, variants=0.4))
    levels = {name: RULES[shown] for shown, name in CROWD_FACTORS.items()}
    for crowd, count in levels.items():
        assert set(world.factors[crowd]) == {*range(count)}
        for shown in FACTORS:
            table = np.zeros((32, count))
            np.add.at(table, (world.factors[shown], world.factors[crowd]), 1)
            table = table[table.sum(1) > 0]
            expected = table.sum(1, keepdims=True) * table.sum(0) / table.sum()
            freedom = (table.shape[0] - 1) * (count - 1)
            assert ((table - expected) ** 2 / expected).sum() < freedom + 5 * math.sqrt(2 * freedom)
        # Nor does the original tell the crowd of its near-duplicate.
        repeats = np.flatnonzero(world.original != np.arange(20_000))
        same = (world.factors[crowd][repeats] == world.factors[crowd][world.original[repeats]]).mean()
        assert same == pytest.approx(1 / count, abs=5 * math.sqrt(1 / count / len(repeats)))


@pytest.mark.parametrize("hidden", [2, 3])
def test_shoppers_follow_the_hidden_rules(hidden):
    world = hiding(hidden)
    samples = leave_one_out(shop(world)).test
    expected, variance, hits = 0.0, 0.0, 0
    for place, predictive in Oracle(world).batches(samples):
        top = np.argsort(-predictive, axis=1)[:, :5]
        share = np.take_along_axis(predictive, top, 1).sum(1)
        expected, variance = expected + share.sum(), variance + (share * (1 - share)).sum()
        hits += int((top == samples.targets[place][:, None]).any(1).sum())
    assert abs(hits - expected) < 4 * math.sqrt(variance)


def test_contents_reach_less_the_more_is_hidden_and_the_oracle_does_not():
    content = []
    for hidden in range(4):
        world = hiding(hidden)
        samples = leave_one_out(shop(world)).test
        content.append(ndcg(Oracle(hiding(hidden, "crowd")).ranks(samples), 10))
        assert ndcg(Oracle(world).ranks(samples), 10) > 0.8 * content[0]
    assert all(after < 0.8 * before for before, after in pairwise(content))


def test_neighborhoods_can_be_judged_by_what_is_hidden():
    assert "crowd_2" in factors_of(curio("tiny", hidden=2)) and "crowd_3" not in factors_of(curio("tiny", hidden=2))


@pytest.mark.parametrize("hidden", [-1, 4, 1.5])
def test_only_so_many_rules_can_be_hidden(hidden):
    with pytest.raises(ValueError, match="hidden must be a whole number from 0 to 3"):
        dataclasses.replace(SHOP, hidden=hidden)
