"""Evaluation of a system: the toy values of the specification (T7), scikit-learn as second opinion, groups by hand."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, top_k_accuracy_score

from macrec.data import from_events, leave_one_out
from macrec.data.curio import curio
from macrec.data.ranking import NOT_RANKED, Ranking, top_k
from macrec.data.split import Samples, item_counts
from macrec.errors import DataError
from macrec.evaluation.ceiling import popularity_ranks
from macrec.evaluation.cold import cold_exposure, cold_metrics
from macrec.evaluation.evaluate import content_groups, evaluate, target_groups
from macrec.evaluation.metrics import gains, hit_rate, mrr, ndcg
from macrec.systems import Popularity, ScoringSystem


class Table(ScoringSystem):
    """Scores out of a table `[U, N]`, by user."""

    name = "table"

    def __init__(self, table):
        self.table = np.asarray(table, np.float64)

    def fit(self, data, split):
        return iter(())

    @property
    def num_items(self):
        return self.table.shape[1]

    def scores(self, samples):
        return self.table[samples.user]


class Lists:
    """Says the lists it is given, by user, whatever is asked."""

    name = "lists"

    def __init__(self, lists):
        self.items = np.array(lists, np.int64)

    def fit(self, data, split):
        return iter(())

    def recommend(self, samples, k, mask_seen=False):
        items = self.items[samples.user]
        return Ranking(items, np.where(items < 0, -np.inf, -np.arange(items.shape[1], dtype=float)))


def toy_samples(targets, history=(0,)):
    items = np.array([item for target in targets for item in (*history, target)], np.int32)
    end = np.arange(1, len(targets) + 1) * (len(history) + 1) - 1
    return Samples(items, np.arange(len(targets), dtype=np.int32), end - len(history), end)


def test_a_system_with_the_ranks_of_the_specification_gets_its_values():
    targets, ranks = [40, 40, 40, 40, 40], [1, 3, 11, NOT_RANKED, 7]
    lists = [[40 if place == rank else place for place in range(1, 13)] for rank in ranks]
    found = evaluate(Lists(lists), toy_samples(targets), np.ones(50, int), depth=12, batch=2)
    assert found.ranks.tolist() == ranks
    values = found.metrics()
    expected = {"HR@1": 0.2, "HR@5": 0.4, "HR@10": 0.6, "NDCG@5": 0.3, "NDCG@10": 0.366667, "missed@12": 0.2}
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert values["MRR@12"] == pytest.approx((1 + 1 / 3 + 1 / 11 + 1 / 7) / 5)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(11, 30), st.integers(2, 10))
def test_metrics_equal_scikit_learn(seed, users, items, k):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(float(items)), (users, 1)), axis=1)
    targets = rng.integers(0, items, users)
    relevance = np.eye(items)[targets]
    found = evaluate(Table(scores), toy_samples(targets), np.ones(items, int), ks=(1, k), depth=k, batch=5).metrics()
    assert found[f"NDCG@{k}"] == pytest.approx(ndcg_score(relevance, scores, k=k))
    for cut in (1, k):
        assert found[f"HR@{cut}"] == pytest.approx(top_k_accuracy_score(targets, scores, k=cut, labels=range(items)))
    assert found[f"missed@{k}"] == pytest.approx(1 - found[f"HR@{k}"])


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.integers(1, 9), st.booleans())
def test_the_batch_size_changes_nothing(seed, batch, mask_seen):
    rng = np.random.default_rng(seed)
    system = Table(rng.integers(0, 4, (8, 15)))
    samples = toy_samples(rng.integers(0, 15, 8), history=(3, 5))
    for ties in ("ranking", "pessimistic"):
        one, many = (
            evaluate(system, samples, np.arange(15), ks=(1, 3), depth=5, mask_seen=mask_seen, ties=ties, batch=size)
            for size in (1000, batch)
        )
        assert one.ranks.tolist() == many.ranks.tolist()
        assert one.metrics() == many.metrics()
        masked = top_k(system.table, 3, exclude=samples.padded() if mask_seen else None).items
        assert one.shown.tolist() == np.bincount(masked.ravel(), minlength=15).tolist()


def test_a_constant_score_gains_nothing_when_ties_are_pessimistic():
    samples, counts = toy_samples([1, 1, 1]), np.ones(6, int)
    system = Table(np.zeros((3, 6)))
    assert evaluate(system, samples, counts, ks=(1, 5), depth=5).metrics()["HR@5"] == 1.0
    found = evaluate(system, samples, counts, ks=(1, 5), depth=5, ties="pessimistic")
    assert found.ranks.tolist() == [NOT_RANKED] * 3  # rank 6 of 6 is below the depth
    assert evaluate(system, samples, counts, ks=(1,), depth=6, ties="pessimistic").ranks.tolist() == [6, 6, 6]
    # Item 0 is the history: masked, it no longer stands before the target.
    seen = evaluate(system, samples, counts, ks=(1,), depth=6, ties="pessimistic", mask_seen=True)
    assert seen.ranks.tolist() == [5, 5, 5]


def test_coverage_novelty_and_unfilled_places_by_hand():
    # Four items with 3, 1, 0 and 0 training events; the plus-one shares are 4/8, 2/8, 1/8 and 1/8.
    lists = [[0, 1, 2], [0, -1, -1]]
    found = evaluate(Lists(lists), toy_samples([1, 1]), np.array([3, 1, 0, 0]), ks=(1, 2), depth=3)
    values = found.metrics()
    assert found.shown.tolist() == [2, 1, 0, 0]
    assert values["coverage@2"] == 0.5  # item 2 stands third
    assert values["novelty@2"] == pytest.approx((1 + 1 + 2) / 3)
    assert values["unfilled@2"] == 0.25
    assert values["missed@3"] == 0.5
    nothing = evaluate(Lists([[-1, -1]] * 2), toy_samples([1, 1]), np.ones(4, int), ks=(1, 2), depth=2).metrics()
    assert nothing["unfilled@2"] == 1.0
    assert math.isnan(nothing["novelty@2"])


def test_cold_targets_are_measured_apart_by_hand():
    # Items 2 and 3 are cold; the users' targets stand at rank 1, 2, 1 and nowhere.
    lists, counts = [[1, 2], [2, 1], [3, 0], [0, 1]] * 5, np.array([3, 1, 0, 0])
    samples = toy_samples([1, 1, 3, 2] * 5)
    cold = counts[samples.targets] == 0
    found = evaluate(Lists(lists), samples, counts, ks=(1, 2), depth=2, groups={"cold": cold}).metrics()
    assert found["HR@2 in-set"] == 1.0 and found["HR@2 cold"] == 0.5
    assert found["NDCG@2 in-set"] == pytest.approx((1 + 1 / math.log2(3)) / 2) and found["NDCG@2 cold"] == 0.5
    assert found["exposure@2"] == 3 / 8
    plain = evaluate(Lists(lists), samples, counts, ks=(1, 2), depth=2).metrics()
    assert {name: value for name, value in found.items() if name in plain} == plain
    assert set(found) - set(plain) == {"HR@2 in-set", "NDCG@2 in-set", "HR@2 cold", "NDCG@2 cold", "exposure@2"}


@pytest.mark.parametrize(
    ("cold", "users", "measured"),
    [(0, 300, False), (9, 300, False), (10, 300, True), (10, 1_001, False), (20, 20, False)],
)
def test_a_few_cold_targets_and_nothing_else_are_not_measured_apart(cold, users, measured):
    ranks, mask = np.ones(users, np.int64), np.arange(users) < cold
    assert bool(cold_metrics(ranks, mask)) == measured and not cold_metrics(ranks, None)


def test_where_nothing_is_shown_there_is_no_exposure():
    assert math.isnan(cold_exposure(np.zeros(3, np.int64), np.array([1, 0, 0])))


def test_what_does_not_fit_is_refused():
    system, counts = Table(np.zeros((2, 6))), np.ones(6, int)
    samples = toy_samples([1, 2])
    with pytest.raises(DataError, match="no user to evaluate on"):
        evaluate(system, samples.take(np.zeros(0, int)), counts)
    for bad in ({"ks": (5, 30)}, {"ks": ()}, {"ks": (0, 5)}):
        with pytest.raises(ValueError, match="depth at least the largest"):
            evaluate(system, samples, counts, **bad)
    for mask in (np.ones(3, bool), np.ones(2, int)):
        with pytest.raises(ValueError, match='group "odd"'):
            evaluate(system, samples, counts, groups={"odd": mask})
    with pytest.raises(ValueError, match="scores every item"):
        evaluate(Lists([[1], [2]]), samples, counts, ties="pessimistic")
    with pytest.raises(ValueError, match="returned 2 items instead of at most 1"):
        evaluate(Lists([[1, 0], [2, 0]]), samples, counts, ks=(1,), depth=1)
    with pytest.raises(ValueError, match="a metric is"):
        gains([1], "recall@5")
    with pytest.raises(ValueError, match="at least 1"):
        mrr([1], 0)


class HalfPictured:
    """Ten items, the first five with a picture."""

    fingerprint = "half"
    present = np.arange(10) < 5


def catalog():
    # Item 0 has 4 training events, item 1 has 2, items 2 and 3 have 1; items 7 and 9 are met only when held out.
    sequences = [[0, 1, 7, 0], [0, 2, 9, 3], [0, 1, 1, 7], [0, 3, 5, 4, 2, 6, 8, 9]]
    rows = [(f"u{user}", f"i{item}") for user, items in enumerate(sequences) for item in items]
    return from_events(
        "groups",
        pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": [f"i{item}" for item in range(10)]}),
        events_file="events",
        items_file="items",
        images=HalfPictured(),
    )


def test_targets_fall_into_groups_by_what_training_knows_of_them():
    data = catalog()
    split = leave_one_out(data.histories)
    assert item_counts(split, 10).tolist() == [4, 2, 2, 1, 1, 1, 1, 0, 0, 0]
    assert split.test.targets.tolist() == [0, 3, 7, 9]
    groups = target_groups(data, split, split.test, head=0.2, short=3)
    assert {name: mask.tolist() for name, mask in groups.items()} == {
        "head": [True, False, False, False],
        "tail": [False, True, False, False],
        "cold": [False, False, True, True],
        "with picture": [True, True, False, False],
        "without picture": [False, False, True, True],
        "short history": [True, True, True, False],
        "long history": [False, False, False, True],
    }


def test_groups_by_contents_are_those_that_hold_some_users_and_not_all():
    data = catalog()
    samples = leave_one_out(data.histories).test
    described = np.isin(np.arange(10), (0, 7))
    texts = pl.Series("description", ["words" if known else "" for known in described])
    groups = content_groups(replace(data, items=data.items.with_columns(texts)), samples)
    assert {name: mask.tolist() for name, mask in groups.items()} == {
        "with picture": [True, True, False, False],
        "without picture": [False, False, True, True],
        "without description": [False, True, False, True],
        "without text": [False, True, False, True],
    }
    titled = data.items.with_columns(texts, title=pl.lit("a title"))
    assert "without text" not in content_groups(replace(data, items=titled), samples)
    assert list(content_groups(data, samples)) == ["with picture", "without picture"]  # no item has a text


def test_a_cold_target_is_never_head():
    data = catalog()
    split = leave_one_out(data.histories)
    groups = target_groups(data, split, split.test, head=1.0)
    assert groups["head"].tolist() == [True, True, False, False]
    assert groups["cold"].tolist() == [False, False, True, True]
    assert not groups["tail"].any()


def test_popularity_stands_where_the_ceiling_puts_it():
    data = curio("tiny", num_users=150)
    split = leave_one_out(data.histories)
    system = Popularity()
    list(system.fit(data, split))
    counts = item_counts(split, data.num_items)
    found = evaluate(system, split.test, counts, depth=data.num_items)
    assert found.ranks.tolist() == popularity_ranks(split, split.test, data.num_items).tolist()


def test_the_table_of_groups_equals_metrics_of_the_users_in_them():
    data = catalog()
    split = leave_one_out(data.histories)
    system = Popularity()
    list(system.fit(data, split))
    groups = target_groups(data, split, split.test, head=0.2, short=3) | {"nobody": np.zeros(4, bool)}
    counts = item_counts(split, 10)
    found = evaluate(system, split.test, counts, ks=(1, 4), depth=8, groups=groups)
    table = found.by_group()
    assert table["group"].to_list() == ["all", *groups]
    for row in table.iter_rows(named=True):
        ranks = found.ranks[groups.get(row["group"], np.ones(4, bool))]
        assert row["users"] == len(ranks)
        if row["group"] == "nobody":
            assert {row[name] for name in table.columns[2:]} == {None}
            continue
        expected = [hit_rate(ranks, 1), hit_rate(ranks, 4), ndcg(ranks, 4), mrr(ranks, 8), (ranks == NOT_RANKED).mean()]
        assert [row[name] for name in ("HR@1", "HR@4", "NDCG@4", "MRR@8", "missed@8")] == pytest.approx(expected)
    everyone = table.row(0, named=True)
    assert {name: everyone[name] for name in table.columns[2:]}.items() <= found.metrics().items()
