"""States are those the alignment loss sees, and snapshots are of the weights of their moment, whatever is replayed."""

import numpy as np
import pytest
import torch

from macrec.checkpoint import Checkpoint
from macrec.data.histories import Histories
from macrec.data.split import leave_one_out
from macrec.errors import DataError
from macrec.evaluation.alignment import alignment_measures
from macrec.generation.batches import CodeTables
from macrec.generation.implicit import pooled
from macrec.generation.states import StateSnapshots, item_states
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import Plan, drain, train

ITEMS = 40


def training(across=True, **recipe):
    """A tiny generator over random IDs of three and two levels; some items share an ID."""
    rng = np.random.default_rng(5)
    ids = {
        name: SemanticIds.from_codes(
            rng.integers(0, 4, (ITEMS, depth)), tuple(f"{name}_{letter}" for letter in "abc"[:depth]), (4,) * depth
        )
        for name, depth in (("text", 3), ("image", 2))
    }
    tables = CodeTables(ids, code_tasks(("text", "image"), across, across))
    split = leave_one_out(Histories.from_lists(rng.integers(0, ITEMS, (12, 6)).tolist()), 5)
    model = T5Generator(len(tables.vocabulary), T5Config.named("tiny"))
    settings = {"epochs": 4, "batch": 32, "implicit_items": 16, "lambda_implicit": 0.5} | recipe
    return GeneratorTraining(model, tables, split.train, GeneratorRecipe(**settings))


def snapshots_of(task, folder, at=(0.0, 0.25, 0.5)):
    return StateSnapshots(folder, lambda: item_states(task.module, task.tables), at)


def test_states_are_those_of_the_implicit_loss():
    task = training()
    found = item_states(task.module, task.tables)
    task.module.eval()
    for number, name in enumerate(("text", "image")):
        with torch.no_grad():
            expected = pooled(task.module.encode, *task.tables.item_tokens(number, torch.arange(ITEMS)))
        np.testing.assert_allclose(found[name], expected.numpy(), atol=1e-5)
        assert found[name].dtype == np.float32 and found[name].shape == (ITEMS, 32)


def test_states_do_not_depend_on_the_batch_and_one_id_has_one_state():
    task = training()
    whole = item_states(task.module, task.tables)
    for batch in (1, 7):
        for name, found in item_states(task.module, task.tables, batch).items():
            np.testing.assert_allclose(found, whole[name], atol=1e-5)
            _, first, which = np.unique(task.tables.ids[name].codes, axis=0, return_index=True, return_inverse=True)
            np.testing.assert_array_equal(found, found[first[which.ravel()]])
    assert len(np.unique(whole["image"], axis=0)) < ITEMS
    with pytest.raises(ValueError, match="batch"):
        item_states(task.module, task.tables, 0)


def test_the_model_is_left_as_it_was():
    task = training()
    task.module.train()
    task.module.encoder.eval()
    modes = [module.training for module in task.module.modules()]
    random = torch.random.get_rng_state()
    item_states(task.module, task.tables)
    assert [module.training for module in task.module.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in task.module.parameters())


def test_snapshots_hold_the_states_of_their_moments_and_change_nothing(tmp_path):
    task = training()
    plan = task.plan()
    snapshots = snapshots_of(task, tmp_path)
    watched = drain(train(snapshots.during(task, plan.steps), plan))
    snapshots.after()
    found = snapshots.load()
    assert list(found) == ["before", "at 25%", "at 50%", "after"]
    plain = training()
    alone = drain(train(plain, plan))
    assert [event.losses for event in watched.events] == [event.losses for event in alone.events]
    fresh = training()
    expected = {"before": item_states(fresh.module, fresh.tables), "after": item_states(plain.module, plain.tables)}
    # The moment in between, by a training that is stopped there.
    events = train(fresh, Plan(**(vars(plan) | {"report_every": 1})))
    for event in events:
        if event.step == plan.steps // 2:
            expected["at 50%"] = item_states(fresh.module, fresh.tables)
            break
    events.close()
    for moment, states in expected.items():
        assert list(found[moment]) == ["text", "image"]
        for name in states:
            np.testing.assert_array_equal(found[moment][name], states[name].astype(np.float16).astype(np.float32))
    assert (found["before"]["text"] != found["at 25%"]["text"]).any()


def test_a_replay_and_a_resumption_write_no_moment_that_has_passed(tmp_path):
    task = training()
    plan = Plan(**(vars(task.plan()) | {"report_every": 1}))
    checkpoint = Checkpoint(tmp_path / "checkpoint", {})
    snapshots = snapshots_of(task, tmp_path / "checkpoint" / "states")
    events = train(snapshots.during(task, plan.steps), plan, checkpoint, checkpoint_seconds=0)
    for event in events:
        if event.step == plan.steps * 3 // 8:  # past the second moment, before the third
            break
    events.close()
    assert list(snapshots.load()) == ["before", "at 25%"]
    kept = snapshots.load()
    for file in snapshots.folder.glob("*0.2500*"):
        file.unlink()

    again = training()
    resumed = snapshots_of(again, snapshots.folder)
    done = drain(train(resumed.during(again, plan.steps), plan, checkpoint))
    assert len(done.events) == plan.steps
    found = resumed.load()
    assert list(found) == ["before", "at 50%"]  # what was lost stays lost: those weights are gone
    np.testing.assert_array_equal(found["before"]["text"], kept["before"]["text"])

    replayed = training()
    taken = []
    only = StateSnapshots(snapshots.folder, lambda: taken.append(1) or {}, (0.0, 0.25, 0.5))
    assert len(drain(train(only.during(replayed, plan.steps), plan, checkpoint)).events) == plan.steps
    assert not taken
    np.testing.assert_array_equal(
        item_states(replayed.module, replayed.tables)["text"], item_states(again.module, again.tables)["text"]
    )


def test_the_alignment_loss_brings_the_states_of_an_item_together():
    task = training(across=False, epochs=40, learning_rate=3e-3)
    before = alignment_measures(*item_states(task.module, task.tables).values())
    drain(train(task, task.plan()))
    after = alignment_measures(*item_states(task.module, task.tables).values())
    assert after["info_nce"] < before["info_nce"] - 0.5
    assert after["distance/other"] - after["distance/same"] > 0.2 > before["distance/other"] - before["distance/same"]
    assert after["recall@10/text→image"] > before["recall@10/text→image"]


def test_moments_come_in_order_of_time_and_damaged_ones_are_named(tmp_path):
    values = {"text": np.ones((2, 3)), "image": np.zeros((2, 3))}
    snapshots = StateSnapshots(tmp_path, lambda: values)
    assert snapshots.load() == {}
    snapshots.after()
    for share in (0.3, 0.0, 0.125):
        snapshots.keep(share)
    assert list(snapshots.load()) == ["before", "at 12.5%", "at 30%", "after"]
    values["text"] = 5 * np.ones((2, 3))
    snapshots.keep(0.3)
    snapshots.after()
    found = snapshots.load()
    assert found["at 30%"]["text"][0, 0] == 1 and found["after"]["text"][0, 0] == 5
    (tmp_path / "states-0.3000.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match=r"states-0\.3000.*cannot be read"):
        snapshots.load()
    with pytest.raises(ValueError, match="below 1"):
        StateSnapshots(tmp_path, dict, (0.0, 1.0))
