"""Muon in float32: the update of a matrix is its momentum, made orthogonal by Newton-Schulz iterations.

`torch.optim.Muon` iterates in bfloat16, one matrix at a time, as suits a GPU. A CPU multiplies bfloat16 slowly, and the
matrices here are small: for the two blocks of the causal generator its step takes ten times as long as this one
(`benchmarks/causal.py`), a third of a training step. In float32 the result is also more exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

ITERATION = (3.4445, -4.775, 2.0315)
"""X becomes a X + (b X Xᵀ + c (X Xᵀ)²) X, which moves singular values from 0 to 1 close to 1 (Jordan et al., 2024)."""


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al., 2024) over matrices `[A, B]`, with what `torch.optim.Muon` does by default: Nesterov
    momentum, `weight_decay` apart from the gradient, and the rate times √max(1, A/B).

    `params` are as for any optimizer of PyTorch. State: "momentum_buffer", of the shape of the parameter. Raises
    ValueError for a parameter that is not a matrix.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        steps: int = 5,
    ) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps})
        for shape in (parameter.shape for group in self.param_groups for parameter in group["params"]):
            if len(shape) != 2:
                raise ValueError(f"Muon takes matrices, got a parameter of shape {tuple(shape)}")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Make one step. Matrices of one shape are iterated together."""
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_shape.setdefault(parameter.shape, []).append(parameter)
            for (rows, columns), alike in of_shape.items():
                updates = orthogonal(
                    torch.stack([self._momentum(one, group["momentum"]) for one in alike]), group["steps"]
                )
                rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
                for parameter, update in zip(alike, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """The mean of the gradients so far, looking one step ahead."""
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        kept: Tensor = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(kept, momentum)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """About U Vᵀ of the singular value decomposition U S Vᵀ of each of `matrices` `[n, A, B]`.

    Singular values come out between about 0.7 and 1.2, those that are tiny against the others smaller.
    """
    a, b, c = ITERATION
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
