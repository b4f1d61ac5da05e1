"""Checkpoints that no training can have written are refused: they would never end, or go on from something else."""

import json
import math

import pytest
import torch
from torch import nn

from macrec.checkpoint import Checkpoint, checksum
from macrec.errors import DataError
from macrec.training import Keep, Plan, drain, train

PLAN = Plan(steps=6, report_every=2, measure_every=3, keep=(Keep("size"),), patience=5)


class Task:
    """Two numbers that shrink."""

    def __init__(self):
        self.module = nn.Linear(1, 1)
        nn.init.constant_(self.module.weight, 1.0)
        nn.init.constant_(self.module.bias, 1.0)
        self.steps = []

    def losses(self, step):
        self.steps.append(step)
        return self.module(torch.ones(1, 1)).square().sum(), {}

    def batch_size(self, step):
        return 3

    def stepped(self, step):
        pass

    def measure(self):
        return {"size": self.module.weight.abs().item()}, {}


@pytest.fixture
def interrupted(tmp_path):
    """The checkpoint of a training after 4 of its 6 steps."""
    checkpoint = Checkpoint(tmp_path, {})
    running = train(Task(), PLAN, checkpoint)
    while next(running).step < 4:
        pass
    running.close()
    return checkpoint


def change(checkpoint, changed):
    """Change what is told, and the checksum with it, as somebody does who knows of it."""
    about = json.loads(checkpoint.file.read_text())
    changed(about["state"])
    tensors = checkpoint.folder / about["tensors"]
    checkpoint.file.write_text(json.dumps(about | {"checksum": checksum(tensors, about)}))


def setting(**values):
    return lambda state: state.update(values)


WRONG = {
    "a step beyond the last": setting(step=500),
    "the last step, unfinished": setting(step=6),
    "a step before the first": setting(step=-1),
    "half a step": setting(step=4.0),
    "a step in words": setting(step="four"),
    "no step": lambda state: state.pop("step"),
    "true as a step": setting(step=True),
    "finished as a number": setting(finished=1),
    "no samples": setting(samples=None),
    "patience below zero": setting(waited=-3),
    "endless time": setting(seconds=math.inf),
    "no number of seconds": setting(cpu_seconds=math.nan),
    "a mean over no steps": lambda state: state["counts"].update(loss=0),
    "a term that is not there": lambda state: state["counts"].update(other=1),
    "events of later": lambda state: state["events"][-1].update(step=5),
    "events twice": lambda state: state["events"].append(state["events"][-1]),
    "events that are none": setting(events=[[2, 0.1, {}, {}]]),
    "no list of events": setting(events=None),
    "usage that is not there": setting(usage=["text"]),
    "an endless best value": setting(best={"size": math.inf}),
    "a best value of something else": setting(best={"other": 1.0}),
    "counts that are none": setting(counts=[]),
    "a term in words": setting(counts={"loss": "1"}),
    "usage of no event": setting(usage_of=99),
    "usage twice": setting(usage=["text", "text"]),
    "a loss in words": lambda state: state["events"][-1]["losses"].update(loss="small"),
    "an event without time": lambda state: state["events"][-1].pop("seconds"),
    "something more": setting(more=1),
    "nothing": lambda state: state.clear(),
}


@pytest.mark.parametrize("changed", WRONG.values(), ids=WRONG)
def test_a_state_that_no_training_can_be_in_is_refused_in_one_sentence(interrupted, changed):
    change(interrupted, changed)
    task = Task()
    with pytest.raises(DataError, match=r"^[^\n]*cannot be gone on from[^\n]*start anew") as caught:
        drain(train(task, PLAN, interrupted))
    assert str(interrupted.folder) in str(caught.value) and task.steps == []


def test_weights_of_another_network_are_refused(interrupted):
    class Wider(Task):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(2, 1)

    with pytest.raises(DataError, match="cannot be gone on from"):
        drain(train(Wider(), PLAN, interrupted))


def test_a_training_of_fewer_steps_than_were_made_is_refused(interrupted):
    with pytest.raises(DataError, match="at step 4 of 3"):
        drain(train(Task(), Plan(steps=3), interrupted))


def test_what_was_not_touched_goes_on(interrupted):
    task = Task()
    assert drain(train(task, PLAN, interrupted)).events[-1].step == 6 and task.steps == [4, 5]
