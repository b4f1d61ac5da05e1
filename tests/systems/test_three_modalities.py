"""MACRec over three modalities: codebooks that learn from each other, every task between them, alignment and fusion."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
import torch

from macrec.data import load_dataset
from macrec.errors import DataError
from macrec.experiments import encode_modalities, modality_specs
from macrec.quantization.semantic_ids import load_semantic_ids
from macrec.systems import Context, Parameters, open_generator
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.contrastive import info_nce
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.loss_terms import LossTerm
from macrec.training import drain
from macrec.viz.live.curves import Curves, panels
from macrec.viz.theme import FURTHER, IMAGE, TEXT

NAMES = ("text", "image", "text/title")


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    data = load_dataset("curio:tiny")
    split = data.split()
    embeddings = encode_modalities(data, modality_specs("tfidf", "hog-color", "text/title=tfidf:title"))
    parameters = Parameters("smoke", backbone="t5", codewords=8, codebook_epochs=4)
    settings = parameters.settings(data.num_items)
    usual = settings.generator
    recipe = replace(usual.recipe, steps=12, batch=64)
    generator = replace(usual, recipe=recipe, validate_users=20, measurements=1)
    context = Context(tmp_path_factory.mktemp("three"), data, split, embeddings, replace(settings, generator=generator))
    macrec = open_generator(context, "MACRec")
    return data, split, macrec, drain(macrec.learn_ids(data, split)), drain(macrec.learn_generator(data, split))


def test_the_codebooks_have_a_branch_per_modality_and_terms_across_them(system):
    _, _, macrec, codebooks, _ = system
    losses = codebooks.events[-1].losses
    assert {name for name in losses if name.startswith("contrastive")} == {f"contrastive/{name}" for name in NAMES}
    assert codebooks.measured.keys() >= {f"utilization/{name}/0" for name in NAMES}
    assert tuple(macrec.decoder.tables.ids) == NAMES


def test_ids_of_a_modality_with_a_slash_are_saved_and_read(system, tmp_path):
    ids = system[2].decoder.tables.ids["text/title"]
    assert ids.codebooks[0] == "text_title_a"
    ids.save(tmp_path / "title.sids.json")
    np.testing.assert_array_equal(load_semantic_ids(tmp_path / "title.sids.json").codes, ids.codes)


def test_the_reconstructed_latents_are_aligned_for_every_pair():
    """The alignment of three modalities is the sum over the three pairs of what two give."""
    torch.manual_seed(0)
    config = CrossModalConfig(RQVAEConfig(sizes=(4, 4)), lambda_con=(0.0, 0.0))
    model = CrossModalRQVAE(dict.fromkeys(NAMES, 6), config)
    x = {name: torch.randn(16, 6) for name in NAMES}
    labels = {name: torch.zeros(16, dtype=torch.long) for name in NAMES}
    outputs = model(x)
    words = {name: output.quantized.words for name, output in outputs.items()}
    pairs = [info_nce(words[one], words[two], config.temperature) for one, two in combinations(NAMES, 2)]
    torch.testing.assert_close(model.losses(outputs, labels)[LossTerm("alignment")], torch.stack(pairs).sum())


def test_the_generator_learns_every_task_and_the_implicit_alignment(system):
    _, _, macrec, _, generator = system
    tasks = {task.name for task in macrec.tasks}
    across = {f"{one}→{other}, {kind}" for one, other in permutations(NAMES, 2) for kind in ("sequence", "item")}
    assert tasks == across | {f"{name}→{name}, sequence" for name in NAMES}
    losses = {name for event in generator.events for name in event.losses}
    assert losses >= tasks | {"implicit"}


def test_all_paths_are_fused(system):
    data, split, macrec, _, _ = system
    asked = split.test.take(np.arange(20))
    ranking = macrec.recommend(asked, 10)
    assert len(macrec.decoder.by_path(asked, 10)) == len(macrec.decoder.paths) == 3
    assert (ranking.items >= 0).all() and all(len(set(row)) == 10 for row in ranking.items.tolist())
    assert ranking.items.max() < data.num_items


def test_the_board_draws_each_modality_in_its_color(system):
    _, _, _, codebooks, generator = system
    loss = panels(Curves(codebooks.events), Curves(), 100)[0]
    colors = [line.color for line in loss.lines if "contrastive" in line.label]  # in the order of the modalities
    assert colors == [TEXT, IMAGE, FURTHER[0]]
    titles = [panel.title for panel in panels(Curves(codebooks.events), Curves(), 100)]
    assert "utilization of text/title codes, by level" in titles
    tasks = panels(Curves(generator.events), Curves(), 100)[0].lines
    assert {line.color for line in tasks if line.label.endswith("→text title, sequence")} == {FURTHER[0]}


def test_a_name_that_pytorch_uses_is_refused():
    with pytest.raises(DataError, match='cannot be called "type"'):
        CrossModalRQVAE({"type": 4}, CrossModalConfig(RQVAEConfig(sizes=(4, 4)), lambda_con=(0.0, 0.0)))
