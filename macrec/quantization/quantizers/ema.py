"""Codewords that follow the moving average of their vectors, in place of the gradient of the codebook loss.

Van den Oord et al., "Neural Discrete Representation Learning" (2017), appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from macrec.quantization.quantizer import Quantized, ResidualGrad
from macrec.quantization.residual_quantizer import ResidualQuantizer


class EMAQuantizer(ResidualQuantizer):
    """`decay`: how much of the old mean a step keeps; counts are smoothed by 1e-5, so that none divides by zero."""

    def __init__(
        self, sizes: Sequence[int], dim: int, *, residual_grad: ResidualGrad = "encoder", seed: int = 0,
        decay: float = 0.99,
    ) -> None:  # fmt: skip
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and below 1, got {decay}")
        super().__init__(sizes, dim, residual_grad=residual_grad, seed=seed)
        self.decay = decay
        for level, codebook in enumerate(self.codebooks):
            codebook.requires_grad_(False)
            self.register_buffer(f"mean_count_{level}", torch.ones(len(codebook)))
            self.register_buffer(f"mean_sum_{level}", codebook.detach().clone())

    def loss(self, quantized: Quantized, commitment_weight: float) -> Tensor:
        """The commitment alone: the moving average moves the codewords."""
        return (commitment_weight * quantized.commitment_loss).mean()

    @torch.no_grad()
    def observe(self, quantized: Quantized) -> None:
        """Count the codes, and move the codewords to the moving mean of their residuals."""
        super().observe(quantized)
        for level, (codebook, code) in enumerate(zip(self.codebooks, quantized.codes.unbind(1), strict=True)):
            count, total = self._means(level)
            sums = torch.zeros_like(codebook).index_add_(0, code, quantized.residuals[level].detach())
            count.lerp_(torch.bincount(code, minlength=len(codebook)).float(), 1 - self.decay)
            total.lerp_(sums, 1 - self.decay)
            every = count.sum()
            smooth = (count + 1e-5) / (every + 1e-5 * len(codebook)) * every
            codebook.copy_(total / smooth[:, None])

    def _set(self, level: int, rows: Tensor, words: Tensor) -> None:
        super()._set(level, rows, words)
        count, total = self._means(level)
        count[rows], total[rows] = 1.0, words

    def _means(self, level: int) -> tuple[Tensor, Tensor]:
        """Moving means of how many residuals each codeword has `[K]`, and of their sum `[K, d]`."""
        return tuple(cast(Tensor, getattr(self, f"mean_{what}_{level}")) for what in ("count", "sum"))  # type: ignore[return-value]


QUANTIZER = EMAQuantizer
