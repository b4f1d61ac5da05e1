"""The generator's training: what is measured, when, and how long is waited for a better one."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.data import Histories, leave_one_out
from macrec.generation.batches import CodeTables, TaskSamples
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import PROFILES, Parameters

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
        T5Generator(len(catalog.vocabulary), T5Config.named("tiny")), catalog, split.train, chosen, measure_with
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
    assert task.loss_of(split.valid, chosen) == pytest.approx(np.mean(one_by_one), rel=1e-5)


def test_measurements_come_after_every_epoch_unless_their_number_is_told():
    task = training(leave_one_out(histories(), 5), measure_with=dict)
    assert task.plan().measure_every == task.per_epoch and task.plan().steps == 3 * task.per_epoch
    assert task.plan(measurements=1).measure_every == task.plan().steps


@pytest.mark.parametrize("profile", PROFILES)
def test_where_a_profile_has_patience_it_can_act(profile):
    settings = Parameters(profile, backbone="t5").generator()
    task = training(leave_one_out(histories(), 5), measure_with=dict)
    task.recipe = replace(settings.recipe, batch=16)
    plan = task.plan(measurements=settings.measurements)
    assert plan.keep and plan.watch
    assert plan.patience is None or plan.patience < plan.steps // plan.measure_every // 2
    assert (plan.patience is not None) == (profile == "paper")


def order_of(task, epoch):
    """The samples of an epoch in the order in which they are learned from: (task, item, tokens read)."""
    batches = [task.batch(step) for step in range(epoch * task.per_epoch, (epoch + 1) * task.per_epoch)]
    return [
        (int(number), int(item), tuple(source[mask].tolist()))
        for batch in batches
        for number, item, source, mask in zip(batch.task, batch.item, batch.source, batch.mask, strict=True)
    ]


def test_every_epoch_has_all_samples_in_an_order_of_its_own_that_the_seed_decides():
    split = leave_one_out(histories(), 5)
    one, other = training(split), training(split, seed=1)
    epochs = [order_of(one, epoch) for epoch in range(3)]
    assert len(epochs[0]) == len(one.samples) == sum(one.batch_size(step) for step in range(one.per_epoch))
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])
    # A wrong order of the same samples would agree in a few places; the same one agrees in all.
    for first, second in ((epochs[0], epochs[1]), (epochs[1], epochs[2]), (epochs[0], order_of(other, 0))):
        assert sum(a == b for a, b in zip(first, second, strict=True)) < len(first) / 2
    assert order_of(training(split), 1) == epochs[1]


def test_every_step_aligns_items_of_its_own(monkeypatch):
    task = training(leave_one_out(histories(), 5), implicit_items=4)
    seen = []
    plain = CodeTables.item_tokens
    monkeypatch.setattr(CodeTables, "item_tokens", lambda *given: seen.append(given[2].tolist()) or plain(*given))
    batch = task.batch(0)
    for step in (*range(6), 0):
        task.implicit_loss(batch, step)
    text, image = seen[::2], seen[1::2]
    assert text == image and text[0] == text[-1]
    assert all(len(set(items)) == 4 for items in text)
    assert len({tuple(sorted(items)) for items in text}) >= 5


def test_a_plan_has_what_its_recipe_says():
    recipe = {"epochs": 5, "learning_rate": 0.02, "weight_decay": 0.3, "warmup": 0.4, "clip": 0.7, "decay": "all"}
    task = training(leave_one_out(histories(), 5), dict, **recipe, table_factor=7.0, patience=4, seed=3, monitor="x")
    plan, steps = task.plan(), 5 * task.per_epoch
    assert (plan.steps, plan.warmup, plan.clip, plan.seed, plan.schedule) == (
        steps,
        round(0.4 * steps),
        0.7,
        3,
        "cosine",
    )
    assert (plan.learning_rate, plan.weight_decay, plan.decay, plan.patience) == (0.02, 0.3, "all", 4)
    assert [(keep.metric, keep.best) for keep in plan.keep] == [("x", "highest")]
    assert [(watch.metric, watch.best) for watch in plan.watch] == [("loss/validation", "lowest")]
    tables = {"embedding.weight", "encoder.position_bias.weight", "decoder.position_bias.weight"}
    plan = replace(plan, decay="matrices")
    for name, weight in task.module.named_parameters():
        assert plan.factor(name) == (7.0 if name in tables else 1.0)
        assert plan.decayed(name, weight) == (0.0 if name in tables or weight.ndim < 2 else 0.3)


def test_without_measurements_nothing_is_waited_for():
    plan = training(leave_one_out(histories(), 5)).plan()
    assert plan.keep == plan.watch == () and plan.patience is None


@pytest.mark.parametrize("task", range(len(TASKS)))
def test_the_loss_of_a_sample_is_the_mean_over_its_levels_of_what_the_right_code_costs_in_its_codebook(task):
    """Against a softmax over each codebook, level after level, from the logits of the whole pass."""
    learner = training(leave_one_out(histories(), 5))
    learner.module.eval()
    row = int(np.flatnonzero(learner.samples.task.numpy() == task)[0])
    batch = learner.samples.batch(np.array([row]))
    with torch.no_grad():
        logits = learner.module(batch.source, batch.mask, batch.target)[0]
        loss = learner.generation_loss(batch).item()
    ranges = learner.tables.vocabulary.ranges(learner.tables.ids[TASKS[task].target])
    costs = [
        -logits[level, columns].log_softmax(0)[int(batch.target[0, level]) - columns.start].item()
        for level, columns in enumerate(ranges)
    ]
    assert loss == pytest.approx(np.mean(costs), rel=1e-5)
