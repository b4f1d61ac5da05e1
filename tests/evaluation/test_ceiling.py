"""The reachable ceiling: which ranker is which, and popularity counted by hand."""

import dataclasses

import numpy as np
import polars as pl

from macrec.data import Histories, from_events, leave_one_out
from macrec.data.curio import Oracle, curio
from macrec.data.curio.world import build
from macrec.evaluation.ceiling import ceiling, popularity_ranks
from macrec.evaluation.metrics import ranking_metrics


def test_popularity_counts_training_events_only_and_breaks_ties_by_item_number():
    # Training parts: [0, 1], [1, 4] and [4, 3, 4]; items 2 and 5 are met as held-out targets alone.
    histories = Histories.from_lists([[0, 1, 2, 5], [1, 4, 2, 5], [4, 3, 4, 5, 2], [2, 0], [3, 5, 2]])
    # The last user has one training event, which is in no training sample and does not count, as for the systems.
    # Item 4 has 3 events, items 0 and 1 have 2, items 2 and 3 have 1, item 5 none.
    split = leave_one_out(histories)
    test = split.test
    assert test.targets.tolist() == [5, 5, 2, 2]
    assert popularity_ranks(split, test, num_items=6).tolist() == [6, 6, 4, 4]
    for item, rank in enumerate([2, 3, 4, 5, 1, 6]):
        one = dataclasses.replace(test, items=np.full_like(test.items, item))
        assert set(popularity_ranks(split, one, num_items=6).tolist()) == {rank}


def test_every_ranker_stands_under_its_own_name():
    data = curio("tiny", num_users=120)
    found = ceiling(data)
    test = leave_one_out(data.histories).test
    blind = {"text-only oracle": "image", "image-only oracle": "text"}
    for name in ("oracle", "text-only oracle", "image-only oracle"):
        world = build(data.world.settings, blind_to=blind.get(name))
        assert found[name] == ranking_metrics(Oracle(world).ranks(test))
    assert list(found) == ["oracle", "text-only oracle", "image-only oracle", "popularity"]
    assert found["text-only oracle"] != found["image-only oracle"]
    assert list(found["popularity"]) == ["HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"]


def test_where_rules_are_hidden_what_contents_can_tell_is_a_mark_of_its_own():
    data = curio("tiny", num_users=120, hidden=2)
    test = leave_one_out(data.histories).test
    found = ceiling(data)
    assert list(found) == ["oracle", "text-only oracle", "image-only oracle", "content-only oracle", "popularity"]
    blind = build(data.world.settings, blind_to="crowd")
    assert found["content-only oracle"] == ranking_metrics(Oracle(blind).ranks(test))


def test_no_more_users_are_measured_than_asked_for():
    data = curio("tiny", num_users=120)
    split = leave_one_out(data.histories)
    test = split.test.take(np.arange(20))
    found = ceiling(data, max_users=20)
    assert found["oracle"] == ranking_metrics(Oracle(data.world).ranks(test))
    assert found["popularity"] == ranking_metrics(popularity_ranks(split, test, data.num_items))


def toy(length):
    events = pl.DataFrame({"user_id": ["u"] * length, "item_id": [f"i{k}" for k in range(length)]})
    return from_events("toy", events, events.select("item_id"), events_file="events", items_file="items")


def test_elsewhere_only_popularity_is_known():
    assert list(ceiling(toy(3))) == ["popularity"]


def test_histories_too_short_to_test_have_no_marks():
    assert ceiling(toy(2)) == {}
