"""The codes that RQ-DINO learned as the semantic IDs of a system, and the term of MSCGRec that is about them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from macrec.data import load_dataset
from macrec.encoders.collaborative import COLLABORATIVE
from macrec.errors import DataError
from macrec.experiments import encode_modalities
from macrec.quantization.semantic_ids import load_semantic_ids
from macrec.systems import Context, Parameters
from macrec.systems.registry import entry_of
from macrec.tokenizers.self_supervised import SelfSupervisedIds, has_codes
from macrec.training import drain

SPEC = (
    "rq-dino:pixels=20,global_pixels=12,local_pixels=8,local_crops=2,prototypes=16,hidden=32,levels=2,codewords=8,"
    "steps=10,batch=32"
)


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny")


@pytest.fixture(scope="module")
def split(data):
    return data.split()


@pytest.fixture(scope="module")
def embeddings(data):
    return encode_modalities(data, {"text": "tfidf", "image": SPEC})


def test_the_ids_are_the_codes_of_the_network_with_conflicts_resolved(data, split, embeddings, tmp_path):
    image = embeddings["image"]
    ids = SelfSupervisedIds(image)
    assert has_codes(image) and ids.known(data, split)
    table = ids.tables(data, split)["image"]
    assert len(table) == data.num_items == len(np.unique(table.codes, axis=0))
    assert table.item_ids.equals(data.items["item_id"])
    assert table.codebooks[:2] == ("image_a", "image_b") and table.sizes[:2] == (8, 8)
    trained = ids.encoder.distillation(data)
    raw = trained.codes(image.values)
    counted = SelfSupervisedIds(image, "counter").tables(data, split)["image"]
    assert counted.codebooks == ("image_a", "image_b", "image_count")
    assert np.array_equal(counted.codes[image.present, :2], raw[image.present])
    ranked = SelfSupervisedIds(image, "rank").tables(data, split)["image"]
    assert ranked.codebooks[-1] == "image_rank" and len(np.unique(ranked.codes, axis=0)) == data.num_items
    table.save(tmp_path / "image.parquet")
    assert np.array_equal(load_semantic_ids(tmp_path / "image.parquet").codes, table.codes)
    events = drain(ids.learn(data, split)).events
    assert events[-1].step == 10 and "perplexity/image/0" in events[-1].measured


def test_vectors_of_other_encoders_have_no_codes(data, embeddings):
    plain = replace(embeddings["image"], encoder=f"{SPEC},quantize=none")
    for vectors in (embeddings["text"], plain):
        assert not has_codes(vectors)
        with pytest.raises(DataError, match="learns no codes"):
            SelfSupervisedIds(vectors)


def context_of(data, split, embeddings, folder):
    parameters = Parameters("smoke", content=8, codewords=8, codebook_epochs=2)
    settings = parameters.settings(data.num_items)
    usual = settings.generator
    short = replace(usual, recipe=replace(usual.recipe, steps=4), validate_users=20, measurements=1)
    return Context(folder, data, split, embeddings, replace(settings, generator=short))


def test_mscgrec_reads_them_and_without_the_term_those_of_the_tokenizer(data, split, embeddings, tmp_path):
    context = context_of(data, split, embeddings, tmp_path)
    entry = entry_of("MSCGRec")
    assert "self-supervised" in entry.terms_in(context)
    tables = {}
    for without in ((), ("self-supervised",)):
        (system,) = entry.systems(context, without).values()
        drain(system.fit(data, split))
        tables[without] = system.decoder.tables.ids
        assert [*tables[without]] == ["text", "image", COLLABORATIVE]
        assert (system.recommend(split.test.take(np.arange(5)), 10).items >= 0).all()
    own, ordinary = tables.values()
    expected = SelfSupervisedIds(embeddings["image"]).tables(data, split)["image"]
    assert np.array_equal(own["image"].codes, expected.codes)
    assert own["image"].sizes != ordinary["image"].sizes  # the tokenizer has as many levels as fit the catalog
    assert np.array_equal(own["text"].codes, ordinary["text"].codes)
    assert system.name == "MSCGRec w/o self-supervised"


def test_the_term_is_not_there_without_such_vectors(data, split, embeddings, tmp_path):
    context = context_of(data, split, embeddings, tmp_path)
    terms = entry_of("MSCGRec").terms_in
    plain = replace(embeddings["image"], encoder="hog-color")
    assert "self-supervised" not in terms(replace(context, embeddings={**embeddings, "image": plain}))
    given = SelfSupervisedIds(embeddings["image"]).tables(data, split)
    assert "self-supervised" not in terms(replace(context, given=given))
    # Where the IDs of pictures are not read, none are learned.
    (system,) = entry_of("MSCGRec").systems(context, ("image",)).values()
    assert not any(isinstance(part, SelfSupervisedIds) for part in system.ids.parts)
