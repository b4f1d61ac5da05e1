"""The generator's training: what is measured, when, and how long is waited for a better one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.alignment.tasks import code_tasks
from macrec.data import Histories, leave_one_out
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.generation.transformer import T5, T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.generative import SIZES, GeneratorSettings

ITEMS = 12
TASKS = code_tasks(("text", "image"))


def histories():
    rng = np.random.default_rng(0)
    return Histories.from_lists([rng.integers(0, ITEMS, rng.integers(4, 9)).tolist() for _ in range(20)])


def tables(tasks=TASKS):
    codes = np.array([(item // 4, item % 4, item % 2) for item in range(ITEMS)])
    ids = {
        name: SemanticIds.from_codes(codes[:, order], tuple(f"{name}_{level}" for level in range(3)), sizes)
        for name, order, sizes in (("text", [0, 1, 2], (3, 4, 2)), ("image", [1, 0, 2], (4, 3, 2)))
    }
    return CodeTables(ids, tasks)


def training(split, measure_with=None, **recipe):
    chosen = GeneratorRecipe(**{"batch": 16, "epochs": 3, "implicit_items": 4} | recipe)
    catalog = tables()
    return GeneratorTraining(
        T5(len(catalog.vocabulary), T5Config.named("tiny")), catalog, split.train, chosen, measure_with
    )


@pytest.mark.parametrize("softmax", ["level", "children", "vocabulary"])
def test_the_validation_loss_is_the_mean_over_samples_of_the_tasks_asked_for(softmax):
    split = leave_one_out(histories(), 5)
    task = training(split, softmax=softmax)
    task.module.eval()
    held_out = TaskSamples(task.tables, split.valid)
    chosen = [0, 3]  # one within a modality, one across
    rows = [row for row in range(len(held_out)) if int(held_out.task[row]) in chosen]
    assert len(rows) == 2 * len(split.valid) < len(held_out)
    with torch.no_grad():
        one_by_one = [task.generation_loss(held_out.batch(np.array([row]))).item() for row in rows]
    assert task.loss_of(held_out, chosen) == pytest.approx(np.mean(one_by_one), rel=1e-5)


def test_measurements_come_after_every_epoch_unless_their_number_is_told():
    task = training(leave_one_out(histories(), 5), measure_with=dict)
    assert task.plan().measure_every == task.per_epoch and task.plan().steps == 3 * task.per_epoch
    assert task.plan(measurements=1).measure_every == task.plan().steps


@pytest.mark.parametrize("profile", SIZES)
def test_where_a_profile_has_patience_it_can_act(profile):
    settings = GeneratorSettings.of(profile)
    task = training(leave_one_out(histories(), 5), measure_with=dict)
    task.recipe = replace(settings.recipe, batch=16)
    plan = task.plan(measurements=settings.measurements)
    assert plan.keep and plan.watch
    assert plan.patience is None or plan.patience < plan.steps // plan.measure_every // 2
    assert (plan.patience is not None) == (profile == "paper")
