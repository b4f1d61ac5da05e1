"""The pieces of DINO: what the teacher says, the loss over pairs of views, and what moves slowly behind."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def teacher_probabilities(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """What the teacher says, `[..., K]`: a softmax of its `logits` less their `center` `[K]`, without a gradient."""
    return ((logits.detach() - center) / temperature).softmax(-1)


def distillation_loss(student: Tensor, probabilities: Tensor, temperature: float) -> Tensor:
    """The mean cross-entropy over the pairs of a teacher's view and another view of the student.

    `student` `[V, B, K]`: logits of V views; `probabilities` `[U, B, K]`: what the teacher says of the first U of them.
    """
    log = (student / temperature).log_softmax(-1)
    entropies = -torch.einsum("ubk,vbk->uv", probabilities, log) / log.shape[1]
    return entropies[pairs(*entropies.shape)].mean()


def pairs(teachers: int, views: int) -> Tensor:
    """Which pairs `[teachers, views]` are learned from: all but those of a view with itself.

    >>> int(pairs(2, 10).sum())
    18
    """
    return ~torch.eye(teachers, views, dtype=torch.bool)


def moved_center(center: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """The center `[K]` after a batch of teacher logits `[..., K]`."""
    return momentum * center + (1 - momentum) * logits.detach().flatten(0, -2).mean(0)


def momentum_at(step: int, steps: int, start: float) -> float:
    """The momentum of the teacher at `step` of `steps`: from `start` to 1 along a cosine.

    >>> [round(momentum_at(step, 4, 0.996), 6) for step in (0, 1, 2, 4)]
    [0.996, 0.996586, 0.998, 1.0]
    """
    return 1 - (1 - start) * (math.cos(math.pi * step / steps) + 1) / 2


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Move the weights of the teacher towards those of the student: `momentum` of the old, the rest of the new."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.lerp_(new, 1 - momentum)


def entropy_of_mean(probabilities: Tensor) -> float:
    """The entropy in nats of the mean of distributions `[n, K]`: 0 where all are one and the same certainty."""
    mean = probabilities.double().mean(0)
    return float(-(mean * mean.clamp(min=1e-300).log()).sum())
