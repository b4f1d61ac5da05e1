"""What every registered system does: it learns, ranks, goes on where it was stopped, and says what it needs."""

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.errors import DataError, NotApplicable
from macrec.experiments import encode_modalities
from macrec.experiments.compare_systems import SystemComparison
from macrec.systems import Context, Entry, Parameters, entries, registry
from macrec.systems.registry import FAMILIES, entry_of, left_out, named_without, open_generator, systems
from macrec.training import drain

HERE = Path(__file__).parents[1] / "toys"
TOYS = [str(file) for file in sorted(HERE.glob("*.py")) if "SYSTEM = " in file.read_text()]
each = pytest.mark.parametrize("name", [*entries(), *TOYS], ids=lambda name: Path(name).stem)
needing = pytest.mark.parametrize("name", [name for name, entry in entries().items() if entry.needs])


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """Files that a test names are registered in that test alone."""
    monkeypatch.setattr(registry, "_own", {})


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The smallest catalog and profile; a part of the histories, as none has to learn well."""
    data = curio("tiny")
    split = data.split()
    few = {
        part: getattr(split, part).take(np.arange(count))
        for part, count in (("train", 200), ("valid", 20), ("test", 40))
    }
    embeddings = encode_modalities(data, {"text": "tfidf", "image": "hog-color"})
    settings = Parameters("smoke", backbone="causal", codewords=8, codebook_epochs=4).settings(data.num_items)
    return Context(tmp_path_factory.mktemp("contract"), data, split._replace(**few), embeddings, settings)


def trained(context, name):
    """The systems of an entry by name, each with the events of its training."""
    made = entry_of(name).systems(context)
    return {name: (system, drain(system.fit(context.data, context.split)).events) for name, system in made.items()}


def about(events):
    return [(event.step, event.steps, event.losses, event.measured) for event in events]


def same(one, other):
    return np.array_equal(one.items, other.items) and np.array_equal(one.scores, other.scores)


@each
def test_it_ranks_every_user_without_repeating_an_item(context, name):
    for called, (system, events) in trained(context, name).items():
        assert system.name == called and bool(events) != entry_of(name).counts
        for mask_seen in (False, True):
            ranking = system.recommend(context.split.test, 20, mask_seen)
            assert ranking.items.shape == (len(context.split.test), 20)
            for items, history in zip(ranking.items, context.split.test.padded(), strict=True):
                ranked = items[items >= 0]
                assert len(np.unique(ranked)) == len(ranked) > 0 and ranked.max() < context.data.num_items
                assert not (mask_seen and np.isin(ranked, history).any())


@each
def test_stopped_halfway_it_goes_on_bit_for_bit(context, name, tmp_path):
    other = replace(context, folder=tmp_path)
    for called, (system, events) in trained(context, name).items():
        stopped = entry_of(name).systems(other)[called].fit(context.data, context.split)
        for _ in range(len(events) // 2):
            next(stopped)
        getattr(stopped, "close", lambda: None)()
        resumed = entry_of(name).systems(other)[called]
        assert about(drain(resumed.fit(context.data, context.split)).events) == about(events)
        assert same(*(each.recommend(context.split.test, 20) for each in (system, resumed)))


@each
def test_the_same_table_comes_twice(context, name):
    comparison = SystemComparison(context, names=name, reference=name)
    one, two = comparison.run([0]), comparison.run([0])
    assert one.by_system() == two.by_system() and set(one.evaluations) == set(entry_of(name).systems(context))
    assert one.caption == two.caption and not one.stopped


@each
def test_each_of_its_terms_can_be_left_out(context, name):
    entry = entry_of(name)
    ablated = entry.ablations(context)
    terms = entry.terms_in(context)
    assert len(ablated) == len(terms) + (len(terms) > 1) and entry.name not in ablated
    with pytest.raises(DataError, match=f'{entry.name} has no term "nonsense"; what can be left out here is '):
        entry.systems(context, ("nonsense",))


@needing
def test_a_need_that_is_not_met_is_named(context, name):
    with pytest.raises(NotApplicable, match=f"{name} needs {entry_of(name).needs[0].name}"):
        systems(replace(context, embeddings={}), name)


@each
def test_its_registration_says_what_it_is(name):
    entry = entry_of(name)
    assert entry.family in FAMILIES and entry.idea and len(entry.idea) < 110 and not entry.idea.endswith(".")
    assert set(entry.of_ids) <= set(entry.terms) and (not entry.otherwise or entry.otherwise in entries())


def test_an_unknown_family_and_a_name_registered_twice_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="no family 'oracle'"):
        Entry("mine", "oracle", "", lambda context, without: [])
    twin = replace(entries()["SASRec"], idea="another")
    monkeypatch.setattr(registry, "_own", {Path("mine.py"): twin})
    with pytest.raises(ValueError, match="more than one module registers SASRec"):
        entries()


def test_a_file_that_takes_the_name_of_another_system_is_refused(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from macrec.systems import Entry\n"
        'SYSTEM = Entry("Markov-1", "counting", "an idea", lambda context, without: [])\n'
    )
    with pytest.raises(DataError, match=r'mine\.py, field "name": the name "Markov-1" is that of another system'):
        entry_of(str(tmp_path / "mine.py"))
    assert "Markov-1" in entries()


def test_names_choose_entries_single_systems_and_files(context):
    assert [*systems(context, "MACRec, TIGER, popularity")] == ["popularity", "TIGER (text)", "TIGER (image)", "MACRec"]
    assert [*systems(context, f"TIGER (image), {TOYS[0]}")] == [entry_of(TOYS[0]).name, "TIGER (image)"]
    for name in ("TIGER (sound)", "Tiger"):
        with pytest.raises(DataError, match="there is no system"):
            systems(context, name)


def test_a_system_without_terms_can_be_named(context):
    chosen = systems(context, "MACRec w/o implicit, MACRec w/o all but explicit, MACRec")
    assert [*chosen] == ["MACRec w/o implicit", "MACRec w/o all but explicit", "MACRec"]
    assert open_generator(context, "MACRec w/o implicit").settings.recipe.lambda_implicit == 0
    assert open_generator(context, "MACRec").settings.recipe.lambda_implicit > 0
    assert open_generator(context, "MACRec w/o any term").name == "MACRec w/o any term"
    for of in (systems, open_generator):
        with pytest.raises(DataError, match='MACRec has no term "colour"'):
            of(context, "MACRec w/o colour")
    with pytest.raises(DataError, match=r'no system "MACRec \(text\)"; choose one of MACRec'):
        open_generator(context, "MACRec (text)")


@pytest.mark.parametrize("name", [name for name, entry in entries().items() if len(entry.terms) > 1])
def test_a_name_says_which_terms_are_left_out(name, context):
    terms = entries()[name].terms_in(context)
    for count in range(len(terms) + 1):
        for lacking in combinations(terms, count):
            assert set(left_out(named_without(name, lacking, terms), terms)) == set(lacking)
