"""Cold items leave no trace: what is learned is the same to the bit, whatever their contents are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.data import load_dataset
from macrec.data.split import seen_items
from macrec.encoders.collaborative import COLLABORATIVE
from macrec.encoders.principal import principal_components
from macrec.experiments import encode_modalities
from macrec.systems import Context, Parameters, open_generator
from macrec.tokenizers import LearnedIds
from macrec.training import drain, train

KINDS = ("cross-modal", "rqvae", "rkmeans", "rkmeans+", "opq")
GENERATORS = ("TIGER (text)", "LIGER", "MSCGRec", "MACRec")


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny(cold=0.1)")


@pytest.fixture(scope="module")
def split(data):
    return data.split()


@pytest.fixture(scope="module")
def seen(data, split):
    seen = seen_items(split.train, data.num_items)
    assert 0.05 < (~seen).mean() < 0.2
    return seen


@pytest.fixture(scope="module")
def worlds(data, seen):
    """The vectors of texts and pictures, and the same with others of the cold items."""
    usual = encode_modalities(data, {"text": "tfidf", "image": "hog-color"})
    rng, other = np.random.default_rng(0), {}
    for name, table in usual.items():
        values = table.values.copy()
        rows = np.flatnonzero(~seen & table.present)
        values[rows] = (3 * rng.standard_normal((len(rows), table.dim)) * table.std + 1).astype(values.dtype)
        other[name] = type(table).from_values(name, table.encoder, values, table.present)
        assert not np.array_equal(other[name].mean, table.mean)
    return usual, other


def settings(data, **parameters):
    return Parameters("smoke", codewords=8, codebook_epochs=2, content=8, **parameters).settings(data.num_items)


@pytest.mark.parametrize("kind", KINDS)
def test_codebooks_are_learned_from_seen_items_alone(data, split, seen, worlds, tmp_path, kind):
    learned = []
    for number, vectors in enumerate(worlds):
        ids = LearnedIds(tmp_path / str(number), vectors, settings(data, tokenizer=kind).codebooks)
        events = drain(ids.learn(data, split)).events
        learned.append((ids._tokenizer, ids.tables(data, split), [(event.losses, event.measured) for event in events]))
    (one, tables, events), (other, others, same) = learned
    assert events == same
    for name in one.embeddings:
        for part in ("mean", "std"):
            assert np.array_equal(getattr(one.embeddings[name], part), getattr(other.embeddings[name], part))
        assert np.array_equal(one.labels[name][seen], other.labels[name][seen])
        for mine, theirs in zip(one.codebooks()[name], other.codebooks()[name], strict=True):
            assert np.array_equal(mine, theirs)
        assert np.array_equal(tables[name].codes[seen], others[name].codes[seen])
        assert not np.array_equal(tables[name].codes[~seen], others[name].codes[~seen])
        assert len(np.unique(others[name].codes, axis=0)) == data.num_items
    if hasattr(one, "task"):
        mine, theirs = one.task.module.state_dict(), other.task.module.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_components_that_generators_read_are_those_of_seen_items(seen, worlds):
    one, other = (principal_components(world["text"].learned_from(seen), 8) for world in worlds)
    assert np.array_equal(one[seen], other[seen]) and not np.array_equal(one[~seen], other[~seen])
    everything = [principal_components(world["text"], 8) for world in worlds]
    assert not np.array_equal(everything[0][seen], everything[1][seen])


@pytest.mark.parametrize("backbone", ["causal", "t5"])
@pytest.mark.parametrize("name", GENERATORS)
def test_generators_learn_the_same(data, split, seen, worlds, tmp_path, name, backbone):
    if name == "LIGER" and backbone == "t5":
        pytest.skip("no dense head on this backbone")
    weights, tables = [], []
    for number, vectors in enumerate(worlds):
        chosen = settings(data, backbone=backbone, tokenizer="rkmeans")
        generator = replace(chosen.generator, recipe=replace(chosen.generator.recipe, steps=3))
        context = Context(tmp_path / str(number), data, split, vectors, replace(chosen, generator=generator))
        system = open_generator(context, name)
        task = system.new_training(data, split)
        drain(train(task, task.plan()))
        weights.append(dict(task.module.named_parameters()))
        tables.append(task.tables.ids)
    assert all(np.array_equal(tables[0][each].codes[seen], tables[1][each].codes[seen]) for each in tables[0])
    assert any(not np.array_equal(tables[0][each].codes, tables[1][each].codes) for each in tables[0])
    assert all(torch.equal(weights[0][each], weights[1][each]) for each in weights[0])
    assert name != "MSCGRec" or COLLABORATIVE in tables[0]


def test_what_was_learned_from_is_part_of_the_name_where_it_is_not_all(data, split, seen, worlds, tmp_path):
    some = LearnedIds(tmp_path, worlds[0], settings(data).codebooks).tokenizer(data, split)
    every = type(some)(tmp_path, data, worlds[0], some.settings)
    assert some.identity == {**every.identity, "learned_from": some.identity["learned_from"]}
    one = np.flatnonzero(~seen)[0]
    fewer = seen.copy()
    fewer[one] = True
    others = {name: table.learned_from(fewer) for name, table in worlds[0].items()}
    assert type(some)(tmp_path, data, others, some.settings).checkpoint.folder != some.checkpoint.folder
    assert all(table.learned_from(np.ones_like(seen)) is table for table in worlds[0].values())


def test_modalities_that_are_learned_from_different_items_are_refused(data, seen, worlds, tmp_path):
    made = LearnedIds(tmp_path, worlds[0], settings(data).codebooks)
    mixed = {"text": worlds[0]["text"].learned_from(seen), "image": worlds[0]["image"]}
    with pytest.raises(ValueError, match="learned from different items"):
        type(made.tokenizer(data, data.split()))(tmp_path, data, mixed, settings(data).codebooks)
