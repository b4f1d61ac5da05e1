"""What shortcuts reach: by hand on a few histories, and what it says about data whose rule is known."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from macrec.cli import app
from macrec.data import Histories, from_events
from macrec.data.curio import curio
from macrec.data.split import leave_one_out, training_events
from macrec.errors import NotApplicable
from macrec.evaluation.evaluate import evaluate_each
from macrec.experiments.diagnose import ascending_ids, diagnose, follows_last, metrics_of, popularity_ranks, shuffled
from macrec.systems import Popularity
from macrec.training import drain


def dataset(sequences, num_items=30, times=None):
    events = pl.DataFrame(
        [(f"u{user}", str(item)) for user, items in enumerate(sequences) for item in items],
        schema=["user_id", "item_id"],
        orient="row",
    )
    if times is not None:
        events = events.with_columns(timestamp=pl.Series(times))
    items = pl.DataFrame({"item_id": [str(item) for item in range(num_items)]})
    return from_events("toy", events, items, events_file="events", items_file="items")


@pytest.fixture(scope="module")
def rounds():
    """Everybody walks round a circle of 30 items, from a place of their own: only the order tells what comes next."""
    rng = np.random.default_rng(0)
    return dataset([[(start + step) % 30 for step in range(12)] for start in rng.integers(0, 30, 120)])


def test_a_circle_is_told_by_transitions_and_lost_with_the_order(rounds):
    found = diagnose(rounds)
    assert found.reached["transitions"]["NDCG@10 masked"] == 1.0
    assert found.follows == 1.0 and found.repeats == 0.0 and found.cold == 0.0
    assert found.shuffled["masked"] < 0.8 and found.union["masked"] == 1.0
    assert "text-kNN" not in found.reached and found.tied is None
    assert "should exceed NDCG@10 1.0000 unmasked" in found.sentence
    assert "among the 0% that no baseline has" in found.sentence and "shuffling lowers its score" in found.sentence


def test_targets_and_events_by_hand():
    # Test targets 3, 3, 1: the first followed its last item in training (2, 3), the second was met before.
    data = dataset([[0, 2, 3, 1, 2, 3], [3, 1, 0, 3], [4, 5, 6, 1]], 8, [1, 1, 2, 3, 4, 5, 1, 2, 2, 9, 1, 2, 3, 4])
    split = data.split()
    assert split.test.targets.tolist() == [3, 3, 1]
    assert follows_last(split, 8).tolist() == [True, False, False]
    found = diagnose(data)
    assert (found.follows, found.repeats) == pytest.approx((1 / 3, 2 / 3))
    assert found.tied == pytest.approx(2 / 11)
    assert found.ascending == pytest.approx(7 / 11)
    assert found.cold == 0


def test_ids_that_are_numbers_ascend_as_numbers():
    assert ascending_ids(dataset([[2, 10], [9, 11, 11]])) == 1.0
    assert ascending_ids(dataset([[3, 3]])) == 0.5


def test_popularity_is_ranked_as_the_system_ranks_it(rounds):
    split = rounds.split()
    system = Popularity()
    drain(system.fit(rounds, split))
    ranks = popularity_ranks(split, 30)
    for evaluation in evaluate_each(system, split.test, system._counts, depth=30):
        np.testing.assert_array_equal(evaluation.ranks, ranks[evaluation.mask_seen])
    assert metrics_of(ranks)["HR@10 masked"] == np.mean((ranks[True] >= 1) & (ranks[True] <= 10))


def test_the_union_is_at_least_the_best_and_at_most_the_sum():
    found = diagnose(curio("tiny", num_users=150))
    for word in ("unmasked", "masked"):
        alone = [metrics[f"HR@10 {word}"] for name, metrics in found.reached.items() if name != "all together"]
        assert len(alone) == 4 and max(alone) <= found.union[word] <= sum(alone)
    assert json.loads(json.dumps(found.to_json()))["sentence"] == found.sentence
    assert found.sentence in str(found) and "text-kNN" in str(found)


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=6), st.integers(0, 99))
def test_shuffling_moves_training_events_within_their_users_alone(sequences, seed):
    split = leave_one_out(Histories.from_lists(sequences))
    mixed = split._replace(train=shuffled(split.train, np.random.default_rng(seed)))
    for before, after in zip(training_events(split), training_events(mixed), strict=True):
        assert len(before) == len(after)
    users, items = training_events(split)
    _, moved = training_events(mixed)
    for user in set(users.tolist()):
        assert sorted(items[users == user]) == sorted(moved[users == user])
    held_out = np.setdiff1d(np.arange(len(split.train.items)), _places(split))
    assert (split.train.items[held_out] == mixed.train.items[held_out]).all()


def _places(split):
    return [
        place
        for start, target in zip(split.train.start, split.train.target, strict=True)
        for place in range(start, target + 1)
    ]


def test_nobody_to_test_is_not_applicable():
    with pytest.raises(NotApplicable, match="no user to test on"):
        diagnose(dataset([[1, 2]]))


def test_the_command_prints_the_table_and_the_sentence(tmp_path):
    (tmp_path / "toy").mkdir()
    rows = [{"user_id": f"u{user}", "item_id": f"i{(user + step) % 6}"} for user in range(8) for step in range(5)]
    pl.DataFrame(rows).write_parquet(tmp_path / "toy/interactions.parquet")
    found = CliRunner().invoke(app, ["diagnose", str(tmp_path / "toy")])
    assert found.exit_code == 0 and "a learned model should exceed" in found.output and "popularity" in found.output
    found = CliRunner().invoke(app, ["diagnose", str(tmp_path / "toy"), "--json"])
    assert set(json.loads(found.output)["reached"]) == {"popularity", "transitions", "item-kNN", "all together"}
