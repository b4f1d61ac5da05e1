"""Every tokenizer by name: it learns, is found again, and gives every item of the catalog an ID of its own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from macrec.cli import app
from macrec.data.curio import curio
from macrec.data.split import item_counts
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.quantization import quantizers
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.systems import Parameters
from macrec.tokenizers import LearnedIds, kinds, open_tokenizer, tokenizers
from macrec.tokenizers.autoencoder import RQVAE, RQVAEConfig
from macrec.tokenizers.projection_start import start_as_projection
from macrec.training import drain

TOYS = Path(__file__).parents[1] / "toys"
LEARNED = ["cross-modal", "rqvae", "rkmeans", "rkmeans+", "opq", "first letters"]


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """A tokenizer and a quantizer in one file each, found like the others."""
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(TOYS / "tokenizers")])
    monkeypatch.setattr(quantizers, "__path__", [*quantizers.__path__, str(TOYS / "quantizers")])


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def embeddings(data):
    rng = np.random.default_rng(0)
    present = {"text": np.ones(data.num_items, bool), "image": data.images.present}
    return {
        name: Embeddings.from_values(
            name, "made", np.where(here[:, None], rng.standard_normal((len(here), 20)), 0).astype(np.float32), here
        )
        for name, here in present.items()
    }


def settings_of(**options):
    return Parameters("smoke", levels=3, codewords=8, clusters=6, codebook_epochs=3, **options).codebooks()


def test_the_command_lists_every_tokenizer_and_quantizer():
    told = CliRunner().invoke(app, ["tokenizers"]).output
    listed = json.loads(CliRunner().invoke(app, ["tokenizers", "--json"]).output)
    assert set(listed["tokenizer"]) == {*LEARNED, "ids"} and "gumbel" in listed["quantizer"]
    for parameter, entries in listed.items():
        assert all(f"{parameter}={name}" in told and about in told for name, about in entries.items())


def test_the_names_are_known():
    assert set(tokenizers()) == {*LEARNED, "ids"}
    assert all(kind.about for kind in tokenizers().values())


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("conflicts", ["least", "rank"])
def test_a_tokenizer_learns_is_found_again_and_names_every_item(tmp_path, data, embeddings, name, conflicts):
    settings = settings_of(tokenizer=name, conflicts=conflicts)
    tokenizer = open_tokenizer(tmp_path, data, embeddings, settings)
    events = drain(tokenizer.events()).events
    assert events and {"conflict_rate/text", "conflict_rate/image"} <= {key for e in events for key in e.measured}
    assert tokenizer.checkpoint.finished()
    again = open_tokenizer(tmp_path, data, embeddings, settings)
    found = drain(again.events()).events
    assert [(one.step, one.losses, one.measured) for one in found] == [(e.step, e.losses, e.measured) for e in events]
    latents, books, errors = again.latents(), again.codebooks(), again.reconstruction()
    for modality, ids in again.ids().items():
        assert (ids.codes == tokenizer.ids()[modality].codes).all()
        assert latents[modality].shape[0] == len(ids) == embeddings[modality].present.sum()
        assert [len(book) for book in books[modality]] == list(ids.sizes) == [8, 8, 8]
        assert errors[modality] == pytest.approx(tokenizer.reconstruction()[modality]) and 0 < errors[modality] < 3
    for modality, ids in again.ids(absent=True).items():  # items that come later are encoded like those that were there
        codes, vectors = again.quantize(modality, embeddings[modality])
        assert (codes == ids.codes).all() and codes.dtype == np.int32
        np.testing.assert_allclose(vectors, again.latents(absent=True)[modality], atol=1e-5)
    source = LearnedIds(tmp_path, embeddings, settings)
    for modality, ids in source.tables(data, data.split()).items():
        assert ids.item_ids.equals(data.items["item_id"]) and len(np.unique(ids.codes, axis=0)) == data.num_items
        assert ids.codebooks[-1] == (f"{modality}_rank" if conflicts == "rank" else f"{modality}_c")


def test_ranks_follow_the_training_events(tmp_path, data, embeddings):
    tokenizer = open_tokenizer(tmp_path, data, embeddings, settings_of(tokenizer="rkmeans", conflicts="rank"))
    drain(tokenizer.events())
    counts = item_counts(data.split(), data.num_items)
    for modality, ids in tokenizer.resolved()[0].items():
        events = counts[embeddings[modality].present]
        shared = 0
        for key in np.unique(ids.codes[:, :-1], axis=0):
            group = np.flatnonzero((ids.codes[:, :-1] == key).all(1))
            assert (np.diff(events[group[np.argsort(ids.codes[group, -1])]]) <= 0).all()
            shared += len(group) > 1
        assert shared > 0


def test_rkmeans_is_residual_kmeans_of_the_standardized_vectors(tmp_path, data, embeddings):
    tokenizer = open_tokenizer(tmp_path, data, embeddings, settings_of(tokenizer="rkmeans", seed=3))
    drain(tokenizer.events())
    x = torch.from_numpy(embeddings["image"].standardized(np.flatnonzero(embeddings["image"].present)))
    assert (tokenizer.ids()["image"].codes == ResidualKMeans((8, 8, 8), seed=3).fit(x).encode(x).numpy()).all()


def test_options_of_a_tokenizer_change_what_it_learns(tmp_path, data, embeddings):
    specs = ["rkmeans", "rkmeans:metric=cosine,residual=project", "rkmeans:balanced=1", "opq", "opq:rotate=0"]
    opened = [open_tokenizer(tmp_path, data, embeddings, settings_of(tokenizer=spec)) for spec in specs]
    codes = []
    for tokenizer in opened:
        drain(tokenizer.events())
        codes.append(tokenizer.ids()["text"].codes)
    assert len({tokenizer.checkpoint.folder for tokenizer in opened}) == len(specs)
    assert len({table.tobytes() for table in codes}) == len(specs)


def test_the_independent_wish_leaves_out_the_terms_between_modalities_alone(tmp_path, data, embeddings):
    for name in LEARNED:
        settings = settings_of(tokenizer=name, lambda_con=0.5)
        alone = settings.independent()
        assert alone.tokenizer == ("rqvae" if name == "cross-modal" else name)
        same = open_tokenizer(tmp_path, data, embeddings, settings).checkpoint.folder == (
            open_tokenizer(tmp_path, data, embeddings, alone).checkpoint.folder
        )
        assert same == (name != "cross-modal")


@pytest.mark.parametrize("config", [
    RQVAEConfig(projection=None, hidden=(40,), width=12, sizes=(4, 4)),
    RQVAEConfig(projection=30, hidden=(40, 26), width=12, sizes=(4, 4)),
    RQVAEConfig(projection=None, hidden=(60,), width=25, sizes=(4, 4)),
])  # fmt: skip
def test_an_autoencoder_can_start_as_the_projection_to_principal_components(config):
    x = torch.randn(90, 20, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 0.1, 20)
    branch = RQVAE(20, config, 0)
    start_as_projection(branch, x)
    components = torch.linalg.svd(x, full_matrices=False).Vh[: config.width]
    latents = branch.encoder(x).detach()
    torch.testing.assert_close(latents[:, : len(components)].abs(), (x @ components.T).abs(), atol=1e-4, rtol=1e-4)
    assert not latents[:, len(components) :].any()
    torch.testing.assert_close(branch.decoder(latents).detach(), x @ components.T @ components, atol=1e-4, rtol=1e-4)
    branch.decoder(branch.encoder(x)).square().mean().backward()
    assert all(layer.weight.grad.any() for layer in branch.encoder if isinstance(layer, torch.nn.Linear))


def test_a_network_too_narrow_for_its_components_is_refused():
    branch = RQVAE(20, RQVAEConfig(projection=None, hidden=(20,), width=12, sizes=(4,)), 0)
    with pytest.raises(DataError, match="a layer of 20 to 20 units cannot carry 12 components"):
        start_as_projection(branch, torch.randn(50, 20))


def test_rkmeans_plus_begins_as_residual_kmeans_of_components(tmp_path, data, embeddings):
    tokenizer = open_tokenizer(tmp_path, data, embeddings, settings_of(tokenizer="rkmeans+"))
    x = torch.from_numpy(embeddings["text"].standardized())
    latents = tokenizer.task.latents()["text"]
    components = torch.linalg.svd(x, full_matrices=False).Vh[:16]
    torch.testing.assert_close(latents.abs(), (x @ components.T).abs(), atol=1e-4, rtol=1e-4)
    tokenizer.task.losses(0)
    expected = ResidualKMeans((8, 8, 8), seed=0).fit(latents)
    assert torch.equal(tokenizer.task.module.branch("text").quantizer.encode(latents), expected.encode(latents))


@pytest.mark.parametrize("spec", ["ema", "rotation", "sinkhorn", "gumbel:temperature=0.5", "halfway"])
def test_cross_modal_terms_work_with_any_quantizer(tmp_path, data, embeddings, spec):
    settings = settings_of(quantizer=spec, lambda_con=0.1, lambda_align=0.1)
    tokenizer = open_tokenizer(
        tmp_path, data, embeddings, replace(settings, recipe=replace(settings.recipe, epochs=20))
    )
    events = drain(tokenizer.events()).events
    assert {"contrastive/text", "contrastive/image", "alignment"} <= set(events[-1].losses)
    assert events[-1].losses["reconstruction/text"] < events[0].losses["reconstruction/text"]
    for network in (tokenizer.task.module.branch(name).encoder for name in ("text", "image")):
        assert all(weight.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize(
    ("parameters", "what"),
    [
        ({"tokenizer": "words"}, 'no tokenizer "words"; choose one of cross-modal'),
        ({"tokenizer": "opq:metric=l2"}, 'tokenizer opq has no option "metric"; its options are rotate'),
        ({"quantizer": "words"}, 'no quantizer "words"'),
        ({"conflicts": "words"}, 'no way "words" to resolve conflicts'),
        ({"backbone": "t5", "softmax": "words"}, 'no softmax "words"; choose one of children, level, vocabulary'),
        ({"backbone": "t5", "implicit": "words"}, 'no implicit "words"; choose one of paired, published'),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(parameters, what):
    with pytest.raises(DataError, match=what):
        settings_of(**parameters)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("ids", "no file of semantic IDs is given for text and image; give text_ids=FILE"),
        ("rkmeans:metric=l3", "known are metric"),
        ("opq:rotate=2", "rotate is 2; give 0 or 1"),
    ],
)
def test_a_tokenizer_that_cannot_learn_says_so(tmp_path, data, embeddings, spec, what):
    with pytest.raises(DataError, match=what):
        drain(open_tokenizer(tmp_path, data, embeddings, settings_of(tokenizer=spec)).events())
