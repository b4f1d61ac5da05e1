"""MSCGRec on both backbones: what is read and written, the terms, and collaborative IDs of training events alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.data import load_dataset
from macrec.data.split import item_counts
from macrec.encoders.collaborative import COLLABORATIVE, collaborative_vectors
from macrec.errors import DataError, NotApplicable
from macrec.experiments import encode_modalities
from macrec.experiments.modality_subsets import modality_subsets
from macrec.generation.next_code import next_codes
from macrec.quantization.leaves import leaf_table_of
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Context, Parameters
from macrec.systems.collaborative_ids import TEACHERS, CollaborativeIds
from macrec.systems.registry import entry_of, systems
from macrec.training import drain

NAMES = ("text", "image", COLLABORATIVE)
EVERY = "+".join(NAMES)
on_both = pytest.mark.parametrize("backbone", ["causal", "t5"])


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny")


@pytest.fixture(scope="module")
def embeddings(data):
    return encode_modalities(data, {"text": "tfidf", "image": "hog-color"})


@pytest.fixture(scope="module")
def split(data):
    return data.split()


@pytest.fixture(scope="module")
def opened(data, split, embeddings, tmp_path_factory):
    """Makes contexts of short trainings; what is trained is found again by every test."""
    folder = tmp_path_factory.mktemp("mscgrec")

    def make(backbone="causal", **given) -> Context:
        parameters = Parameters("smoke", backbone=backbone, content=8, codewords=8, codebook_epochs=2, **given)
        settings = parameters.settings(data.num_items)
        usual = settings.generator
        short = replace(usual, recipe=replace(usual.recipe, steps=6), validate_users=20, measurements=1)
        return Context(folder, data, split, embeddings, replace(settings, generator=short))

    return make


def made(context, without=()):
    (system,) = entry_of("MSCGRec").systems(context, without).values()
    return system


def fitted(context, without=()):
    system = made(context, without)
    drain(system.fit(context.data, context.split))
    return system


@on_both
@pytest.mark.parametrize("decode", NAMES)
def test_all_ids_are_read_and_that_of_one_modality_is_written(opened, split, backbone, decode):
    system = fitted(opened(backbone, decode=decode))
    assert [task.name for task in system.tasks] == [f"{EVERY}→{decode}, sequence"]
    decoder = system.decoder
    assert decoder.paths == [0] and [*decoder.tries] == [decode] and [*decoder.tables.ids] == [*NAMES]
    few = split.test.take(np.arange(10))
    ranking = decoder.recommend(few, 10)
    assert all(len(set(row)) == 10 for row in ranking.items.tolist())
    # Every item has an ID of its own in what is written, and its probability is that of the training.
    assert len(np.unique(decoder.tables.ids[decode].codes, axis=0)) == len(decoder.tables.ids[decode])
    scores = decoder.exact_scores(few, system.tasks[0].name)
    np.testing.assert_allclose(np.exp(scores.astype(np.float64)).sum(1), 1, atol=1e-4)
    if backbone == "causal":
        assert set(decoder.model.projections) == set(NAMES)  # contents are read beside the codes
    else:
        levels = sum(table.num_levels for table in decoder.tables.ids.values())
        assert decoder.model.config.slots == levels and decoder.model.config.positions == "item_slot"


@on_both
def test_each_term_changes_what_it_says(opened, backbone):
    context = opened(backbone)
    whole, terms = made(context), entry_of("MSCGRec").terms_in(context)
    assert ("positions" in terms) == (backbone == "t5")
    for name in NAMES:
        left = made(context, (name,))
        others = [other for other in NAMES if other != name]
        assert left.tasks[0].source == "+".join(others) and left.tasks[0].target == COLLABORATIVE
        assert left.name == f"MSCGRec w/o {name}"
    recipe = whole.settings.recipe
    assert (recipe.softmax, recipe.mask_modality, recipe.lambda_implicit) == ("children", 0.25, 0.0)
    assert made(context, ("constrained",)).settings.recipe == replace(recipe, softmax="level")
    assert made(context, ("masking",)).settings.recipe == replace(recipe, mask_modality=0.0)
    alone = made(context, terms)
    assert alone.name == "MSCGRec w/o any term" and alone.tasks[0].source == COLLABORATIVE
    if backbone == "t5":
        assert made(context, ("positions",)).settings.config.positions == "flat" == alone.settings.config.positions


def test_without_reading_what_is_written_it_still_learns(opened, split):
    system = fitted(opened(), (COLLABORATIVE,))
    assert system.training.module.modalities == NAMES
    assert (system.recommend(split.test.take(np.arange(5)), 10).items >= 0).all()


def test_without_pictures_there_is_no_term_about_them(opened, embeddings):
    context = replace(opened(), embeddings={"text": embeddings["text"]})
    assert [*entry_of("MSCGRec").terms_in(context)] == ["text", COLLABORATIVE, "constrained", "masking"]
    assert made(context).tasks[0].source == f"text+{COLLABORATIVE}"
    with pytest.raises(DataError, match='no modality "sound" to be written; choose one of text, collaborative'):
        made(replace(context, settings=replace(context.settings, decode="sound")))


def test_ids_and_contents_of_the_other_modalities_are_those_of_tiger(opened, data, split):
    context = opened()
    mine = made(context).ids.tables(data, split)
    for name, tiger in systems(context, "TIGER").items():
        (table,) = tiger.ids.tables(data, split).values()
        assert np.array_equal(table.codes, mine[name[7:-1]].codes)


def test_given_collaborative_ids_are_taken(opened, data, split):
    codes = np.stack(np.divmod(np.arange(data.num_items), 20), 1)
    given = SemanticIds.from_codes(codes, item_ids=data.items["item_id"])
    system = made(replace(opened(), given={COLLABORATIVE: given}))
    assert np.array_equal(system.ids.tables(data, split)[COLLABORATIVE].codes, codes)
    assert COLLABORATIVE not in system.contents(data, split)


def later(data, split):
    """The same users with other validation and test targets: the training part of the histories is as it was."""
    rng = np.random.default_rng(0)
    parts = {}
    for name in ("valid", "test"):
        samples = getattr(split, name)
        items = samples.items.copy()
        items[split.valid.target] = rng.integers(0, data.num_items, len(split.valid))
        items[split.test.target] = rng.integers(0, data.num_items, len(split.test))
        parts[name] = replace(samples, items=items)
    return split._replace(train=replace(split.train, items=parts["test"].items), **parts)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_validation_and_test_events_change_no_code(data, split, embeddings, tmp_path, teacher):
    parameters = Parameters("smoke", codewords=8, codebook_epochs=2, tokenizer="rkmeans")
    settings = parameters.settings(data.num_items)
    other = later(data, split)
    assert not np.array_equal(other.test.targets, split.test.targets)
    vectors, tables = [], []
    for folder, part in (("one", split), ("other", other)):
        recipe = replace(settings.sasrec, epochs=1)
        ids = CollaborativeIds(tmp_path / folder, settings.codebooks, embeddings, teacher, recipe)
        vectors.append(ids.vectors(data, part))
        tables.append(ids.tables(data, part)[COLLABORATIVE])
        assert ids.known(data, part) and vectors[-1].present.all()
    assert vectors[0].values.tobytes() == vectors[1].values.tobytes()
    assert np.array_equal(tables[0].codes, tables[1].codes)
    fewer = split._replace(train=split.train.take(np.arange(len(split.train) // 2)))
    again = CollaborativeIds(
        tmp_path / "fewer", settings.codebooks, embeddings, teacher, replace(settings.sasrec, epochs=1)
    )
    assert again.vectors(data, fewer).values.tobytes() != vectors[0].values.tobytes()


@pytest.mark.parametrize("teacher", TEACHERS)
def test_it_stands_on_every_teacher(opened, split, teacher):
    context = opened(teacher=teacher, tokenizer="rkmeans")
    system = fitted(context)
    assert system.taught.teacher == teacher
    ranking = system.recommend(split.test.take(np.arange(10)), 10)
    assert all(len(set(row)) == 10 for row in ranking.items.tolist())
    table, usual = (made(each).ids.tables(context.data, split)[COLLABORATIVE] for each in (context, opened()))
    assert len(np.unique(table.codes, axis=0)) == len(table)
    assert teacher == "ppmi" or not np.array_equal(table.codes, usual.codes)


def test_shuffled_vectors_are_those_of_ppmi_in_another_order(data, split, tmp_path):
    parameters = Parameters("smoke", codewords=8, codebook_epochs=2, tokenizer="rkmeans")
    usual = collaborative_vectors(split, data.num_items)

    def vectors(seed):
        settings = parameters.settings(data.num_items).with_seed(seed)
        ids = CollaborativeIds(tmp_path, settings.codebooks, {}, "shuffled", settings.sasrec)
        return ids.vectors(data, split)

    one, same, other = vectors(1), vectors(1), vectors(2)
    assert np.array_equal(one.present, usual.present) and np.array_equal(one.std, usual.std)
    assert np.array_equal(np.sort(one.values, axis=0), np.sort(usual.values, axis=0))
    moved = (one.values != usual.values).any(1)
    assert moved.sum() > 0.9 * usual.present.sum()
    assert one.values.tobytes() == same.values.tobytes() != other.values.tobytes()


def test_items_without_events_have_ids_by_their_contents(data, split, embeddings, tmp_path):
    settings = Parameters("smoke", codewords=8, codebook_epochs=2).settings(data.num_items)
    cold = item_counts(split, data.num_items) == 0
    raw = collaborative_vectors(split, data.num_items)
    assert cold.any() and not raw.present[cold].any()
    ids = CollaborativeIds(tmp_path, settings.codebooks, embeddings)
    vectors = ids.vectors(data, split)
    assert vectors.present.all() and len(np.unique(vectors.values[cold], axis=0)) == cold.sum()
    assert vectors.values[raw.present].tobytes() == raw.values[raw.present].tobytes()
    without = CollaborativeIds(tmp_path, settings.codebooks, {})
    assert not without.vectors(data, split).present[cold].any()


def test_an_unknown_teacher_is_refused(tmp_path):
    with pytest.raises(DataError, match='no teacher "word2vec"; choose one of ppmi, sasrec, lightgcn, shuffled'):
        CollaborativeIds(tmp_path, Parameters("smoke").settings().codebooks, {}, "word2vec")


def test_states_of_items_can_be_looked_at(opened, data):
    for backbone in ("causal", "t5"):
        states = fitted(opened(backbone)).states()["after"]
        assert set(states) == set(NAMES) and len(states["text"]) == data.num_items
        assert torch.isfinite(torch.from_numpy(states["image"])).all()


def test_a_trained_generator_reads_some_modalities_only(opened, split):
    context = opened()
    system = fitted(context)
    subsets = modality_subsets(system)
    assert len(subsets) == 7 and list(subsets)[-1] == "text + image + collaborative"
    few = split.test.take(np.arange(20))
    whole = system.recommend(few, 10)
    np.testing.assert_array_equal(subsets["text + image + collaborative"].recommend(few, 10).items, whole.items)
    by_text = subsets["text"].recommend(few, 10)
    assert (by_text.items != whole.items).any()
    # What is not read cannot matter: neither the codes of pictures nor what they show.
    model = system.decoder.model
    text_levels = system.decoder.tables.ids["text"].num_levels
    model.codes[:, text_levels : text_levels + system.decoder.tables.ids["image"].num_levels] = 0
    model.content_image.zero_()
    np.testing.assert_array_equal(by_text.scores, subsets["text"].recommend(few, 10).scores)
    assert (subsets["image"].recommend(few, 10).scores != whole.scores).any()


def test_an_encoder_decoder_does_not_read_some_modalities_only(opened):
    with pytest.raises(NotApplicable, match=r"the backbone t5 cannot leave out modalities.*backbone=causal"):
        modality_subsets(fitted(opened("t5")))


@on_both
def test_the_next_codes_of_a_target_are_those_of_its_score(opened, split, backbone):
    decoder = fitted(opened(backbone)).decoder
    one = split.test.take(np.array([3]))
    steps = next_codes(decoder, one)
    codes = decoder.tables.ids[COLLABORATIVE].codes
    target = int(one.targets[0])
    assert [step.code for step in steps] == codes[target].tolist()
    score = np.prod([step.children[step.code] for step in steps])
    name = decoder.tables.tasks[0].name
    assert score == pytest.approx(np.exp(decoder.exact_scores(one, name)[0, target].astype(np.float64)), rel=1e-4)
    for depth, step in enumerate(steps):
        below = (codes[:, :depth] == codes[target, :depth]).all(1)
        assert sorted(np.flatnonzero(step.exists)) == sorted(set(codes[below, depth].tolist()))
        assert step.level.sum() == pytest.approx(1) and step.children.sum() == pytest.approx(1)
        # Among the codes that can follow all are as probable as before, in proportion.
        kept = step.level[step.exists]
        np.testing.assert_allclose(step.children[step.exists], kept / (1 - step.lost), rtol=1e-6)
        items = step.item[step.exists]
        assert (codes[items, depth] == np.flatnonzero(step.exists)).all() and below[items].all()
        assert (step.item[~step.exists] == -1).all()
    with pytest.raises(ValueError, match="one history"):
        next_codes(decoder, split.test.take(np.arange(2)))


def test_the_leaves_are_the_ids_before_conflicts_are_resolved(opened, data, split):
    system = fitted(opened())
    leaves, tables = system.ids.leaves(data, split), system.ids.tables(data, split)
    assert [*leaves] == [*tables] == [*NAMES]
    for name, (before, report) in leaves.items():
        changed = (before.codes != tables[name].codes[:, : before.num_levels]).any(1).sum()
        assert len(before) == len(tables[name]) and changed == report.moved
    table = leaf_table_of(leaves)
    assert table["modality"].to_list() == [*NAMES] and table["moved"].to_list() == [r.moved for _, r in leaves.values()]
