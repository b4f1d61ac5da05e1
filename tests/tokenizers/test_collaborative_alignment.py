"""LETTER's alignment: reconstructed latents of a modality are drawn to given collaborative vectors."""

import numpy as np
import pytest
import torch

from macrec.encoders.collaborative import COLLABORATIVE
from macrec.encoders.embeddings import Embeddings
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.contrastive import info_nce
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.loss_terms import LossTerm
from macrec.tokenizers.training import CodebookRecipe, CodebookTask
from macrec.training import drain, train

DIMS = {"text": 12, COLLABORATIVE: 5}
TERM = LossTerm("alignment", "text")


def model(weight, dims=DIMS):
    network = RQVAEConfig(sizes=(4, 4), projection=None, hidden=(16,), width=8)
    return CrossModalRQVAE(dims, CrossModalConfig(network, (0.0, 0.0), lambda_align=0.0, lambda_cf=weight))


def batch(rows=16):
    generator = torch.Generator().manual_seed(0)
    x = {name: torch.randn(rows, dim, generator=generator) for name, dim in DIMS.items()}
    labels = {name: torch.zeros(rows, dtype=torch.long) for name in DIMS}
    labels["text"][2] = labels[COLLABORATIVE][5] = -1
    return x, labels


def terms_of(made, x, labels):
    return made.losses(made(x, labels), labels, None, x[COLLABORATIVE])


def test_the_term_is_info_nce_over_the_items_with_both():
    made, (x, labels) = model(0.5), batch()
    outputs = made(x, labels)
    both = [row for row in range(16) if row not in (2, 5)]
    words = outputs["text"].quantized.words[[row - (row > 2) for row in both]]
    expected = info_nce(words @ made.guides["text"], x[COLLABORATIVE][both], made.config.temperature)
    torch.testing.assert_close(terms_of(made, x, labels)[TERM], expected)
    assert made.weights(0.5)[TERM] == 0.25 and set(made.guides) == {"text"}


def test_it_moves_encoder_and_codebooks_and_not_the_collaborative_branch():
    made, (x, labels) = model(1.0), batch()
    terms_of(made, x, labels)[TERM].backward()
    moved = {name for name, parameter in made.named_parameters() if parameter.grad is not None and parameter.grad.any()}
    assert any("text.encoder" in name for name in moved) and any("text.quantizer" in name for name in moved)
    assert "guides.text" in moved and not any(COLLABORATIVE in name for name in moved)


@pytest.mark.parametrize("made", [model(0.0), model(1.0, {"text": 12, "image": 5})])
def test_without_weight_or_collaborative_vectors_there_is_nothing_of_it(made):
    assert not made.guides and not any(term.kind == "alignment" and term.modality for term in made.weights())


def test_codes_come_to_say_more_of_what_people_do():
    rng = np.random.default_rng(0)
    behavior = rng.standard_normal((200, 5)).astype(np.float32)
    text = np.concatenate([3 * rng.standard_normal((200, 7)), behavior], 1).astype(np.float32)
    vectors = {
        name: Embeddings.from_values(name, "given", x) for name, x in (("text", text), (COLLABORATIVE, behavior))
    }
    labels = {name: np.zeros(200, np.int32) for name in DIMS}
    explained = {}
    for weight in (0.0, 1.0):
        recipe = CodebookRecipe(epochs=60, batch=100, learning_rate=3e-3)
        task = CodebookTask(model(weight), vectors, labels, recipe)
        drain(train(task, task.plan()))
        codes = task.module.branch("text").encode(vectors["text"])
        one_hot = np.concatenate([np.eye(4)[column] for column in np.asarray(codes).T], 1)
        found = one_hot @ np.linalg.lstsq(one_hot, behavior, rcond=None)[0]
        explained[weight] = 1 - np.square(behavior - found).sum() / np.square(behavior - behavior.mean(0)).sum()
    assert explained[1.0] > explained[0.0] + 0.05, explained
