"""Systems on a causal generator: what holds for them on the encoder-decoder holds here too."""

from pathlib import Path

import numpy as np
import pytest

from macrec.data import load_dataset
from macrec.encoders import EmbeddingStore, make_encoder
from macrec.errors import DataError
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.systems import Parameters
from macrec.systems.registry import Context, open_generator
from macrec.training import drain

NAMES = ["TIGER (text)", "MQL4GRec", "MACRec", "MACRec with dense head"]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    data = load_dataset("curio:tiny")
    store = EmbeddingStore(tmp_path_factory.mktemp("store"))
    embeddings = {
        name: store.get(data, make_encoder(spec)) for name, spec in (("text", "tfidf"), ("image", "hog-color"))
    }
    settings = Parameters("smoke", backbone="causal", codewords=8, content=8).settings(data.num_items)
    return Context(Path(tmp_path_factory.mktemp("systems")), data, data.split(), embeddings, settings)


@pytest.fixture(scope="module")
def fitted(context):
    systems = {name: open_generator(context, name) for name in NAMES}
    for system in systems.values():
        drain(system.fit(context.data, context.split))
    return systems


@pytest.mark.parametrize("name", NAMES)
def test_a_system_ranks_the_catalog_and_its_training_is_found_again(context, fitted, name):
    ranking = fitted[name].recommend(context.split.test, 10)
    assert (ranking.items >= 0).all() and all(len(set(row)) == 10 for row in ranking.items.tolist())
    again = open_generator(context, name)
    events = list(again.learn_generator(context.data, context.split))
    assert events[-1].step == fitted[name].ends[0].step
    assert np.array_equal(again.recommend(context.split.test, 10).items, ranking.items)


def test_macrec_reads_all_modalities_at_once_and_the_others_one_at_a_time(fitted):
    asked = {
        name: [system.decoder.tables.tasks[path].name for path in system.decoder.paths]
        for name, system in fitted.items()
    }
    assert asked["MACRec"] == ["text+image→text, sequence", "text+image→image, sequence"]
    assert asked["MQL4GRec"] == ["text→text, sequence", "image→image, sequence"]
    assert asked["TIGER (text)"] == ["text→text, sequence"]


@pytest.mark.parametrize("name", NAMES)
def test_a_beam_as_wide_as_the_catalog_is_exact(context, fitted, name):
    decoder, few = fitted[name].decoder, context.split.test.take(np.arange(12))
    options = DecodingOptions(beams=context.data.num_items, weights=decoder.options.weights, max_history=20)
    wide = PathDecoder(decoder.model, decoder.tables, options)
    np.testing.assert_allclose(wide.recommend(few, 10).scores, wide.exact(few, 10).scores, atol=1e-4)


def test_every_view_of_the_decoder_works(context, fitted):
    system, few = fitted["MACRec"], context.split.test.take(np.arange(4))
    ranking, trace = system.decoder.trace("text+image→text, sequence", few)
    assert len(trace.steps) == system.decoder.tables.ids["text"].num_levels and (ranking.items >= 0).any()
    states = system.states()
    assert list(states)[-1] == "after" and set(states["after"]) == {"text", "image"}
    assert states["after"]["text"].shape[0] == context.data.num_items
    assert system.training.loss_of(few, system.decoder.paths) > 0


def test_contents_decide_the_training_only_where_they_are_read(context):
    def folder(content):
        settings = Parameters("smoke", backbone="causal", codewords=8, content=content).settings(context.data.num_items)
        system = open_generator(
            Context(context.folder, context.data, context.split, context.embeddings, settings), "MACRec"
        )
        drain(system.learn_ids(context.data, context.split))
        return system.checkpoint(context.data, context.split, system.ids.tables(context.data, context.split)).identity

    assert folder(0)["content"] == {} and set(folder(8)["content"]) == {"text", "image"}


def test_the_softmax_over_a_vocabulary_and_an_unknown_backbone_are_refused(context, fitted):
    decoder = fitted["MACRec"].decoder
    with pytest.raises(DataError, match=r'"vocabulary".*children or level'):
        PathDecoder(decoder.model, decoder.tables, DecodingOptions(normalize="vocabulary"))
    with pytest.raises(DataError, match="backbone"):
        Parameters("smoke", backbone="rnn")
    for name, value in (("softmax", "vocabulary"), ("implicit", "published")):
        with pytest.raises(DataError, match=f'"{value}" where the backbone is causal.*backbone="t5"'):
            Parameters("smoke", backbone="causal", **{name: value})
    assert Parameters("smoke", backbone="causal").generator().recipe.softmax == "children"
    assert Parameters("smoke", backbone="causal", softmax="level").generator().recipe.softmax == "level"
    assert Parameters("smoke", backbone="t5").generator().recipe.softmax == "level"
