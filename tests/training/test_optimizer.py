"""How a step is made: what is decayed, how fast it learns, and what is clipped, against AdamW by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from macrec.training import Plan, drain, train


class Net(nn.Module):
    """A table, a matrix, a norm and a bias."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(4, 3)
        self.norm = nn.LayerNorm(3)
        self.linear = nn.Linear(3, 3)
        self.codebooks = nn.ParameterList([nn.Parameter(torch.ones(2, 3))])
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) + 2)


class Task:
    """The gradient of every weight is what `gradient` says of the step."""

    def __init__(self, gradient):
        self.module, self.gradient = Net().double(), gradient

    def losses(self, step):
        loss = torch.stack([self.gradient(step) * parameter.sum() for parameter in self.module.parameters()]).sum()
        return loss, {}

    def batch_size(self, step):
        return 1

    def stepped(self, step):
        pass

    def measure(self):
        return {}, {}


PLAN = Plan(steps=6, learning_rate=0.1, weight_decay=0.5, tables=("words", "codebooks"), schedule="constant")


def adamw_by_hand(weight, plan, decay, gradient, factor=1.0):
    """Loshchilov and Hutter, algorithm 2, with the moments of Adam."""
    first = second = 0.0
    for step in range(plan.steps):
        first, second = 0.9 * first + 0.1 * gradient(step), 0.999 * second + 0.001 * gradient(step) ** 2
        rate = plan.rate(step) * factor
        adam = first / (1 - 0.9 ** (step + 1)) / (math.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8)
        weight = weight * (1 - rate * decay) - rate * adam
    return weight


def trained(plan, gradient):
    task = Task(gradient)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    drain(train(task, plan))
    return before, task.module.state_dict()


def uneven(step):
    return 1.0 + 0.3 * step


@pytest.mark.parametrize("decay", ["matrices", "all"])
@pytest.mark.parametrize("warmup", [0, 4])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_matrices_are_decayed_but_neither_vectors_nor_tables_unless_all_are(decay, warmup, schedule):
    factors = (("words", 7.0), ("linear", 0.5))
    plan = replace(PLAN, decay=decay, warmup=warmup, schedule=schedule, rate_factors=factors)
    before, after = trained(plan, uneven)
    assert set(before) == {
        "words.weight", "norm.weight", "norm.bias", "linear.weight", "linear.bias", "codebooks.0",
    }  # fmt: skip
    for name, value in before.items():
        own = 0.5 if decay == "all" or name == "linear.weight" else 0.0
        factor = {"words": 7.0, "linear": 0.5}.get(name.partition(".")[0], 1.0)
        torch.testing.assert_close(after[name], adamw_by_hand(value, plan, own, uneven, factor), rtol=1e-9, atol=1e-9)


def test_a_gradient_is_clipped_to_its_norm_and_a_smaller_one_left_alone():
    """A large gradient among small ones weighs no more than the clip lets it."""
    numbers = sum(parameter.numel() for parameter in Net().parameters())
    clip = 2 * math.sqrt(numbers)

    def steep(step):
        return 1000.0 if step == 2 else 1.0

    def clipped(step):
        return 2.0 if step == 2 else 1.0

    plan = replace(PLAN, clip=clip)
    before, after = trained(plan, steep)
    for name, value in before.items():
        own = 0.5 if name == "linear.weight" else 0.0
        torch.testing.assert_close(after[name], adamw_by_hand(value, plan, own, clipped), rtol=1e-6, atol=1e-6)
