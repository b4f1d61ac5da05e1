"""A long training holds no more after its last step than after its first report, but for the events it has told."""

import gc

import pytest
import torch
from torch import nn

from macrec.training import Keep, Plan, train


class Task:
    """A matrix that learns to be small, and is measured often."""

    def __init__(self):
        self.module = nn.Linear(4, 4)

    def losses(self, step):
        loss = self.module(torch.ones(2, 4)).square().sum()
        return loss, {"size": loss}

    def batch_size(self, step):
        return 2

    def stepped(self, step):
        pass

    def measure(self):
        return {"size": self.module.weight.square().sum().item()}, {}


def tensors():
    gc.collect()
    return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())


@pytest.mark.slow
def test_steps_leave_no_tensors_behind():
    plan = Plan(steps=400, report_every=200, measure_every=20, keep=(Keep("size"),), patience=100)
    held = [tensors() for event in train(Task(), plan) if event.step % 200 == 0]
    assert len(held) == 2 and len(set(held)) == 1
