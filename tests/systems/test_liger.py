"""LIGER: what its candidates are, how they are ranked, and what its terms leave out."""

from dataclasses import replace

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.split import item_counts
from macrec.errors import DataError, NotApplicable
from macrec.experiments import encode_modalities
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.systems import LIGER, TIGER, Context, Parameters
from macrec.systems.registry import entry_of
from macrec.training import drain

ID_PATH, DENSE_PATH = "text→text, sequence", "text→item, sequence"


def settings(items, **parameters):
    return Parameters("smoke", codewords=8, codebook_epochs=4, content=8, beams=8, **parameters).settings(items)


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """Few training histories, so that many items are without training events."""
    data = curio("tiny")
    split = data.split()
    split = split._replace(train=split.train.take(np.arange(250)), test=split.test.take(np.arange(40)))
    embeddings = encode_modalities(data, {"text": "tfidf", "image": "hog-color"})
    return Context(tmp_path_factory.mktemp("liger"), data, split, embeddings, settings(data.num_items))


@pytest.fixture(scope="module")
def cells(context):
    """The system without nothing, and without each combination of terms that the paper compares."""
    made = {}
    for without in ((), ("union",), ("generation",), ("dense",), ("content",), ("content", "dense")):
        made[without] = LIGER(context, without)
        drain(made[without].fit(context.data, context.split))
    return made


def cold_items(context):
    return np.flatnonzero(item_counts(context.split, context.data.num_items) == 0)


def ranked(ranking):
    return [row[row >= 0].tolist() for row in ranking.items]


def beam(system, samples, mask_seen=False):
    """The items of the best IDs of every history."""
    found = PathDecoder(system.decoder.model, system.decoder.tables, system.settings.decoding)
    return ranked(found.by_path(samples, 8, mask_seen)[ID_PATH])


@pytest.mark.parametrize("mask_seen", [False, True])
def test_candidates_are_those_of_the_beam_and_all_items_that_nobody_has_taken(context, cells, mask_seen):
    system, samples, cold = cells[()], context.split.test, set(cold_items(context).tolist())
    assert len(cold) > 5
    found = ranked(system.recommend(samples, context.data.num_items, mask_seen))
    scores = system.decoder.exact_scores(samples, DENSE_PATH)
    for row, (items, of_beam) in enumerate(zip(found, beam(system, samples, mask_seen), strict=True)):
        seen = set(samples.history(row).tolist()) if mask_seen else set()
        assert set(items) == (set(of_beam) | cold) - seen
        assert (np.diff(scores[row, items]) <= 0).all()


def test_without_cold_items_a_list_as_long_as_the_beam_is_the_beam_in_another_order(context, cells):
    system, samples = cells[("union",)], context.split.test
    found = ranked(system.recommend(samples, 8))
    assert [sorted(items) for items in found] == [sorted(items) for items in beam(system, samples)]
    assert found != beam(system, samples)


@pytest.mark.parametrize("mask_seen", [False, True])
def test_with_a_beam_as_wide_as_the_catalog_it_is_dense_retrieval(context, cells, mask_seen):
    trained, samples = cells[()], context.split.test
    generator = context.settings.generator
    wide = replace(generator, decoding=replace(generator.decoding, beams=context.data.num_items))
    system = LIGER(replace(context, settings=replace(context.settings, generator=wide)))
    drain(system.fit(context.data, context.split))
    options = DecodingOptions(beams=20, paths=(DENSE_PATH,))
    dense = PathDecoder(trained.decoder.model, trained.decoder.tables, options)
    expected = dense.exact(samples, 10, mask_seen)
    assert np.array_equal(system.recommend(samples, 10, mask_seen).items, expected.items)


def test_terms_that_are_left_out_leave_the_rest_as_it_is(context, cells):
    folders = {
        without: system.checkpoint(context.data, context.split, system.ids.tables(context.data, context.split)).folder
        for without, system in cells.items()
    }
    assert folders[()] == folders[("union",)] and len(set(folders.values())) == 5
    tiger = TIGER(context, "text")
    drain(tiger.fit(context.data, context.split))
    ids = tiger.ids.tables(context.data, context.split)
    assert folders[("dense",)] == tiger.checkpoint(context.data, context.split, ids).folder
    samples = context.split.test
    assert np.array_equal(cells[("dense",)].recommend(samples, 8).items, tiger.recommend(samples, 8).items)
    assert {name for event in cells[("generation",)].ends for name in event.losses} >= {"item"}
    assert "text" not in cells[("generation",)].ends[0].losses
    assert cells[("content", "dense")].settings.content == 0
    assert cells[("content",)].settings.config.dense.read is False


def test_without_both_heads_without_contents_and_on_another_backbone_it_is_refused(context):
    with pytest.raises(DataError, match=r'"without".*without generation and dense nothing ranks items'):
        LIGER(context, ("generation", "dense"))
    entry, items = entry_of("LIGER"), context.data.num_items
    with pytest.raises(NotApplicable, match="LIGER needs a backbone that can have a dense head"):
        entry.systems(replace(context, settings=Parameters("smoke", backbone="t5").settings(items)))
    with pytest.raises(NotApplicable, match="LIGER needs contents of the items"):
        entry.systems(replace(context, settings=Parameters("smoke", content=0).settings(items)))
    given = replace(context, embeddings={}, given=TIGER(context, "text").ids.tables(context.data, context.split))
    with pytest.raises(NotApplicable, match="LIGER needs contents of the items"):
        entry.systems(given)


def test_it_reads_texts_or_else_the_first_modality_there_is(context):
    assert LIGER(context).tasks[0].name == ID_PATH
    image = replace(context, embeddings={"image": context.embeddings["image"]})
    assert LIGER(image).tasks[0].name == "image→image, sequence"


def test_an_ablation_ends_at_tiger(context):
    names = [*entry_of("LIGER").ablations(context)]
    assert names[-1] == "LIGER w/o content w/o dense" and names[:2] == ["LIGER w/o content", "LIGER w/o generation"]
