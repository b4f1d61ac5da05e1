"""All systems in one table: every seed, the same users, marks where they are known, and what an interrupt leaves."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import Histories, from_events
from macrec.data.curio import curio
from macrec.data.ranking import Ranking
from macrec.data.split import item_counts, leave_one_out
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.evaluation.ceiling import known_ranks
from macrec.evaluation.cold import COLD_METRICS
from macrec.evaluation.evaluate import Evaluation, evaluate
from macrec.evaluation.metrics import hit_rate, ranking_metrics
from macrec.evaluation.significance import paired_bootstrap
from macrec.experiments.compare_systems import (
    SystemComparison,
    chosen_users,
    compare_systems,
    seconds_of,
    seeds_of,
)
from macrec.experiments.results import HEADLINE, MASKED, METRICS, Results, masked
from macrec.generation.training import GeneratorTraining
from macrec.systems import PROFILES, Context, Entry, Parameters, registry
from macrec.systems.registry import entries, entry_of, named_without, systems
from macrec.systems.sasrec_training import SASRecTraining
from macrec.tokenizers.training import CodebookTask
from macrec.training import Event
from macrec.viz import results_table

MARKS = ["oracle", "text-only oracle", "image-only oracle"]
PARAMETERS = Parameters("smoke", backbone="t5", levels=3, codewords=6, clusters=6, codebook_epochs=2, beams=20)
SETTINGS = PARAMETERS.settings()
SETTINGS = replace(SETTINGS, generator=replace(SETTINGS.generator, validate_users=20, measurements=2))
MAIN = "MACRec"
SIMPLE = [name for name, entry in registry.entries().items() if entry.counts]


@pytest.fixture(scope="module")
def data():
    return curio("tiny", num_items=80, num_users=60)


@pytest.fixture(scope="module")
def split(data):
    return leave_one_out(data.histories)


@pytest.fixture(scope="module")
def elsewhere():
    """A dataset whose rules nobody knows."""
    rng = np.random.default_rng(0)
    events = [(f"u{user}", f"i{item}") for user in range(30) for item in rng.permutation(40)[:8]]
    return from_events(
        "toy",
        pl.DataFrame(events, schema=["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": [f"i{item}" for item in range(40)]}),
        events_file="events",
        items_file="items",
    )


@pytest.fixture(scope="module")
def embeddings(data):
    rng = np.random.default_rng(0)
    present = {"text": np.ones(data.num_items, bool), "image": data.images.present}
    return {
        name: Embeddings.from_values(
            name, "made", (rng.standard_normal((data.num_items, 12)) * here[:, None]).astype(np.float32), here
        )
        for name, here in present.items()
    }


@pytest.fixture
def context(tmp_path, data, split, embeddings):
    return Context(tmp_path, data, split, embeddings, SETTINGS)


class Guess:
    """Ranks at random, as its name and its seed say, and notes what it was asked; learning may be interrupted."""

    def __init__(self, name, seed, items, log, interrupt=""):
        self.name, self.seed, self.items, self.log, self.interrupt = name, seed, items, log, interrupt

    def fit(self, data, split):
        self.log.append(("fit", self.name, self.seed))
        yield Event(1, 2, 0.25, {"loss": 1.0})
        if self.interrupt == "training":
            raise KeyboardInterrupt
        yield Event(2, 2, 0.5 + self.seed, {"loss": 1.0})

    def recommend(self, samples, k, mask_seen=False):
        if self.interrupt == "ranking":
            raise KeyboardInterrupt
        self.log.append(("ask", self.name, self.seed, samples.user.tolist(), mask_seen))
        rng = np.random.default_rng([len(self.name), self.seed])
        items = np.stack([rng.permutation(self.items)[:k] for _ in range(len(samples))])
        return Ranking(items, np.tile(-np.arange(float(k)), (len(samples), 1)))


def guesses(data, log, names=("popularity", "Guess it", MAIN), **interrupts):
    """Systems by seed; `interrupts`: "NAME SEED" with underscores → where."""
    return lambda seed: {
        name: Guess(name, seed, data.num_items, log, interrupts.get(f"{name}_{seed}".replace(" ", "_"), ""))
        for name in names
    }


def compared(*arguments, **options):
    """`compare_systems`, whose popularity no seed changes, against MACRec."""
    results = compare_systems(*arguments, **options, seedless=SIMPLE)
    results.against = MAIN
    return results


def pairs(results):
    return [(row["system"], row["seed"]) for row in results.rows]


def test_every_system_is_trained_from_every_seed_and_those_that_count_once(elsewhere):
    log, split = [], leave_one_out(elsewhere.histories)
    results = compared(guesses(elsewhere, log), elsewhere, split, [4, 0, 7])
    expected = [
        ("popularity", 4), ("Guess it", 4), (MAIN, 4), ("Guess it", 0), (MAIN, 0), ("Guess it", 7), (MAIN, 7),
    ]  # fmt: skip
    assert pairs(results) == expected == [entry[1:] for entry in log if entry[0] == "fit"]
    assert results.seeds == (4, 0, 7) and not results.stopped
    assert list(results.evaluations) == list(results.systems) == ["popularity", "Guess it", MAIN]
    assert [system.seed for system in results.systems.values()] == [4, 4, 4]  # those of the first seed
    for row in results.rows:
        assert row["seconds"] == 0.5 + row["seed"]


def test_all_are_asked_about_the_same_users_and_rows_hold_their_metrics(elsewhere):
    log, split = [], leave_one_out(elsewhere.histories)
    make = guesses(elsewhere, log)
    for mask_seen in (False, True):
        log.clear()
        results = compared(make, elsewhere, split, [0, 1], users=11, mask_seen=mask_seen)
        users = results.samples.user.tolist()
        assert len(users) == 11
        asked = [entry[3:] for entry in log if entry[0] == "ask"]
        assert asked == [(users, False), (users, True)] * 5  # both protocols, from one training
        assert len([entry for entry in log if entry[0] == "fit"]) == 5
        for row in results.rows:
            system = make(row["seed"])[row["system"]]
            for protocol, ending in ((False, ""), (True, MASKED)):
                counts = item_counts(split, elsewhere.num_items)
                found = evaluate(system, results.samples, counts, mask_seen=protocol)
                assert {f"{name}{ending}": value for name, value in found.metrics().items()}.items() <= row.items()
                np.testing.assert_array_equal(results.ranks[protocol][row["system"]][row["seed"]], found.ranks)
                if row["seed"] == 0 and protocol == mask_seen:
                    np.testing.assert_array_equal(results.evaluations[row["system"]].ranks, found.ranks)
                    assert results.evaluations[row["system"]].mask_seen == mask_seen
        assert results.metric == ("NDCG@10 masked" if mask_seen else "NDCG@10")
    assert results.evaluations[MAIN].groups.keys() >= {"head", "tail", "cold"}
    assert all(len(mask) == 11 for mask in results.evaluations[MAIN].groups.values())


def test_results_by_system_are_means_over_seeds(elsewhere):
    results = compared(guesses(elsewhere, []), elsewhere, leave_one_out(elsewhere.histories), [0, 1, 2])
    found = results.by_system()
    assert list(found) == ["popularity", "Guess it", MAIN]
    for name, metrics in found.items():
        rows = [row for row in results.rows if row["system"] == name]
        assert len(rows) == (1 if name in SIMPLE else 3)
        assert metrics == pytest.approx(
            {metric: np.mean([row[metric] for row in rows]) for metric in (*METRICS, *masked(METRICS))}
        )
    assert results.table.height == 7
    assert results.table["system"].to_list() == [row["system"] for row in results.rows]


def test_differences_are_those_of_the_others_for_the_same_users_and_all_seeds(elsewhere):
    results = compared(guesses(elsewhere, []), elsewhere, leave_one_out(elsewhere.histories), [3, 4])
    for mask_seen in (False, True):
        runs = {name: np.stack(list(of_seed.values())) for name, of_seed in results.ranks[mask_seen].items()}
        assert {name: len(found) for name, found in runs.items()} == {"popularity": 1, "Guess it": 2, MAIN: 2}
        found = results.differences(mask_seen=mask_seen)
        assert list(found) == ["popularity", "Guess it"]
        for name, comparison in found.items():
            assert comparison == paired_bootstrap(runs[name], runs[MAIN], "NDCG@10")
    assert results.differences() == results.differences(mask_seen=False)
    own = {name: metrics["HR@5"] for name, metrics in results.by_system().items()}
    against = results.differences("popularity", "HR@5")
    assert list(against) == ["Guess it", MAIN]
    for name, comparison in against.items():
        assert comparison.metric == "HR@5"
        assert comparison.difference == pytest.approx(own[name] - own["popularity"])
    assert any(comparison.difference for comparison in against.values())


def test_the_lead_is_that_of_the_best_over_the_next_under_both_protocols(elsewhere):
    results = compared(guesses(elsewhere, []), elsewhere, leave_one_out(elsewhere.histories), [3, 4])
    assert list(results.lead()) == ["unmasked", "masked"]
    for mask_seen, found in zip((False, True), results.lead().values(), strict=True):
        means = {name: row[f"NDCG@10{MASKED if mask_seen else ''}"] for name, row in results.by_system().items()}
        best, second, _ = sorted(means, key=means.get, reverse=True)
        assert (found["best"], found["next"]) == (best, second) and found["difference"] >= 0
        paired = results.differences(second, mask_seen=mask_seen)[best]
        assert (found["low"], found["high"]) == (paired.low, paired.high)
    alone = compared(guesses(elsewhere, [], ("popularity",)), elsewhere, leave_one_out(elsewhere.histories), [0])
    assert alone.lead() == {}


def test_systems_that_the_data_do_not_suffice_for_are_named(context, capsys):
    texts = replace(context, embeddings={"text": context.embeddings["text"]})
    SystemComparison(texts).say_unmet()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Left out: ") and "MACRec" in said[0] and said[0].endswith("as they need two modalities.")
    assert said[1:] == ["Left out: LIGER, as it needs a backbone that can have a dense head."]
    SystemComparison(texts, "popularity").say_unmet()
    causal = Parameters("smoke", backbone="causal").settings(context.data.num_items)
    SystemComparison(replace(context, settings=causal)).say_unmet()
    assert capsys.readouterr().out == ""


def test_a_profile_may_compare_fewer_where_none_are_named(context, capsys):
    usual = ("popularity", "TIGER", "MQL4GRec")
    named = SystemComparison(context, reference="MACRec", usual=usual).make(0)
    assert list(named) == ["popularity", "TIGER (text)", "TIGER (image)", "MQL4GRec", "MACRec"]
    SystemComparison(context, usual=usual).say_unmet()
    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Left out: MACRec with dense head") for line in said)
    assert not [line for line in said if "TIGER (" in line or "popularity" in line]
    texts = replace(context, embeddings={"text": context.embeddings["text"]})
    assert list(SystemComparison(texts, usual=usual).make(0)) == ["popularity", "TIGER (text)"]
    assert list(SystemComparison(context, "SASRec", usual=usual).make(0)) == ["SASRec"]
    with pytest.raises(DataError, match="Oracle"):
        SystemComparison(context, reference="Oracle", usual=usual).make(0)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_the_systems_of_a_profile_are_registered(profile):
    assert set(profile.systems) <= set(entries())


def test_differences_from_who_was_not_evaluated_are_refused(data, split):
    results = compared(guesses(data, [], ("popularity",)), data, split, [0])
    for name in (MAIN, "oracle"):
        with pytest.raises(DataError) as caught:
            results.differences(name)
        assert str(caught.value) == f'field "against": {name} was not evaluated; choose from popularity.'


def test_marks_are_known_on_the_built_in_catalog_alone(data, split, elsewhere):
    results = compared(guesses(data, []), data, split, [5, 6], users=20)
    assert pairs(results)[-3:] == [(name, 5) for name in MARKS]
    oracles = (data.oracle, data.oracle_blind_to("image"), data.oracle_blind_to("text"))
    for row, oracle in zip(results.rows[-3:], oracles, strict=True):
        metrics = ranking_metrics(oracle.ranks(results.samples))
        assert metrics.items() <= row.items()
        assert {f"{name}{MASKED}": value for name, value in metrics.items()}.items() <= row.items()
    expected = {metric: results.rows[-3][metric] for metric in (*METRICS, *masked(METRICS))}
    assert results.by_system()["oracle"] == expected
    assert not set(MARKS) & set(results.evaluations)
    results = compared(guesses(elsewhere, []), elsewhere, leave_one_out(elsewhere.histories), [0])
    assert not set(MARKS) & {row["system"] for row in results.rows}
    assert known_ranks(elsewhere, results.samples) == {}


@pytest.mark.parametrize("mask_seen", [False, True])
def test_cold_targets_have_columns_of_their_own_where_there_are_some(mask_seen):
    known = curio("tiny")
    plain = compared(guesses(known, []), known, known.split(), [0], mask_seen=mask_seen)
    assert plain.columns == HEADLINE and "Cold" not in plain.caption
    assert not any("cold" in name or "exposure" in name for row in plain.rows for name in row)
    new = curio("tiny", num_items=100, num_users=100, cold=0.1)
    results = compared(guesses(new, []), new, new.split(), [0], mask_seen=mask_seen)
    of_cold = masked(COLD_METRICS) if mask_seen else COLD_METRICS
    assert results.columns == (*HEADLINE, *of_cold)
    counts = item_counts(new.split(), 100)
    cold = (counts == 0)[results.samples.targets]
    ranks = results.evaluations[MAIN].ranks
    row = next(row for row in results.rows if row["system"] == MAIN)
    assert row[of_cold[0]] == hit_rate(ranks[~cold], 10) and row[of_cold[2]] == hit_rate(ranks[cold], 10)
    assert results.by_system()[MAIN][of_cold[4]] == row[of_cold[4]]
    oracle = next(row for row in results.rows if row["system"] == "oracle")
    assert oracle[of_cold[2]] == hit_rate(new.oracle.ranks(results.samples)[cold], 10)
    assert of_cold[4] not in oracle  # nothing is shown by it
    table = results_table(results.table, results.columns)
    assert any("★" in cell for cell in table[of_cold[2]])
    assert f"Cold: the {cold.sum()} users" in results.caption
    assert f"{(counts == 0).mean():.1%} of the catalog" in results.caption


@pytest.mark.parametrize("where", ["training", "ranking"])
def test_an_interrupt_leaves_what_was_finished(data, split, where):
    log = []
    results = compared(guesses(data, log, Guess_it_1=where), data, split, [0, 1])
    assert results.stopped
    assert pairs(results) == [("popularity", 0), ("Guess it", 0), (MAIN, 0), *((name, 0) for name in MARKS)]
    assert list(results.evaluations) == ["popularity", "Guess it", MAIN]
    assert log[-1][1:3] == ("Guess it", 1)
    assert set(results.differences()) == {"popularity", "Guess it"}
    assert results.by_system()[MAIN]["HR@10"] == results.rows[2]["HR@10"]


@pytest.mark.parametrize("where", ["training", "ranking"])
def test_an_interrupt_at_once_leaves_a_table_of_nobody(elsewhere, where):
    split = leave_one_out(elsewhere.histories)
    results = compared(guesses(elsewhere, [], popularity_0=where), elsewhere, split, [0])
    assert results.stopped and results.rows == [] and results.evaluations == {}
    assert results.by_system() == {} and results.table.is_empty()
    with pytest.raises(DataError, match="MACRec was not evaluated"):
        results.differences()


def test_nobody_to_test_is_one_clear_sentence():
    events = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})
    items = pl.DataFrame({"item_id": ["a", "b"]})
    data = from_events("toy", events, items, events_file="events", items_file="items")
    with pytest.raises(DataError, match="no user to evaluate on"):
        compare_systems(guesses(data, []), data, leave_one_out(data.histories), [0])


def test_users_are_drawn_once_for_all_and_keep_their_order(split):
    samples = split.test
    chosen = chosen_users(samples, 12)
    assert chosen.user.tolist() == chosen_users(samples, 12).user.tolist()
    assert len(chosen) == 12 and (np.diff(chosen.user) > 0).all()
    assert chosen.user.tolist() != samples.user[:12].tolist()
    rows = np.searchsorted(samples.user, chosen.user)
    np.testing.assert_array_equal(chosen.targets, samples.targets[rows])
    np.testing.assert_array_equal(chosen.lengths, samples.lengths[rows])
    assert set(chosen.user) < set(chosen_users(samples, 20).user)
    for users in (0, len(samples), len(samples) + 1):
        assert chosen_users(samples, users).user.tolist() == samples.user.tolist()
    with pytest.raises(DataError) as caught:
        chosen_users(samples, -1)
    assert str(caught.value) == 'field "users": -1 cannot be used; give a number of users, or 0 for all.'


@pytest.mark.parametrize(
    ("trainings", "seconds"),
    [
        ([], 0),
        ([[(1, 3, 0.5), (3, 3, 2.0)]], 2),
        ([[(1, 3, 0.5), (3, 3, 2.0)], [(1, 9, 0.25), (9, 9, 4.0)]], 6),
        ([[(2, 2, 2.0)], [(7, 9, 1.0), (9, 9, 4.0)]], 6),  # the first event of the second comes after more steps
        ([[(2, 2, 2.0)], [(2, 2, 4.0)], [(1, 2, 0.5), (2, 2, 1.0)]], 7),
        ([[(50, 100, 2.0)], [(10, 100, 1.0), (20, 100, 3.0)]], 5),  # patience ran out
    ],
)
def test_seconds_are_those_of_all_trainings_that_follow_each_other(trainings, seconds):
    events = [Event(*about, {}) for training in trainings for about in training]
    assert seconds_of(events) == seconds


@pytest.fixture
def guessing(monkeypatch, data):
    """What was asked of registered systems that guess: one that counts, one more, and MACRec with two terms."""
    log = []

    def entry(name, family="generative", **more):
        def make(context, without):
            return [
                Guess(named_without(name, without, more.get("terms", ())), context.settings.seed, data.num_items, log)
            ]

        return Entry(name, family, "guesses", make, **more)

    fakes = [
        entry("popularity", "counting"),
        entry("TIGER"),
        entry(MAIN, terms={"one": "", "two": ""}, otherwise="TIGER"),
    ]
    monkeypatch.setattr(registry, "entries", lambda: {fake.name: fake for fake in fakes})
    return log


def test_a_comparison_on_validation_users_asks_for_nothing_of_the_test(context, split, guessing):
    comparison = SystemComparison(context, asked="validation")
    results = comparison.run([0])
    assert results.samples.target.tolist() == split.valid.target.tolist()
    assert results.caption.startswith(f"{len(split.valid)} validation users, one seed")
    assert comparison.ablate(results).samples.target.tolist() == split.valid.target.tolist()
    with pytest.raises(DataError, match='no "train" users'):
        replace(comparison, asked="train").run([0])


@pytest.mark.parametrize("budget", ["steps", "seconds"])
def test_every_generator_gets_the_budget_of_the_reference(context, data, split, budget, monkeypatch):
    paces = {"MACRec": 0.5, "MQL4GRec": 0.4, "TIGER (text)": 0.1, "TIGER (image)": 0.2, f"{MAIN} w/o explicit": 0.25}
    monkeypatch.setattr("macrec.systems.budget.pace", lambda system, *_: paces[system.name])
    told = []
    comparison = SystemComparison(context, budget=budget)
    made = systems(context) | entry_of(MAIN).ablations(context)
    ready = {name: comparison.within_budget(system, told.append) for name, system in made.items() if name in paces}
    whole = made[MAIN].steps(data, split)
    expected = {name: whole if budget == "steps" else round(whole * 0.5 / pace) for name, pace in paces.items()}
    assert {name: system.steps(data, split) for name, system in ready.items()} == expected
    assert bool(told) == (budget == "seconds")  # a pace can only be told over codes
    late = comparison.within_budget(made["TIGERs fused late"], told.append)
    assert [part.steps(data, split) for part in late.parts] == [expected[part.name] for part in late.parts]
    for name in ("popularity", "SASRec"):
        assert comparison.within_budget(made[name], told.append) is made[name]
    assert replace(comparison, budget="epochs").within_budget(made["MQL4GRec"], told.append) is made["MQL4GRec"]
    assert budget.removesuffix("s") in comparison.spent
    against_sasrec = replace(comparison, reference="SASRec")
    with pytest.raises(DataError, match="SASRec is not a generator over semantic IDs; choose one of TIGER"):
        against_sasrec.within_budget(made["MQL4GRec"], told.append)


@pytest.fixture
def steps(monkeypatch):
    """The tasks of all steps made while a test runs; `interrupt[0]`: at which step of a generator to interrupt."""
    made, interrupt = [], [0]
    for task in (CodebookTask, GeneratorTraining, SASRecTraining):

        def noted(self, step, losses=task.losses):
            made.append(type(self))
            if type(self) is GeneratorTraining and made.count(GeneratorTraining) == interrupt[0]:
                raise KeyboardInterrupt
            return losses(self, step)

        monkeypatch.setattr(task, "losses", noted)
    return made, interrupt


def test_a_comparison_is_of_all_systems_once_also_after_an_interrupt(context, steps):
    made, interrupt = steps
    comparison = SystemComparison(context)
    names = list(systems(context))
    interrupt[0] = 14  # in MQL4GRec's
    results = comparison.run([0], users=15)
    assert results.stopped and pairs(results)[:-3] == [(name, 0) for name in names[: names.index("MQL4GRec")]]
    interrupt[0] = 0
    results = comparison.run([0], users=15)
    assert not results.stopped and pairs(results)[:-3] == [(name, 0) for name in names]
    assert set(results.by_system()) == {*names, *MARKS}
    assert all((row["seconds"] > 0) == (row["system"] not in SIMPLE) for row in results.rows[:-3])
    made.clear()
    again = comparison.run([0], users=15)
    assert made == []
    assert again.by_system() == results.by_system()
    for name, found in again.evaluations.items():
        np.testing.assert_array_equal(found.ranks, results.evaluations[name].ranks)

    # What can be looked at.
    few, rows, rankings, groups = results.replayed(6)
    assert few.user.tolist() == results.samples.user[results.informative_users(6)].tolist() and list(rows) == list(
        range(6)
    )
    assert list(rankings) == names and all(ranking.items.shape == (6, 20) for ranking in rankings.values())
    for name, ranking in rankings.items():
        expected = results.evaluations[name].ranks[results.informative_users(6)]
        np.testing.assert_array_equal(ranking.rank_of(few.targets), expected)
    assert groups.keys() == results.groups.keys() and all(len(mask) == 6 for mask in groups.values())
    search = results.traced()
    assert (search.path, search.target) == ("text→text", few.targets[0])
    assert search.ids is results.systems[MAIN].decoder.tables.ids["text"]


def test_the_reference_without_its_terms_is_compared_with_it_for_the_same_users_and_seeds(context, guessing, capsys):
    comparison = SystemComparison(context)
    results = comparison.run([1, 2], users=15, mask_seen=True)
    said = "Left out: MACRec with dense head and LIGER, as they need a backbone that can have a dense head.\n"
    assert capsys.readouterr().out == said and results.reference == MAIN
    guessing.clear()
    found = comparison.ablate(results)
    ablated = [f"{MAIN} w/o one", f"{MAIN} w/o two", f"{MAIN} w/o any term"]
    assert [entry[1] for entry in guessing if entry[0] == "fit"] == ablated * 2
    assert {tuple(entry[3]) for entry in guessing if entry[0] == "ask"} == {tuple(results.samples.user.tolist())}
    assert (found.seeds, found.mask_seen, len(found.samples)) == (results.seeds, True, 15)
    assert pairs(found) == [(MAIN, 1), (MAIN, 2), *((name, seed) for seed in (1, 2) for name in ablated)]
    assert found.rows[:2] == [row for row in results.rows if row["system"] == MAIN]
    assert comparison.ablate(results, wanted=False).rows == found.rows[:2]
    assert comparison.ablate(results, wanted=False).all_differences() == {"unmasked": {}, "masked": {}}
    assert list(found.differences()) == ablated
    for name, paired in found.differences(mask_seen=False).items():
        own, full = (np.stack(list(each.ranks[False][of].values())) for each, of in ((found, name), (results, MAIN)))
        assert paired == paired_bootstrap(own, full)
    some = comparison.ablate(results, wanted=False, without=" two ")
    assert pairs(some)[2:] == [(f"{MAIN} w/o two", 1), (f"{MAIN} w/o two", 2)]
    together = comparison.ablate(results, wanted=False, without="two+one, one")
    assert pairs(together)[2::2] == [(f"{MAIN} w/o any term", 1), (f"{MAIN} w/o any term", 2)]
    with pytest.raises(DataError, match='MACRec has no term "three"; what can be left out here is one, two'):
        comparison.ablate(results, without="three")


def test_a_reference_that_is_not_among_the_systems_is_replaced_and_said(context, guessing, capsys):
    results = SystemComparison(context, "TIGER, popularity").run([0])
    assert pairs(results)[:2] == [("popularity", 0), ("TIGER", 0)] and results.reference == "TIGER"
    assert capsys.readouterr().out == "The reference is TIGER, as MACRec is not among the systems.\n"
    comparison = SystemComparison(context, "popularity")
    results = comparison.run([0])
    assert results.reference == "popularity" and "The reference is popularity" in capsys.readouterr().out
    assert {row["system"] for row in comparison.ablate(results).rows} == {"popularity"}
    with pytest.raises(DataError, match='no system "Oracle"; choose one of popularity, TIGER, MACRec'):
        SystemComparison(context, reference="Oracle").run([0])


def told_of(ranks, reference):
    """Results of systems with these ranks."""
    nobody = leave_one_out(Histories.from_lists([[0, 1, 2]])).test
    users = len(next(iter(ranks.values())))
    results = Results(nobody.take(np.zeros(users, int)), {}, (0,), against=MAIN)
    for name, found in ranks.items():
        found = Evaluation(name, np.array(found), np.ones(3, int), np.ones(3, int), (10,), 20, False, {})
        results.add(0, Guess(name, 0, 5, []), [found])
    assert results.reference == reference
    return results


@given(st.lists(st.tuples(*[st.sampled_from([0, 1, 10, 11])] * 3), min_size=1, max_size=12), st.integers(1, 14))
def test_telling_users_are_found_by_few_half_of_them_by_the_reference(ranks, users):
    results = told_of(
        {"a": [one[0] for one in ranks], MAIN: [one[1] for one in ranks], "b": [one[2] for one in ranks]}, MAIN
    )
    hits = [[1 <= rank <= 10 for rank in one] for one in ranks]
    rarity = [sum(one) or 9 for one in hits]  # those whom nobody serves tell least
    chosen = results.informative_users(users).tolist()
    assert len(set(chosen)) == len(chosen) == min(users, len(ranks))
    for mine in (True, False):
        own = [user for user in range(len(ranks)) if hits[user][1] == mine]
        taken = [user for user in chosen if hits[user][1] == mine]
        half = (users + 1) // 2 if mine else users // 2
        assert len(taken) >= min(half, len(own))
        assert taken == sorted(own, key=lambda user: rarity[user])[: len(taken)]


def test_the_reference_is_the_one_named_or_the_last():
    told_of({MAIN: [1], "a": [2]}, MAIN)
    results = told_of({"b": [1, 0], "a": [2, 1]}, "a")
    assert list(results.differences()) == ["b"]
    results = told_of({"item-kNN": [1]}, "item-kNN")
    with pytest.raises(DataError, match="No generator was trained"):
        results.traced()


def test_a_study_has_three_seeds_and_all_else_one_unless_told():
    assert list(seeds_of("study")) == [0, 1, 2] and list(seeds_of("study", 0, 5)) == [5, 6, 7]
    assert list(seeds_of("demo")) == list(seeds_of("smoke")) == [0]
    assert list(seeds_of("study", 1)) == [0] and list(seeds_of("smoke", 2, 7)) == [7, 8]
    with pytest.raises(DataError) as caught:
        seeds_of("demo", -1)
    assert str(caught.value) == 'field "seeds": -1 is too small; give a whole number of 0 or more.'


def test_the_caption_says_how_it_was_measured(elsewhere):
    split = leave_one_out(elsewhere.histories)
    one = compare_systems(guesses(elsewhere, []), elsewhere, split, [0], users=7)
    protocols = "; every item is a candidate; masked: without the items of the history."
    assert one.caption == "7 test users, one seed" + protocols
    many = compare_systems(guesses(elsewhere, []), elsewhere, split, [0, 1], mask_seen=True)
    assert many.caption == "30 test users, mean ± standard deviation over 2 seeds" + protocols
    assert many.by_group().keys() == many.evaluations.keys()
    assert many.groups.keys() == many.evaluations[MAIN].groups.keys()
