"""TIGER, MQL4GRec and MACRec: one seed one result, nothing learned twice, and every weight and term does something."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from macrec.data.curio import curio
from macrec.data.images import NoImages
from macrec.data.split import leave_one_out
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.evaluation.validation import validation_metrics, validation_users
from macrec.generation.batches import CodeTables
from macrec.generation.fusion_weights import WEIGHING_USERS
from macrec.generation.states import item_states
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.training import TABLES, GeneratorRecipe, GeneratorTraining
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import PROFILES, TIGER, Context, Generative, MACRec, MQL4GRec, Parameters
from macrec.systems import generative as module
from macrec.tokenizers import GivenIds
from macrec.tokenizers.training import CodebookTask
from macrec.training import drain, train

CODES = {"levels": 3, "codewords": 6, "clusters": 6, "codebook_epochs": 3}
CODEBOOKS = Parameters("smoke", backbone="t5", **CODES).codebooks()
GENERATOR = replace(Parameters("smoke", backbone="t5", beams=12).generator(), validate_users=20, measurements=3)
SYSTEMS = {
    "TIGER (text)": lambda context: TIGER(context, "text"),
    "TIGER (image)": lambda context: TIGER(context, "image"),
    "MQL4GRec": MQL4GRec,
    "MACRec": MACRec,
}
every_system = pytest.mark.parametrize("name", SYSTEMS)


@pytest.fixture(scope="module")
def data():
    return curio("tiny", num_items=80, num_users=60)


@pytest.fixture(scope="module")
def split(data):
    return leave_one_out(data.histories)


@pytest.fixture(scope="module")
def embeddings(data):
    """Random vectors; some items have no picture."""
    rng = np.random.default_rng(0)
    present = {"text": np.ones(data.num_items, bool), "image": data.images.present}
    assert 0 < present["image"].sum() < data.num_items
    return {
        name: Embeddings.from_values(
            name, "made", (rng.standard_normal((data.num_items, 12)) * here[:, None]).astype(np.float32), here
        )
        for name, here in present.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where all systems of this file that may share what they have learned do so."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture
def make(folder, data, split, embeddings):
    def made(name, folder=folder, codebooks=CODEBOOKS, generator=GENERATOR, **further):
        settings = replace(Parameters("smoke", backbone="t5").settings(), codebooks=codebooks, generator=generator)
        return SYSTEMS[name](Context(folder, data, split, embeddings, settings), **further)

    return made


@pytest.fixture
def fitted(make, data, split):
    """A system after its training, and its events."""

    def fit(name, *arguments, **further):
        system = make(name, *arguments, **further)
        return system, drain(system.fit(data, split)).events

    return fit


def counted(monkeypatch, task):
    """The list of all steps of `task` from now on."""
    made, losses = [], task.losses

    def noted(self, step):
        made.append(step)
        return losses(self, step)

    monkeypatch.setattr(task, "losses", noted)
    return made


@pytest.fixture
def steps(monkeypatch):
    """Steps of codebooks and of generators made while a test runs."""
    return counted(monkeypatch, CodebookTask), counted(monkeypatch, GeneratorTraining)


@pytest.fixture
def folder_of(monkeypatch, data, split):
    """The folder in which a system looks for its generator; nothing is learned."""

    def found(system, data=data, split=split):
        seen = []
        with monkeypatch.context() as patch:
            patch.setattr(module, "train", lambda task, plan, checkpoint: seen.append(checkpoint.folder) or iter(()))
            assert list(system.learn_generator(data, split)) == []
        return seen[0]

    return found


def same(one, other):
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)
    return True


def told(events):
    return [(event.step, event.steps, event.losses, event.measured) for event in events]


def codebooks_of(system, data):
    """The codebooks of a system with learned IDs, as its folder holds them."""
    return system.ids.tokenizer(data, data.split())


def given_ids(data, seed=0, sizes=(5, 5, 5)):
    """Unique random IDs of both modalities."""
    rng = np.random.default_rng(seed)
    return {
        name: SemanticIds.from_codes(
            np.stack(np.unravel_index(rng.permutation(np.prod(sizes))[: data.num_items], sizes), 1),
            tuple(f"{name}_{letter}" for letter in "abc"[: len(sizes)]),
            sizes,
            data.items["item_id"],
        )
        for name in ("text", "image")
    }


def over_given(folder, data, ids=None, tasks=None, settings=GENERATOR):
    tasks = code_tasks(("text", "image")) if tasks is None else tasks
    return Generative("given", folder, GivenIds(given_ids(data) if ids is None else ids), tasks, settings)


# Both stages


@every_system
def test_a_system_learns_and_ranks_the_catalog(fitted, data, split, name):
    system, events = fitted(name)
    assert system.name == name
    ranking = system.recommend(split.test, 7)
    assert ranking.items.shape == (len(split.test), 7)
    assert ranking.items.min() >= 0 and ranking.items.max() < data.num_items
    assert np.isfinite([value for event in events for value in event.losses.values()]).all()
    generator = [event for event in events if event.steps == system.training.plan().steps]
    assert [event.step for event in generator] == list(range(1, len(generator) + 1))
    measured = [event.measured for event in generator if event.measured]
    assert len(measured) >= GENERATOR.measurements
    names = {"HR@10/validation", "NDCG@10/validation", "loss/validation"}
    assert all(set(found) == names for found in measured)
    assert system.ends == (events[-1],) and events[-1].samples == len(system.training.samples)  # one epoch


@pytest.mark.parametrize("ask", ["recommend", "decoder", "training", "states"])
def test_who_has_learned_nothing_says_so(make, split, ask):
    system = make("MACRec")
    with pytest.raises(RuntimeError, match="MACRec is not trained yet"):
        if ask == "recommend":
            system.recommend(split.test, 5)
        elif ask == "states":
            system.states()
        else:
            getattr(system, ask)


@pytest.mark.parametrize("name", ["TIGER (text)", "MACRec"])
def test_one_seed_gives_one_result_and_another_seed_another(fitted, split, tmp_path, name):
    system, _ = fitted(name)
    ranking = system.recommend(split.test, 10)
    assert same(fitted(name, tmp_path)[0].recommend(split.test, 10), ranking)
    reseeded = [
        fitted(name, codebooks=CODEBOOKS.with_seed(1))[0],
        fitted(name, generator=replace(GENERATOR, recipe=replace(GENERATOR.recipe, seed=1)))[0],
    ]
    for other in reseeded:
        modality = system.decoder.tables.modalities[0]
        assert not np.array_equal(other.states()["before"][modality], system.states()["before"][modality])
        assert (other.recommend(split.test, 10).items != ranking.items).mean() > 0.2


@every_system
def test_what_was_learned_is_found_again_without_a_step(fitted, split, steps, name):
    first, events = fitted(name)
    before = [len(made) for made in steps]
    again, replayed = fitted(name)
    assert [len(made) for made in steps] == before
    assert told(replayed) == told(events)
    assert same(again.recommend(split.test, 10), first.recommend(split.test, 10))
    states, expected = again.states(), first.states()
    assert list(states) == list(expected)
    for moment, found in states.items():
        for modality, values in found.items():
            np.testing.assert_array_equal(values, expected[moment][modality])


@pytest.mark.parametrize("killed", [KeyboardInterrupt, RuntimeError], ids=["interrupted", "crashed"])
@pytest.mark.parametrize("stage", [CodebookTask, GeneratorTraining], ids=["codebooks", "generator"])
def test_a_training_that_is_cut_short_goes_on_as_if_nothing_had_happened(
    fitted, make, data, split, tmp_path, monkeypatch, killed, stage
):
    whole, events = fitted("MACRec")
    last = 1 if stage is CodebookTask else 7
    original = stage.losses

    def cut(self, step):
        if step == last:
            raise killed
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "losses", cut)
        training = make("MACRec", tmp_path).fit(data, split)
        if killed is KeyboardInterrupt:
            stopped = drain(training)
            assert stopped.stopped and len(stopped.events) < len(events)
        else:
            with pytest.raises(RuntimeError):
                drain(training)
    made = counted(monkeypatch, stage)
    system, resumed = fitted("MACRec", tmp_path)
    # After a crash from the last checkpoint, which a slow machine may have written meanwhile.
    assert made[0] == last if killed is KeyboardInterrupt else made[0] <= last
    assert told(resumed) == told(events)
    assert same(system.recommend(split.test, 10), whole.recommend(split.test, 10))
    for moment, states in whole.states().items():
        np.testing.assert_array_equal(system.states()[moment]["text"], states["text"])


def test_without_validation_users_nothing_is_measured_and_the_last_weights_stay(data, split, tmp_path):
    nobody = split._replace(valid=split.valid.take(np.arange(0)))
    one = over_given(tmp_path, data)
    other = over_given(tmp_path, data, settings=replace(GENERATOR, validate_users=0))
    for system, given in ((one, nobody), (other, split)):
        events = drain(system.fit(data, given)).events
        assert not any(event.measured for event in events)
        assert system.training.plan().keep == ()
    assert same(one.recommend(split.test, 5), other.recommend(split.test, 5))


def test_paths_count_as_validation_users_say_unless_it_was_decided(data, split, tmp_path):
    given = replace(GENERATOR, decoding=replace(GENERATOR.decoding, weights=(0.3, 0.7)))
    decided, tuned = over_given(tmp_path, data, settings=given), over_given(tmp_path, data)
    for system in (decided, tuned):
        drain(system.fit(data, split))
    assert decided.decoder.options == given.decoding
    weights = tuned.decoder.options.weights
    assert replace(tuned.decoder.options, weights=None) == GENERATOR.decoding and sum(weights) == pytest.approx(1)
    asked = validation_users(split, WEIGHING_USERS, GENERATOR.recipe.seed)

    def measured(weights):
        tuned.decoder.options = replace(GENERATOR.decoding, weights=weights)
        return validation_metrics(tuned.recommend, asked)["NDCG@10/validation"]

    assert measured(weights) >= max(measured(other) for other in ((0.0, 1.0), (0.5, 0.5), (1.0, 0.0))) - 1e-12


def test_histories_are_masked_as_a_whole_and_only_when_asked(fitted, split):
    short = replace(GENERATOR, decoding=replace(GENERATOR.decoding, max_history=2, beams=40))
    for name in SYSTEMS:
        system, _ = fitted(name, generator=short)
        seen = split.test.padded()[:, None, :]
        assert (system.recommend(split.test, 10).items[:, :, None] == seen).any()
        masked = system.recommend(split.test, 10, mask_seen=True).items
        assert not ((masked[:, :, None] == seen) & (seen >= 0)).any()


def test_items_older_than_what_is_read_change_nothing(folder_of, data, split, tmp_path):
    decoding = replace(GENERATOR.decoding, max_history=4)
    system = over_given(tmp_path, data, settings=replace(GENERATOR, decoding=decoding))
    drain(system.fit(data, split))
    ranking = system.recommend(split.test, 10)
    assert same(system.recommend(split.test.newest(4), 10), ranking)
    assert not np.array_equal(system.recommend(split.test.newest(3), 10).scores, ranking.scores)
    assert system.training.samples.length.max() == 4
    assert folder_of(system, split=leave_one_out(data.histories, 4)) == folder_of(system)


# One folder per training


def variations(data):
    """Systems over given IDs that differ in one thing each."""

    def recipe(**changed):
        return {"settings": replace(GENERATOR, recipe=replace(GENERATOR.recipe, **changed))}

    def decoding(**changed):
        return {"settings": replace(GENERATOR, decoding=replace(GENERATOR.decoding, **changed))}

    ids = given_ids(data)
    renamed = SemanticIds.from_codes(ids["text"].codes, ("x", "y", "z"), ids["text"].sizes, ids["text"].item_ids)
    larger = SemanticIds.from_codes(ids["text"].codes, ids["text"].codebooks, (5, 5, 6), ids["text"].item_ids)
    return {
        "nothing": {},
        "other codes": {"ids": given_ids(data, seed=1)},
        "one modality": {"ids": {"text": ids["text"]}, "tasks": code_tasks(["text"])},
        "names of codebooks": {"ids": ids | {"text": renamed}},
        "sizes of codebooks": {"ids": ids | {"text": larger}},
        "exchanged modalities": {"ids": {"text": ids["image"], "image": ids["text"]}},
        "tasks": {"tasks": code_tasks(("text", "image"), item_level=False)},
        "order of tasks": {"tasks": code_tasks(("text", "image"))[::-1]},
        "prompts": {"tasks": code_tasks(("text", "image"), prompt=2)},
        "lambda_implicit": recipe(lambda_implicit=0.02),
        "no implicit alignment": recipe(lambda_implicit=0.0),
        "temperature": recipe(temperature=0.2),
        "implicit_items": recipe(implicit_items=32),
        "implicit": recipe(implicit="published"),
        "table_factor": recipe(table_factor=2.0),
        "softmax": recipe(softmax="children"),
        "learning rate": recipe(learning_rate=1e-3),
        "epochs": recipe(epochs=2),
        "batch": recipe(batch=32),
        "patience": recipe(patience=3),
        "steps": recipe(steps=3),
        "decay": recipe(decay="all"),
        "seed": recipe(seed=1),
        "max_history": decoding(max_history=3),
        "model": {"settings": replace(GENERATOR, config=T5Config.named("demo"))},
        "dropout": {"settings": replace(GENERATOR, config=replace(GENERATOR.config, dropout_rate=0.3))},
        "validation users": {"settings": replace(GENERATOR, validate_users=21)},
        "measurements": {"settings": replace(GENERATOR, measurements=4)},
    }


def test_whatever_decides_the_result_has_a_folder_of_its_own_and_equal_things_one(folder_of, data, split, tmp_path):
    found = {name: folder_of(over_given(tmp_path, data, **changed)) for name, changed in variations(data).items()}
    plain = over_given(tmp_path, data)
    found["dataset"] = folder_of(plain, data=replace(data, images=NoImages(data.num_items)))
    found["histories cut elsewhere"] = folder_of(plain, split=leave_one_out(data.histories, 3))
    found["other training users"] = folder_of(plain, split=split._replace(train=split.train.take(np.arange(100))))
    found["as many others"] = folder_of(plain, split=split._replace(train=split.train.take(np.arange(100, 200))))
    found["validation users of the split"] = folder_of(
        plain, split=split._replace(valid=split.valid.take(np.arange(30)))
    )
    twice = {name: place for name, place in found.items() if list(found.values()).count(place) > 1}
    assert not twice
    assert all(place.parent == tmp_path for place in found.values())
    assert folder_of(over_given(tmp_path, data)) == found["nothing"]
    assert folder_of(over_given(tmp_path, data, settings=replace(GENERATOR))) == found["nothing"]
    for asked in ({"beams": 13}, {"paths": ("text→text, sequence",)}, {"fusion": "mean_floor"}, {"batch": 7}):
        settings = replace(GENERATOR, decoding=replace(GENERATOR.decoding, **asked))
        assert folder_of(over_given(tmp_path, data, settings=settings)) == found["nothing"]  # another way of asking


@every_system
def test_codebooks_of_other_settings_lead_to_another_generator(make, folder_of, name):
    places = [folder_of(make(name)), folder_of(make(name, codebooks=CODEBOOKS.with_seed(2)))]
    assert len(set(places)) == 2
    assert folder_of(make(name)) == places[0]


# Who shares what


def test_one_training_gives_the_codebooks_of_tiger_and_mql4grec_and_another_those_of_macrec(
    fitted, data, tmp_path, steps
):
    of_codebooks, _ = steps
    made, folders = {}, {}
    for name in SYSTEMS:
        system, _ = fitted(name, tmp_path)
        made[name] = len(of_codebooks)
        folders[name] = codebooks_of(system, data).checkpoint.folder
    assert list(made.values()) == [3, 3, 3, 6]
    assert folders["TIGER (text)"] == folders["TIGER (image)"] == folders["MQL4GRec"] != folders["MACRec"]


def test_each_system_has_its_tasks_and_its_modalities(fitted):
    kinds = {}
    for name in SYSTEMS:
        system, events = fitted(name)
        tables = system.decoder.tables
        kinds[name] = [(task.source, task.target, task.kind) for task in tables.tasks]
        assert tables.modalities == {"TIGER (text)": ("text",), "TIGER (image)": ("image",)}.get(
            name, ("text", "image")
        )
        terms = set().union(*(event.losses for event in events[-5:])) - {"loss"}
        assert ("implicit" in terms) == (name == "MACRec")
        assert terms - {"implicit"} <= {task.name for task in tables.tasks}
    assert kinds["TIGER (text)"] == [("text", "text", "sequence")]
    assert kinds["TIGER (image)"] == [("image", "image", "sequence")]
    assert kinds["MQL4GRec"] == kinds["MACRec"]
    assert len(set(kinds["MACRec"])) == 6
    assert {kind for source, target, kind in kinds["MACRec"] if source != target} == {"sequence", "item"}


@every_system
def test_every_item_of_the_catalog_has_an_id_of_its_own(fitted, data, name):
    system, _ = fitted(name)
    books = codebooks_of(system, data)
    drain(books.events())
    for modality, ids in system.decoder.tables.ids.items():
        assert ids.item_ids.to_list() == data.items["item_id"].to_list()
        assert len(np.unique(ids.codes, axis=0)) == data.num_items
        np.testing.assert_array_equal(ids.codes, books.resolved(absent=True)[0][modality].codes)


def test_macrec_without_a_term_has_exactly_that_term_off(make):
    whole = make("MACRec")

    def about(system):
        config = system.ids.settings.config
        return {
            "contrastive": config.lambda_con,
            "reconstructed": config.lambda_align,
            "implicit": system.settings.recipe.lambda_implicit,
            "explicit": [task for task in system.tasks if task.source != task.target],
        }

    assert about(whole)["contrastive"] == (0, 0.003, 0.003) and len(about(whole)["explicit"]) == 4
    for term in about(whole):
        system = make("MACRec", without=(term,))
        assert system.name == f"MACRec w/o {term}"
        found = about(system)
        assert not np.any(found.pop(term))
        assert found == {name: value for name, value in about(whole).items() if name != term}
        restored = replace(system.ids.settings, config=whole.ids.settings.config)
        assert restored == whole.ids.settings
        assert replace(system.settings, recipe=whole.settings.recipe) == whole.settings
        assert set(system.tasks) <= set(whole.tasks) and len(system.tasks) >= 2


def test_macrec_without_all_terms_but_the_tasks_is_mql4grec(fitted, split, steps):
    expected = fitted("MQL4GRec")[0].recommend(split.test, 10)
    before = [len(made) for made in steps]
    system, _ = fitted("MACRec", without=("contrastive", "reconstructed", "implicit"))
    assert [len(made) for made in steps] == before
    assert same(system.recommend(split.test, 10), expected)
    assert system.name == "MACRec w/o all but explicit"


def test_an_unknown_term_is_refused(make):
    with pytest.raises(ValueError, match="no term align, only contrastive, reconstructed, implicit, explicit"):
        make("MACRec", without=("contrastive", "align"))


# IDs that were made elsewhere


def test_given_ids_may_come_in_any_order_and_with_further_items(data, split, tmp_path, steps):
    ids = given_ids(data)
    rng = np.random.default_rng(3)
    shuffled = {}
    for name, table in ids.items():
        names = pl.concat([table.item_ids, pl.Series("item_id", ["further 1", "further 2"])])
        codes = np.concatenate([table.codes, [[4, 4, 4], [0, 0, 0]]])
        order = rng.permutation(len(names))
        shuffled[name] = SemanticIds.from_codes(codes[order], table.codebooks, table.sizes, names[order])
    for name, table in GivenIds(shuffled).tables(data, split).items():
        np.testing.assert_array_equal(table.codes, ids[name].codes)
        assert table.item_ids.to_list() == data.items["item_id"].to_list()
        assert (table.codebooks, table.sizes) == (ids[name].codebooks, ids[name].sizes)
    first, again = over_given(tmp_path, data), over_given(tmp_path, data, shuffled)
    drain(first.fit(data, split))
    before = len(steps[1])
    drain(again.fit(data, split))
    assert len(steps[1]) == before
    assert same(again.recommend(split.test, 10), first.recommend(split.test, 10))


def test_modalities_whose_codebooks_have_the_same_names_have_tokens_of_their_own(data, split):
    ids = given_ids(data)
    plain = {
        name: SemanticIds.from_codes(table.codes, ("a", "b", "c"), table.sizes, table.item_ids)
        for name, table in ids.items()
    }
    found = GivenIds(plain).tables(data, split)
    assert {name: table.codebooks for name, table in found.items()} == {
        name: table.codebooks for name, table in ids.items()
    }
    tokens = CodeTables(found, code_tasks(("text", "image"))).tokens
    assert not set(tokens[0].flatten().tolist()) & set(tokens[1].flatten().tolist())


def test_an_item_without_a_given_id_is_named(data, split, tmp_path):
    ids = given_ids(data)
    here = np.ones(data.num_items, bool)
    here[[7, 30]] = False
    few = SemanticIds.from_codes(
        ids["image"].codes[here], ids["image"].codebooks, ids["image"].sizes, ids["image"].item_ids.filter(here)
    )
    with pytest.raises(DataError) as caught:
        drain(over_given(tmp_path, data, ids | {"image": few}).fit(data, split))
    assert str(caught.value) == (
        f'field "item_id": 2 items have no ID, such as {data.items["item_id"][7]}; '
        "give IDs for every item of the catalog."
    )


# States


def test_states_after_the_training_are_those_of_the_weights_as_they_are(fitted):
    system, _ = fitted("MACRec")
    states = system.states()
    assert list(states) == ["before", "at 10%", "at 30%", "after"]
    model, tables = system.decoder.model, system.decoder.tables

    def now():
        return {name: found.astype(np.float16) for name, found in item_states(model, tables).items()}

    untrained = T5Generator(len(tables.vocabulary), GENERATOR.config, GENERATOR.recipe.seed)
    for name, found in item_states(untrained, tables).items():
        np.testing.assert_array_equal(states["before"][name], found.astype(np.float16))
        np.testing.assert_array_equal(states["after"][name], now()[name])
        assert not np.array_equal(states["after"][name], states["at 30%"][name])
    with torch.no_grad():
        model.embedding.weight.mul_(2)
    for name, found in now().items():
        assert not np.array_equal(states["after"][name], found)
        np.testing.assert_array_equal(system.states()["after"][name], found)


# Every weight does something (T24)


def training_of(data, split, **recipe):
    tables = CodeTables(given_ids(data), code_tasks(("text", "image")))
    model = T5Generator(len(tables.vocabulary), T5Config.named("tiny"))
    recipe = GeneratorRecipe(**{"batch": 64, "epochs": 1, "implicit_items": 32, "patience": None} | recipe)
    return GeneratorTraining(model, tables, split.train, recipe)


def loss_and_gradient(task, step=0):
    task.module.eval()
    loss, terms = task.losses(step)
    loss.backward()
    return loss.item(), {name: term.item() for name, term in terms.items()}, task.module.embedding.weight.grad.clone()


def test_the_weight_of_the_implicit_alignment_weighs_exactly_that(data, split):
    without, _, plain = loss_and_gradient(training_of(data, split, lambda_implicit=0.0))
    gradients = {}
    for weight in (0.01, 2.0):
        loss, terms, gradients[weight] = loss_and_gradient(training_of(data, split, lambda_implicit=weight))
        assert terms["implicit"] > 0
        assert loss - without == pytest.approx(weight * terms["implicit"], rel=1e-3)
    torch.testing.assert_close(gradients[2.0] - plain, 200 * (gradients[0.01] - plain), rtol=1e-2, atol=1e-4)
    assert (gradients[2.0] - plain).abs().max() > 1e-3


@pytest.mark.parametrize(
    "changed", [{"temperature": 0.5}, {"implicit_items": 16}, {"implicit": "published"}, {"seed": 1}], ids=str
)
def test_every_setting_of_the_implicit_alignment_changes_it(data, split, changed):
    terms = [loss_and_gradient(training_of(data, split, **recipe), 3)[1]["implicit"] for recipe in ({}, changed)]
    assert terms[0] != pytest.approx(terms[1], abs=1e-3)


@pytest.mark.parametrize("changed", [{"softmax": "children"}, {"softmax": "vocabulary"}, {"seed": 1}], ids=str)
def test_every_setting_of_the_generation_loss_changes_it(data, split, changed):
    losses = [loss_and_gradient(training_of(data, split, lambda_implicit=0.0, **recipe))[0] for recipe in ({}, changed)]
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)


def codebook_losses(make, data, **changed):
    """The loss, the terms and the encoder's gradient of MACRec's codebooks at the last step, by fresh ones."""
    system = make("MACRec", codebooks=Parameters("smoke", backbone="t5", **CODES | changed).codebooks())
    task = codebooks_of(system, data).task
    task.module.train()
    loss, terms = task.losses(task.steps - 1)
    loss.backward()
    gradient = torch.cat([value.grad.flatten() for value in task.module.branch("text").encoder.parameters()])
    return loss.item(), {name: term.item() for name, term in terms.items()}, gradient


@pytest.mark.parametrize("weight", ["lambda_con", "lambda_align"])
def test_the_weights_of_the_codebooks_change_loss_and_gradient(make, data, weight):
    without, _, plain = codebook_losses(make, data, **{weight: 0.0})
    found = {value: codebook_losses(make, data, **{weight: value}) for value in (0.5, 1.0)}
    assert found[0.5][0] > without + 1e-3
    assert found[1.0][0] - without == pytest.approx(2 * (found[0.5][0] - without), rel=1e-3)
    for value, (_, _, gradient) in found.items():
        assert (gradient - plain).abs().max() > 1e-5 * value
    torch.testing.assert_close(found[1.0][2] - plain, 2 * (found[0.5][2] - plain), rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(
    "changed",
    [{"levels": 4}, {"codewords": 7}, {"clusters": 4}, {"seed": 1}, {"network": "demo"}],
    ids=str,
)
def test_every_other_parameter_of_the_codebooks_changes_the_loss(make, data, changed):
    losses = [codebook_losses(make, data, lambda_con=1.0, **options)[0] for options in ({}, changed)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-5)


def test_every_parameter_of_the_generator_reaches_its_settings():
    plain = Parameters("smoke", backbone="t5").generator()
    assert Parameters("smoke", backbone="t5", epochs=7).generator().recipe == replace(plain.recipe, epochs=7)
    assert Parameters("smoke", backbone="t5", lambda_implicit=0.3).generator().recipe == replace(
        plain.recipe, lambda_implicit=0.3
    )
    assert Parameters("smoke", backbone="t5", seed=5).generator().recipe == replace(plain.recipe, seed=5)
    assert Parameters("smoke", backbone="t5", beams=50).generator().decoding == replace(plain.decoding, beams=50)
    assert Parameters("smoke", backbone="t5", size="paper").generator() == replace(plain, config=T5Config())
    assert Parameters("smoke", backbone="t5", size="smoke", epochs=0).generator() == plain
    profiles = [Parameters(profile, backbone="t5").generator() for profile in PROFILES]
    assert all(one != other for place, one in enumerate(profiles) for other in profiles[:place])
    assert profiles[-1].recipe == GeneratorRecipe()


def test_without_implicit_alignment_only_its_weight_differs():
    plain = Parameters("demo", backbone="t5").generator()
    assert plain.recipe.lambda_implicit == 0.01
    assert plain.without_implicit() == Parameters("demo", backbone="t5", lambda_implicit=0.0).generator()


# The rate of what is looked up


def test_the_table_factor_reaches_embeddings_and_position_biases_and_nothing_else(data, split):
    moved = {}
    for factor in (1.0, 30.0):
        task = training_of(data, split, table_factor=factor, learning_rate=1e-4, warmup=0.0)
        before = {name: value.detach().clone() for name, value in task.module.named_parameters()}
        events = train(task, task.plan(reports=10**6))
        assert next(events).step == 1
        events.close()
        moved[factor] = {name: value.detach() - before[name] for name, value in task.module.named_parameters()}
    faster = set()
    for name, change in moved[1.0].items():
        assert change.abs().max() > 0
        # The first step of AdamW is the rate times what does not depend on the rate.
        if torch.equal(moved[30.0][name], change):
            continue
        torch.testing.assert_close(moved[30.0][name], 30 * change, rtol=1e-3, atol=3e-5)
        faster.add(name)
    assert len(faster) == 3 and "embedding.weight" in faster
    assert all("position_bias" in name for name in faster - {"embedding.weight"})
    there = [start for start in TABLES if start != "encoder.slot_bias."]  # which only positions of items and slots have
    assert all(any(name.startswith(start) for name in faster) for start in there) and len(there) == len(TABLES) - 1


def test_tiger_over_a_modality_that_is_not_there_is_refused_at_once(tmp_path, data, split):
    context = Context(tmp_path, data, split, {"text": None}, Parameters("smoke", backbone="t5").settings())
    with pytest.raises(DataError, match='no modality "sound", only text'):
        TIGER(context, "sound")
