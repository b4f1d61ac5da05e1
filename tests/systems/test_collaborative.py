"""What people do as a modality of systems, on both backbones: beside others, beside given IDs, and alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from macrec.data import load_dataset
from macrec.data.histories import Histories
from macrec.data.split import leave_one_out
from macrec.encoders.collaborative import COLLABORATIVE, collaborative_vectors
from macrec.errors import DataError
from macrec.experiments.open_context import open_context
from macrec.experiments.results import Results
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Parameters, open_generator
from macrec.systems.registry import Context, entry_of, systems
from macrec.training import drain

NAMES = ("text", "image", COLLABORATIVE)
ENCODERS = {"text": "tfidf", "image": "hog-color"}
BACKBONES = ("t5", "causal")
on_both = pytest.mark.parametrize("backbone", BACKBONES)


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny")


@pytest.fixture(scope="module")
def split(data):
    return data.split()


@pytest.fixture(scope="module")
def opened(data, split, tmp_path_factory):
    """Opens a context of short trainings with what people do; what is trained is found again by every test."""
    folder = tmp_path_factory.mktemp("collaborative")

    def make(backbone: str, encoders=ENCODERS, files=None, **given) -> Context:
        parameters = Parameters(
            "smoke", backbone=backbone, collaborative=True, content=8, codewords=8, codebook_epochs=2, **given
        )
        context = open_context(folder, data, split, parameters, encoders, files)
        usual = context.settings.generator
        short = replace(usual, recipe=replace(usual.recipe, steps=6), validate_users=20, measurements=1)
        return replace(context, settings=replace(context.settings, generator=short))

    return make


@pytest.fixture(scope="module")
def files(data, tmp_path_factory):
    """Semantic IDs of texts and of pictures, in files."""
    folder = tmp_path_factory.mktemp("ids")
    for number, name in enumerate(("text", "image")):
        rows = np.random.default_rng(number).permutation(data.num_items)
        codes = np.stack([rows // 16, rows % 16], 1)
        SemanticIds.from_codes(codes, sizes=(16, 16), item_ids=data.items["item_id"]).save(folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in ("text", "image")}


@on_both
@pytest.mark.parametrize("name", ["TIGER (collaborative)", "MQL4GRec", "MACRec"])
def test_every_generator_stands_on_it(opened, split, backbone, name):
    context = opened(backbone)
    assert context.modalities == NAMES
    system = open_generator(context, name)
    drain(system.fit(context.data, split))
    own = (COLLABORATIVE,) if name.startswith("TIGER") else NAMES
    tables = system.decoder.tables
    assert tuple(tables.ids) == own and {task.target for task in tables.tasks} == set(own)
    assert {tables.tasks[path].target for path in system.decoder.paths} == set(own)  # all are decoded and fused
    ranking = system.recommend(split.test.take(np.arange(10)), 10)
    assert (ranking.items >= 0).all() and all(len(set(row)) == 10 for row in ranking.items.tolist())
    again = open_generator(context, name)
    drain(again.fit(context.data, split))
    assert np.array_equal(again.recommend(split.test.take(np.arange(10)), 10).items, ranking.items)
    if backbone == "causal":
        assert set(system.decoder.model.projections) == set(own)  # the vectors are read beside the codes


def test_a_cold_item_has_an_id_of_its_own(opened, data, split):
    context = opened("causal")
    absent = ~context.embeddings[COLLABORATIVE].present
    table = open_generator(context, "TIGER (collaborative)").ids.tables(data, split)[COLLABORATIVE]
    assert absent.any() and len(np.unique(table.codes, axis=0)) == len(table) == data.num_items


@on_both
def test_given_ids_stay_and_the_collaborative_are_learned(opened, data, split, files, capsys, backbone):
    context = opened(backbone, {}, files, lambda_con=0.01)
    assert "Left out: lambda_con, as the semantic IDs come from files." in capsys.readouterr().out
    assert context.modalities == NAMES and set(context.embeddings) == {COLLABORATIVE}
    macrec = open_generator(context, "MACRec")
    assert not {"contrastive", "reconstructed"} & set(entry_of("MACRec").terms_in(context))
    drain(macrec.fit(data, split))
    assert tuple(macrec.decoder.tables.ids) == NAMES and macrec.ids.known(data, split)
    only_given = replace(context, embeddings={}).ids().tables(data, split)
    alone = open_generator(context, "TIGER (collaborative)").ids.tables(data, split)
    for name, table in macrec.decoder.tables.ids.items():
        np.testing.assert_array_equal(table.codes, (only_given | alone)[name].codes)
    if backbone == "causal":
        assert set(macrec.decoder.model.projections) == {COLLABORATIVE}


@on_both
def test_it_is_enough_alone(opened, data, split, capsys, backbone):
    context = opened(backbone, {})
    assert context.modalities == (COLLABORATIVE,)
    made = systems(context, "TIGER")
    assert [*made] == ["TIGER (collaborative)"] and open_generator(context, "MACRec").name == "TIGER (collaborative)"
    assert "MACRec, as it needs two modalities; TIGER replaces it" in capsys.readouterr().out


def test_what_is_trained_depends_on_the_training_events(opened, data, split):
    context = opened("causal")
    fewer = split._replace(train=split.train.take(np.arange(len(split.train) // 2)))
    later = split._replace(valid=split.test, test=split.valid)
    same = dict(context.embeddings)

    def folders(part):
        other = replace(
            context, split=part, embeddings=same | {COLLABORATIVE: collaborative_vectors(part, data.num_items)}
        )
        system = open_generator(other, "TIGER (collaborative)")
        tokenizer = system.ids.tokenizer(data, part)
        content = system.checkpoint(data, split, {}).identity["content"]
        return tokenizer.checkpoint.folder, tokenizer.identity["vectors"][COLLABORATIVE], content[COLLABORATIVE]

    usual = folders(split)
    assert folders(later) == usual == folders(split)
    assert all(one != other for one, other in zip(folders(fewer), usual, strict=True))


def test_a_generator_that_does_not_read_it_is_trained_as_without_it(opened, data, split):
    context = opened("causal", tokenizer="rkmeans")
    without = {name: vectors for name, vectors in context.embeddings.items() if name != COLLABORATIVE}
    folders = []
    for each in (context, replace(context, embeddings=without)):
        system = open_generator(each, "TIGER (text)")
        assert set(system.embeddings) == {"text"}
        folders.append(system.checkpoint(data, split, system.ids.tables(data, split)).folder)
    assert folders[0] == folders[1]


def test_the_caption_names_the_modalities_whose_ids_are_given():
    samples = leave_one_out(Histories.from_lists([[0, 1, 2, 3]])).test
    captions = [Results(samples, {}, (0,), given_ids=given).caption for given in ((), ("text", "image"))]
    assert captions[0].endswith("history.") and captions[1].endswith("history; the text and image IDs are given.")


def test_a_name_that_is_taken_is_refused_and_without_the_parameter_nothing_is_added(data, split, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((data.num_items, 3), np.float32))
    twice = {COLLABORATIVE: f"npy:{tmp_path / 'v.npy'}"}
    with pytest.raises(DataError, match='"collaborative" is there twice'):
        open_context(tmp_path, data, split, Parameters("smoke", collaborative=True), twice)
    assert open_context(tmp_path, data, split, Parameters("smoke"), twice).modalities == (COLLABORATIVE,)
    assert open_context(tmp_path, data, split, Parameters("smoke"), ENCODERS).modalities == NAMES[:2]
    with pytest.raises(DataError, match="no modality has an encoder"):
        open_context(tmp_path, data, split, Parameters("smoke"), {})


def test_a_tokenizer_of_files_cannot_learn_it(opened, data, split, files):
    context = opened("t5", {}, files, tokenizer="ids")
    with pytest.raises(DataError, match="no file of semantic IDs is given for collaborative"):
        drain(open_generator(context, "MACRec").fit(data, split))
