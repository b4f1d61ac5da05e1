"""Trainings with one checkpoint: two at once, one left without an end, and what is damaged or foreign."""

import copy
import math
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from macrec.checkpoint import Checkpoint
from macrec.errors import DataError
from macrec.lock import Lock
from macrec.training import Keep, Plan, drain, train

PLAN = Plan(steps=9, report_every=2, measure_every=3, learning_rate=0.05, keep=(Keep("score"),))


class Task:
    """Two numbers that are pulled to 1, with a buffer."""

    def __init__(self):
        self.module = nn.Linear(2, 1)
        self.module.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        for parameter in self.module.parameters():
            nn.init.constant_(parameter, 0.5)
        self.steps = 0

    def losses(self, step):
        self.steps += 1
        loss = (self.module(torch.ones(3, 2)) - 1).square().mean()
        return loss, {"fit": loss}

    def batch_size(self, step):
        return 3

    def stepped(self, step):
        self.module.seen += 1

    def measure(self):
        return {"score": float(self.module.weight.sum().detach())}, {"line": (np.array([3, 1]), np.array([4]))}


def told(events):
    return [(event.step, event.losses, event.measured) for event in events]


def stopped(folder, events=3):
    """A checkpoint after so many events, and what it says."""
    checkpoint = Checkpoint(folder / "kept", {})
    running = train(Task(), PLAN, checkpoint, checkpoint_seconds=0)
    for _ in range(events + 1):
        next(running)
    running.close()
    return checkpoint, *checkpoint.load()


def test_a_second_training_waits_for_the_first_and_then_has_nothing_to_do(tmp_path, monkeypatch):
    checkpoint, waiting = Checkpoint(tmp_path / "kept", {}), threading.Event()
    said = []
    monkeypatch.setattr(warnings, "warn", lambda words, **_: (said.append(words), waiting.set()))
    first, second = train(Task(), PLAN, checkpoint), Task()
    seen = [next(first)]
    with ThreadPoolExecutor(1) as elsewhere:
        other = elsewhere.submit(drain, train(second, PLAN, checkpoint))
        waiting.wait()
        seen += first
        assert told(other.result().events) == told(seen) and second.steps == 0
    assert len(said) == 1 and "waiting for a training in " in said[0] and "(process " in said[0]


def test_a_training_begun_again_takes_over_from_the_one_left_without_an_end(tmp_path):
    expected = drain(train(Task(), PLAN)).events
    checkpoint = Checkpoint(tmp_path / "kept", {})
    left = [train(Task(), PLAN, checkpoint, checkpoint_seconds=math.inf) for _ in range(2)]
    for running in left:
        next(running)  # as a cell does that stops in the middle, and is run again
    assert told(train(Task(), PLAN, checkpoint)) == told(expected)
    left[0].close()
    with pytest.raises(RuntimeError, match="begun again"):
        list(left[1])
    assert checkpoint.finished() and told(train(Task(), PLAN, checkpoint)) == told(expected)


def test_a_finished_training_is_read_where_nobody_can_write(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "kept", {})
    events = drain(train(Task(), PLAN, checkpoint)).events
    monkeypatch.setattr(Lock, "acquire", lambda *_, **__: pytest.fail("locked"))
    assert told(train(Task(), PLAN, checkpoint)) == told(events)


def test_a_failing_sink_leaves_the_training_kept_and_the_checkpoint_free(tmp_path):
    checkpoint = Checkpoint(tmp_path / "kept", {})

    def sink(event):
        if event.step == 4:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as held:
        drain(train(Task(), PLAN, checkpoint, checkpoint_seconds=math.inf), sink)
    assert Lock(tmp_path / ".kept.lock", "").acquire(blocking=False) and held
    assert checkpoint.load()[1]["step"] == 4


def test_clocks_that_jump_change_nothing(tmp_path, monkeypatch):
    import os
    import time

    expected = told(drain(train(Task(), PLAN)).events)
    for now in (0.0, -1e9, 4e12):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        checkpoint, *_ = stopped(tmp_path / str(now))
        for file in checkpoint.folder.iterdir():
            os.utime(file, (max(0, min(now, 4e9)),) * 2)
        assert told(train(Task(), PLAN, checkpoint)) == expected


TENSORS = [
    lambda kept: kept.pop("module.weight"),
    lambda kept: kept.update({"module.more": torch.ones(1)}),
    lambda kept: kept.update({"other": torch.ones(1)}),
    lambda kept: kept.update({"module.weight": torch.ones(2, 1)}),
    lambda kept: kept.update({"module.weight": kept["module.weight"].double()}),
    lambda kept: kept.update({"module.weight": torch.full((1, 2), torch.nan)}),
    lambda kept: kept.update({"module.seen": torch.tensor(1.0)}),
    lambda kept: kept.update({"best.weight": torch.ones(5)}),
    lambda kept: kept.update({"best.other": torch.ones(1)}),
    lambda kept: kept.update({"sum.loss": torch.tensor(1.0, dtype=torch.float64)}),
    lambda kept: kept.update({"sum.loss": torch.ones(2, dtype=torch.float64)}),
    lambda kept: kept.pop("optimizer.weight.exp_avg"),
    lambda kept: kept.update({"optimizer.other.exp_avg": torch.ones(1, 2)}),
    lambda kept: kept.update({"optimizer.weight.weight.exp_avg": torch.ones(1, 2)}),
    lambda kept: kept.update({"optimizer.weight.exp_avg": torch.ones(2)}),
    lambda kept: kept.update({"optimizer.weight.exp_avg_sq": torch.full((1, 2), -1.0)}),
    lambda kept: kept.update({"optimizer.weight.exp_avg_sq": torch.full((1, 2), torch.inf)}),
    lambda kept: kept.update({"optimizer.weight.step": torch.ones(1)}),
    lambda kept: kept.pop("usage.line.0"),
    lambda kept: kept.update({"usage.line.1": torch.tensor([-1])}),
    lambda kept: kept.update({"usage.line.1": torch.tensor([1.0])}),
    lambda kept: kept.update({"usage.other.0": torch.tensor([1])}),
]


@pytest.mark.slow
@pytest.mark.parametrize("change", TENSORS)
def test_tensors_that_are_not_those_of_the_training_are_refused(tmp_path, change):
    checkpoint, tensors, state = stopped(tmp_path)
    changed = copy.deepcopy(tensors)
    change(changed)
    checkpoint.save(state["step"], changed, state)
    task = Task()
    with pytest.raises(DataError, match=r"the checkpoint cannot be gone on from \(.*remove the folder"):
        next(train(task, PLAN, checkpoint))
    assert task.module.weight.tolist() == [[0.5, 0.5]]  # nothing was taken from it
