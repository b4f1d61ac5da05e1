"""Codebooks of a catalog: settings change what they say, trained ones are found again, a comparison measures them."""

import dataclasses
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.data.images import NoImages
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.experiments import encode_modalities, modality_specs
from macrec.experiments.compare_tokenizers import BY_PREFIX, codebook_rows, compare, joined, variants, what_to_compare
from macrec.quantization.health import mutual_information
from macrec.quantization.sizes import MOST_LEVELS
from macrec.systems import PROFILES, Parameters
from macrec.tokenizers.codebooks import Codebooks
from macrec.tokenizers.tokenizer import catalog_labels
from macrec.tokenizers.training import CodebookTask
from macrec.training import drain

SETTINGS = Parameters("smoke", levels=3, codewords=6, clusters=6, codebook_epochs=4).codebooks()
STEPS = 4  # one batch an epoch


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def embeddings(data):
    """Text vectors that know purpose and a little palette, image vectors the other way around; 10 have no picture."""
    rng = np.random.default_rng(0)

    def made(modality, factors, present):
        levels = [data.items[name].rank("dense").to_numpy() - 1 for name in factors]
        values = np.concatenate([np.eye(8)[levels[0]], 0.5 * np.eye(8)[levels[1]]], 1)
        values = values + 0.1 * rng.standard_normal(values.shape)
        return Embeddings.from_values(
            modality, "made", np.where(present[:, None], values, 0).astype(np.float32), present
        )

    return {
        "text": made("text", ("purpose", "palette"), np.ones(data.num_items, bool)),
        "image": made("image", ("palette", "purpose"), data.images.present),
    }


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "codebooks"


@pytest.fixture(scope="module")
def trained(data, embeddings, tmp_path_factory):
    """Codebooks after their training."""
    books = Codebooks(tmp_path_factory.mktemp("trained"), data, embeddings, SETTINGS)
    drain(books.events())
    return books


@pytest.fixture
def steps(monkeypatch):
    """Every training step made while a test runs."""
    made, losses = [], CodebookTask.losses

    def counted(self, step):
        made.append(step)
        return losses(self, step)

    monkeypatch.setattr(CodebookTask, "losses", counted)
    return made


def changed(one, other):
    """The names of the fields in which two records differ, nested ones with dots."""
    names = set()
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            names |= {f"{field.name}.{name}" for name in changed(a, b)}
        elif a != b:
            names.add(field.name)
    return names


def test_the_contrastive_weight_holds_on_the_upper_half_of_the_levels():
    for levels, weights in {1: (2.0,), 2: (0, 2.0), 3: (0, 2.0, 2.0), 4: (0, 0, 2.0, 2.0), 5: (0, 0, 2, 2, 2)}.items():
        settings = Parameters("smoke", levels=levels, codewords=7, lambda_con=2.0).codebooks()
        assert settings.config.lambda_con == weights
        assert settings.config.rqvae.sizes == (7,) * levels


@pytest.mark.parametrize("profile", ["smoke", "demo", "study"])
def test_a_profile_chooses_network_and_epochs_unless_they_are_given(profile):
    settings = Parameters(profile).codebooks()
    assert settings.config.rqvae.hidden == PROFILES[profile].network.hidden
    other = Parameters(profile, codebook_epochs=3, network="paper").codebooks()
    assert other.recipe.epochs == 3 and other.config.rqvae.hidden == (2048, 1024, 512, 256, 128, 64)
    assert Parameters(profile, codebook_epochs=0).codebooks() == settings


@pytest.mark.parametrize("items", [10, 160, 300, 2_000, 6_250, 20_000, 1_000_000, 100_000_000])
def test_the_size_of_the_codebooks_follows_the_catalog_unless_told_otherwise(items):
    sizes = Parameters("smoke").codebooks(items).config.rqvae.sizes
    assert len(set(sizes)) == 1 and 3 <= len(sizes) <= MOST_LEVELS
    assert sizes[0] == 16 or items >= 10 * sizes[0]
    assert sizes[0] ** len(sizes) >= 100 * items
    assert Parameters("smoke", levels=3, codewords=7).codebooks(items).config.rqvae.sizes == (7, 7, 7)
    assert Parameters("smoke", levels=2).codebooks(items).config.rqvae.sizes == sizes[:1] * 2


def test_the_built_in_catalog_has_three_levels_of_128_codewords_and_a_published_one_four_of_256():
    assert Parameters("demo").codebooks().config.rqvae.sizes == (128,) * 3
    for items in (6_250, 9_922, 12_101):  # Instruments (MQL4GRec, LC-Rec) and Beauty
        assert Parameters("demo").codebooks(items).config.rqvae.sizes == (256,) * 4


def test_variants_change_exactly_what_they_say():
    assert changed(SETTINGS, SETTINGS.independent()) == {"config.lambda_con", "config.lambda_align", "tokenizer"}
    assert not any(SETTINGS.independent().config.lambda_con) and not SETTINGS.independent().config.lambda_align
    assert changed(SETTINGS, SETTINGS.with_lambda(0.5)) == {"config.lambda_con"}
    assert changed(SETTINGS, SETTINGS.with_seed(3)) == {"recipe.seed"}
    published = SETTINGS.published()
    assert published.config.rqvae.residual_grad == "none" and published.config.positives == "self"
    same = {"recipe.epochs", "recipe.batch", "recipe.seed", "clusters", "config.rqvae.sizes", "config.rqvae.hidden"}
    assert {"config.rqvae.residual_grad", "config.positives", "recipe.standardize", "recipe.revive"} <= (
        changed(SETTINGS, published)
    )
    assert not changed(SETTINGS, published) & same


def test_another_weight_goes_to_the_levels_that_have_one_and_comes_back_after_zero():
    assert SETTINGS.with_lambda(0.5).config.lambda_con == (0, 0.5, 0.5)
    assert SETTINGS.with_lambda(0).config.lambda_con == (0, 0, 0)
    assert SETTINGS.with_lambda(0).with_lambda(0.003) == SETTINGS
    lowest = replace(SETTINGS, config=replace(SETTINGS.config, lambda_con=(0.1, 0.0, 0.2)))
    assert lowest.with_lambda(0.5).config.lambda_con == (0.5, 0, 0.5)


def test_what_is_compared_follows_the_profile_or_the_parameters():
    assert what_to_compare("demo", 0.001) == ([0.001], [0])
    assert what_to_compare("study", 0.001) == ([0.0, 0.0003, 0.001, 0.003, 0.01, 0.03], [0, 1, 2])
    assert what_to_compare("study", 0.002)[0] == [0.0, 0.0003, 0.001, 0.002, 0.003, 0.01, 0.03]
    assert what_to_compare("study", 0.5, " 0, 1e-1 ", 2, 7) == ([0.0, 0.1, 0.5], [7, 8])
    assert what_to_compare("smoke", 0.1, "0.1,0.1", 1, 3) == ([0.1], [3])


@pytest.mark.parametrize("sweep", ["a", "0, b", "-0.1", "nan", "0, inf", "0,,1", "0,", " ", "0.1 0.2"])
def test_a_sweep_that_is_no_list_of_weights_is_refused(sweep):
    with pytest.raises(DataError, match=r'field "sweep": the sweep ".*" is no list of weights of 0 or more; write'):
        what_to_compare("demo", 0.001, sweep)


def test_a_negative_number_of_seeds_is_refused():
    with pytest.raises(DataError, match=r'field "seeds": -1 is too small; give a whole number of 0 or more'):
        what_to_compare("demo", 0.001, seeds=-1)


def test_equal_settings_find_the_trained_codebooks_again(folder, data, embeddings, steps):
    first = Codebooks(folder, data, embeddings, SETTINGS)
    events = list(first.events())
    assert steps == list(range(STEPS)) and events[-1].step == STEPS
    equal = Parameters("smoke", levels=3, codewords=6, clusters=6, codebook_epochs=4).codebooks()
    again = Codebooks(folder, data, embeddings, equal)
    found = list(again.events())
    assert len(steps) == STEPS  # no step more
    assert [event.losses for event in found] == [event.losses for event in events]
    for name, ids in first.ids().items():
        np.testing.assert_array_equal(ids.codes, again.ids()[name].codes)


def test_whatever_decides_the_result_has_a_folder_of_its_own(folder, data, embeddings):
    other_vectors = {name: Embeddings.from_values(name, "made", 2 * found.values) for name, found in embeddings.items()}
    other_names = {
        name: Embeddings.from_values(name, "other", found.values, found.present) for name, found in embeddings.items()
    }
    half = {name: Embeddings.from_values(name, "made", e.values.astype(np.float16)) for name, e in embeddings.items()}
    settings = [
        SETTINGS,
        SETTINGS.independent(),
        SETTINGS.published(),
        SETTINGS.with_lambda(0.1),
        SETTINGS.with_seed(1),
        replace(SETTINGS, clusters=7),
        Parameters("smoke", levels=3, codewords=6, clusters=6, codebook_epochs=5).codebooks(),
        Parameters("demo", levels=3, codewords=6, clusters=6, codebook_epochs=4).codebooks(),
    ]
    every = [Codebooks(folder, data, embeddings, chosen) for chosen in settings]
    every += [Codebooks(folder, data, vectors, SETTINGS) for vectors in (other_vectors, other_names, half)]
    every += [Codebooks(folder, data, {"text": embeddings["text"]}, SETTINGS)]
    every += [Codebooks(folder, replace(data, images=NoImages(data.num_items)), embeddings, SETTINGS)]
    folders = [books.checkpoint.folder for books in every]
    assert len(set(folders)) == len(folders)
    assert all(found.is_relative_to(folder) for found in folders)


def test_ids_name_the_items_that_have_the_modality_in_order(trained, data):
    ids = trained.ids()
    assert ids["text"].item_ids.to_list() == data.items["item_id"].to_list()
    with_picture = data.items["item_id"].filter(pl.Series(data.images.present))
    assert 0 < len(with_picture) < data.num_items
    assert ids["image"].item_ids.to_list() == with_picture.to_list()


def test_latents_books_and_ids_fit_each_other(trained):
    latents, books = trained.latents(), trained.codebooks()
    for name, ids in trained.ids().items():
        assert [book.shape for book in books[name]] == [(6, 16)] * 3
        residual = latents[name].astype(np.float64)
        assert len(residual) == len(ids)
        for level, book in enumerate(books[name]):
            distances = np.square(residual[:, None] - book).sum(2)
            np.testing.assert_array_equal(distances.argmin(1), ids.codes[:, level])
            residual = residual - book[ids.codes[:, level]]


def test_resolving_makes_ids_unique_and_leaves_the_others_alone(trained):
    before, (after, reports) = trained.ids(), trained.resolved()
    for name, ids in before.items():
        unique, group, counts = np.unique(ids.codes, axis=0, return_inverse=True, return_counts=True)
        assert counts.max() > 1, "nothing to resolve"
        assert len(np.unique(after[name].codes, axis=0)) == len(ids)
        alone = counts[group.ravel()] == 1
        np.testing.assert_array_equal(after[name].codes[alone], ids.codes[alone])
        assert after[name].item_ids.to_list() == ids.item_ids.to_list()
        moved = (after[name].codes != ids.codes).any(1).sum()
        assert reports[name].moved == moved == len(ids) - len(unique)
        assert (reports[name].rate_before, reports[name].rate_after) == (moved / len(ids), 0)


def test_every_item_of_the_catalog_gets_an_id_of_its_own_when_absent_ones_are_asked_for(trained, data):
    alone, whole = trained.resolved()[0], trained.resolved(absent=True)[0]
    np.testing.assert_array_equal(whole["text"].codes, alone["text"].codes)  # every item has a text
    raw = trained.task.semantic_ids(data.items["item_id"], absent=True)
    for name, ids in whole.items():
        assert ids.item_ids.to_list() == data.items["item_id"].to_list()
        assert len(np.unique(ids.codes, axis=0)) == data.num_items
        assert (ids.codebooks, ids.sizes) == (alone[name].codebooks, alone[name].sizes)
    present = data.images.present
    absent = raw["image"].codes[~present]
    assert len(absent) > 1 and (absent == absent[0]).all()  # that of the mean vector
    np.testing.assert_array_equal(raw["image"].codes[present], trained.ids()["image"].codes)
    # Those that do not meet an absent item are resolved among themselves: the same ones keep their ID.
    apart = (raw["image"].codes[present] != absent[0]).any(1)
    kept = (alone["image"].codes == trained.ids()["image"].codes).all(1)
    still = (whole["image"].codes[present] == trained.ids()["image"].codes).all(1)
    assert 0 < kept[apart].sum() < apart.sum()
    np.testing.assert_array_equal(still[apart], kept[apart])
    # And one item keeps the ID of the mean vector.
    assert (whole["image"].codes == absent[0]).all(1).sum() == 1


def test_a_batch_is_items_with_their_own_labels(trained, embeddings):
    x, labels = trained.batch(40)
    whole, _ = trained.batch(10_000)
    assert {name: len(rows) for name, rows in x.items()} == {"text": 40, "image": 40}
    assert len(whole["text"]) == len(embeddings["text"])
    standardized = embeddings["text"].standardized()
    rows = [int(np.flatnonzero((standardized == vector).all(1))[0]) for vector in x["text"].numpy()]
    assert rows == sorted(rows)
    for name in embeddings:
        np.testing.assert_array_equal(x[name].numpy(), embeddings[name].standardized(np.array(rows)))
        assert labels[name].tolist() == trained.labels[name][rows].tolist()


def test_rows_measure_the_codes_that_are_there(trained):
    for row in codebook_rows(trained, "mine"):
        name, codes = row["modality"], trained.ids()[row["modality"]].codes
        assert (row["variant"], row["seed"]) == ("mine", 0)
        assert row["conflict_rate"] == pytest.approx(1 - len({tuple(code) for code in codes.tolist()}) / len(codes))
        shares = [np.bincount(column, minlength=6) / len(codes) for column in codes.T]
        assert row["utilization"] == pytest.approx(np.mean([(share > 0).mean() for share in shares]))
        perplexities = [np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()) for share in shares]
        assert row["perplexity"] == pytest.approx(np.mean(perplexities))
        assert row["reconstruction"] == pytest.approx(trained.task.reconstruction()[name])
        other = "image" if name == "text" else "text"
        both = (trained.labels["text"] >= 0) & (trained.labels["image"] >= 0)
        mine = codes[both[trained.labels[name] >= 0]]
        told = np.mean([mutual_information(column, trained.labels[other][both]) for column in mine.T])
        assert 0 < row["information"] < told


def test_every_variant_is_compared_from_every_seed_and_trained_once(folder, data, embeddings, steps):
    compared = variants(SETTINGS, embeddings, [0.0, 0.003])
    rows = compare(folder, data, embeddings, compared, [0, 1])
    named = ["independent", "cross-modal λ=0", "cross-modal λ=0.003", BY_PREFIX, "published code"]
    assert list(compared) == [*named, "residual k-means"]
    assert len(steps) == len(named) * 2 * STEPS
    keys = rows.select("variant", "seed", "modality")
    assert len(keys.unique()) == len(keys) == (len(named) + 1) * 2 * 2
    assert rows["variant"].unique(maintain_order=True).to_list() == [*named, "residual k-means"]
    assert compare(folder, data, embeddings, compared, [0, 1]).equals(rows)
    assert len(steps) == len(named) * 2 * STEPS
    mine = Codebooks(folder, data, embeddings, SETTINGS.with_seed(1))
    drain(mine.events())
    chosen = rows.filter(pl.col("variant") == "cross-modal λ=0.003", pl.col("seed") == 1)
    assert chosen.to_dicts() == codebook_rows(mine, "cross-modal λ=0.003")
    assert len(steps) == len(named) * 2 * STEPS


@pytest.mark.parametrize("where", ["losses", "__init__"])
def test_an_interrupt_returns_what_was_finished(folder, data, embeddings, monkeypatch, where):
    original, calls = getattr(CodebookTask, where), []

    def interrupted(self, *arguments):
        calls.append(arguments)
        if len(calls) > (STEPS if where == "losses" else 1):  # in the second training, or before it begins
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(CodebookTask, where, interrupted)
    compared = variants(SETTINGS, embeddings, [0.001])
    rows = compare(folder, data, embeddings, compared, [0])
    assert rows["variant"].unique(maintain_order=True).to_list() == ["independent"]
    monkeypatch.undo()
    assert len(compare(folder, data, embeddings, compared, [0])["variant"].unique()) == 5


def test_the_form_by_prefix_is_compared_unless_it_is_the_own_one():
    by_prefix = SETTINGS.by_prefix(0.5)
    assert changed(SETTINGS, by_prefix) == {"config.lambda_con", "config.contrast"}
    two = {"text": None, "image": None}
    assert BY_PREFIX in variants(SETTINGS, two, [0.1])
    assert list(variants(by_prefix, two, [0.1]))[:3] == ["independent", "cross-modal λ=0.1", "published code"]
    assert BY_PREFIX not in variants(SETTINGS, {"text": None}, [0.1])


def test_one_modality_alone_is_compared_without_information_on_another(folder, data, embeddings):
    text = {"text": embeddings["text"]}
    rows = compare(folder, data, text, variants(SETTINGS, text, [0.001]), [0])
    assert rows["modality"].unique().to_list() == ["text"]
    assert rows["information"].is_nan().all()
    assert np.isfinite(rows.select("conflict_rate", "utilization", "perplexity", "reconstruction").to_numpy()).all()
    assert rows["variant"].to_list() == ["independent", "published code", "residual k-means"]  # nothing cross-modal


def test_a_catalog_smaller_than_the_codebooks_is_compared_too(folder, data, embeddings):
    few = np.arange(data.num_items) < 12
    small = {
        name: Embeddings.from_values(name, "made", np.where(few[:, None], found.values, 0), found.present & few)
        for name, found in embeddings.items()
    }
    compared = variants(
        Parameters("smoke", codebook_epochs=2).codebooks(), small, [0.001], ["opq", "rkmeans+"], ["ema"]
    )
    rows = compare(folder, data, small, compared, [0])
    assert rows["conflict_rate"].is_between(0, 1).all() and rows["utilization"].is_between(0, 1).all()


def test_one_modality_has_nothing_cross_modal(embeddings, capsys):
    settings = Parameters("smoke", codebook_epochs=2, lambda_con=0.1).codebooks()
    assert joined(settings, embeddings) == settings and capsys.readouterr().out == ""
    text = {"text": embeddings["text"]}
    assert joined(settings, text) == settings.independent()
    assert capsys.readouterr().out == "Left out: the cross-modal terms, as text is the only modality.\n"


def test_catalogs_of_linearly_dependent_texts_keep_reconstruction_in_range(folder, data):
    # 160 texts span fewer than 160 directions: what is left over is rounding, which has no unit to measure errors in.
    text = encode_modalities(replace(data, images=NoImages(data.num_items)), modality_specs("tfidf", "hog-color"))
    assert set(text) == {"text"}
    assert text["text"].std.min() > 1e-5
    books = Codebooks(folder, data, text, Parameters("smoke", codebook_epochs=2).codebooks().published())
    drain(books.events())
    assert codebook_rows(books, "published code")[0]["reconstruction"] < 100


def test_small_catalogs_have_clusters_of_three_on_average(embeddings):
    labels = catalog_labels(embeddings, 512, 0)
    for name, found in embeddings.items():
        assert len(np.unique(labels[name][labels[name] >= 0])) <= found.present.sum() // 3
    assert len(np.unique(catalog_labels(embeddings, 5, 0)["text"])) == 5


def test_more_items_than_ids_get_a_level_that_counts(folder, data, embeddings):
    settings = Parameters("smoke", levels=1, codewords=8, codebook_epochs=2).codebooks()
    books = Codebooks(folder, data, embeddings, settings)
    drain(books.events())
    every = [ids for absent in (False, True) for ids in books.resolved(absent)[0].values()]
    assert [len(ids) for ids in every] == [160, 150, 160, 160]
    for ids in every:
        assert ids.num_levels == 2 and ids.codebooks[1].endswith("_count")
        assert len(np.unique(ids.codes, axis=0)) == len(ids)
        assert ids.sizes[1] == ids.codes[:, 1].max() + 1
