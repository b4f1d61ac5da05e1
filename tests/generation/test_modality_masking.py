"""Modality masking (T8 of the specification of MSCGRec): how often, never all, and what is masked changes nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.data import Histories, leave_one_out
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.causal import CausalGenerator, CausalGeneratorConfig
from macrec.generation.causal_training import CausalRecipe, CausalTraining
from macrec.generation.modality_masking import kept_modalities
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import CodeTask
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.models.causal import CausalConfig
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS
from macrec.training import generator_for

ITEMS, NAMES = 20, ("text", "image", "collaborative")
TASK = CodeTask("+".join(NAMES), "collaborative", "sequence")


def tables(seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: SemanticIds.from_codes(rng.integers(0, 4, (ITEMS, levels)), tuple(f"{name}_{n}" for n in "abc"[:levels]),
                                     (4,) * levels)
        for name, levels in zip(NAMES, (3, 2, 3), strict=True)
    }  # fmt: skip


def histories(users=16):
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, ITEMS, length).tolist() for length in rng.integers(4, 9, users)]
    return leave_one_out(Histories.from_lists(lists)).train


def test_the_rate_is_that_of_draws_which_keep_one_and_none_is_ever_left():
    reads = torch.ones(10_000, 3, dtype=torch.bool)
    kept = kept_modalities(reads, 0.25, generator_for(0))
    assert kept.any(1).all()
    np.testing.assert_allclose(1 - kept.double().mean(0), 0.238095, atol=0.015)  # (p - p³) / (1 - p³)
    assert float(kept.sum(1).double().mean()) == pytest.approx(2.285714, abs=0.03)
    assert torch.equal(kept, kept_modalities(reads, 0.25, generator_for(0)))
    two = kept_modalities(torch.tensor([[True, True, False]]).expand(10_000, 3), 0.25, generator_for(1))
    assert not two[:, 2].any() and float(two[:, 0].double().mean()) == pytest.approx(0.8, abs=0.015)
    assert kept_modalities(torch.eye(3, dtype=torch.bool), 0.9, generator_for(2)).equal(torch.eye(3, dtype=torch.bool))


def test_a_rate_of_one_and_a_history_that_is_not_read_are_refused():
    with pytest.raises(ValueError, match="from 0 to below 1, got 1"):
        kept_modalities(torch.ones(1, 2, dtype=torch.bool), 1.0, generator_for(0))
    with pytest.raises(ValueError, match="read in one modality"):
        kept_modalities(torch.zeros(1, 2, dtype=torch.bool), 0.5, generator_for(0))


def causal(ids, rate=0.6, content=None, batch=1):
    config = CausalGeneratorConfig(CausalConfig(width=16, layers=1, feed_forward=16, dropout=0.0), head_units=8)
    torch.manual_seed(0)
    content = content or {"text": torch.randn(ITEMS, 4)}
    recipe = CausalRecipe(batch=batch, lambda_implicit=0.0, mask_modality=rate)
    return CausalTraining(CausalGenerator(ids, content, config), CodeTables(ids, [TASK]), histories(), recipe)


def t5(ids, rate=0.6):
    asked = CodeTables(ids, [TASK])
    recipe = GeneratorRecipe(batch=4, lambda_implicit=0.0, mask_modality=rate, softmax="children")
    config = replace(T5Config.named("tiny"), dropout_rate=0.0)
    return GeneratorTraining(T5Generator(len(asked.vocabulary), config), asked, histories(), recipe)


def step_without(task, name, read):
    """A step in which `name` is masked, and the loss there."""
    step = next(step for step in range(200) if name not in read(task, step))
    return step, task.losses(step)[0]


def read_by_causal(task, step):
    reads = task.read_in(step, torch.zeros(1, dtype=torch.long))[0]
    return [name for name, read in zip(NAMES, reads.tolist(), strict=True) if read]


@pytest.mark.parametrize("make, read", [(causal, read_by_causal), (t5, lambda task, step: task.kept(step))])
@pytest.mark.parametrize("name", ["text", "image"])
def test_other_codes_in_a_masked_modality_change_nothing_to_the_bit(make, read, name):
    ids, others = tables(), tables(7)
    step, loss = step_without(make(ids), name, read)
    assert torch.equal(make(ids | {name: others[name]}).losses(step)[0], loss)
    unmasked = make(ids, 0.0).losses(step)[0]
    assert not torch.equal(make(ids | {name: others[name]}, 0.0).losses(step)[0], unmasked)


def test_other_contents_of_a_masked_modality_change_nothing_to_the_bit():
    step, loss = step_without(causal(tables()), "text", read_by_causal)
    assert torch.equal(causal(tables(), content={"text": torch.full((ITEMS, 4), 3.0)}).losses(step)[0], loss)


def test_windows_are_masked_one_by_one_and_batches_of_tokens_become_shorter():
    task = causal(tables(), 0.5, batch=16)
    kept = task.read_in(3, torch.zeros(16, dtype=torch.long))
    assert len(kept.unique(dim=0)) > 1 and torch.equal(kept, task.read_in(3, torch.zeros(16, dtype=torch.long)))
    assert not torch.equal(kept, task.read_in(4, torch.zeros(16, dtype=torch.long)))
    asked = t5(tables())
    step = next(step for step in range(50) if asked.kept(step) == ("text", "collaborative"))
    batch, whole = asked.batch(step), asked.samples.batch(asked._rows(step))
    of_image = asked.tables.vocabulary.level_mask(asked.tables.ids["image"]).any(0)
    for row, full in zip(batch.source, whole.source, strict=True):
        full = full[: full.tolist().index(EOS)]
        assert row[: row.tolist().index(EOS)].tolist() == [token for token in full.tolist() if not of_image[token]]
    assert torch.equal(batch.target, whole.target) and batch.target.shape[1] == 3


def test_nothing_is_drawn_where_nothing_is_masked_or_measured():
    masked, plain = causal(tables(), 0.6), causal(tables(), 0.0)
    asked = histories()
    assert masked.loss_of(asked, [0]) == plain.loss_of(asked, [0])
    assert t5(tables(), 0.6).loss_of(asked, [0]) == t5(tables(), 0.0).loss_of(asked, [0])
    samples = TaskSamples(CodeTables(tables(), [TASK]), asked)
    assert torch.equal(samples.batch(np.arange(4)).source, t5(tables(), 0.0).samples.batch(np.arange(4)).source)
