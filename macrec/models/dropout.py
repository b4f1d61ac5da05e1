"""Dropout that costs little on a CPU: one random byte per unit, where PyTorch draws a float and compares it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout


class Dropout(nn.Module):
    """`nn.Dropout` in training and out of it; on a CPU the rate is rounded to a 256th, and drawing is 8 times cheaper.

    Drawing takes a third of a training step there otherwise. Draws come from the default generator, as PyTorch's do.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """`x` of any shape with some units set to zero and the others scaled up, in training; else `x` itself."""
        if not self.training or not self.rate:
            return x
        if x.device.type != "cpu":
            return dropout(x, self.rate)
        return cast(Tensor, _ByteDropout.apply(x, round(self.rate * 256)))  # type: ignore[no-untyped-call]


class _ByteDropout(torch.autograd.Function):
    """Keeps a unit when its byte is at least `threshold`; remembers a byte per unit for the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: int) -> Tensor:
        drawn = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = drawn.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
        ctx.save_for_backward(kept)
        ctx.scale = 256 / (256 - threshold)
        return (x * kept).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (gradients[0] * kept).mul_(ctx.scale), None
