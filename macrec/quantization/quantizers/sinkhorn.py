"""Codes of the last level spread evenly over the batch while training, by Sinkhorn iterations.

Zheng et al., "Adapting Large Language Models by Integrating Collaborative Semantics" (LC-Rec, 2024), whose code and
that of MQL4GRec and MACRec use ε = 0.003 on the last level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrec.quantization.quantizer import ResidualGrad
from macrec.quantization.residual_quantizer import ResidualQuantizer


class SinkhornQuantizer(ResidualQuantizer):
    """`epsilon`: smaller values stay closer to the nearest codeword. `encode` takes the nearest one in every case."""

    def __init__(
        self, sizes: Sequence[int], dim: int, *, residual_grad: ResidualGrad = "encoder", seed: int = 0,
        epsilon: float = 0.003,
    ) -> None:  # fmt: skip
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, got {epsilon}")
        super().__init__(sizes, dim, residual_grad=residual_grad, seed=seed)
        self.epsilon = epsilon

    def _assign(self, residual: Tensor, level: int) -> Tensor:
        if not self.training or level + 1 < len(self.sizes):
            return super()._assign(residual, level)
        squared = residual.square().sum(1, keepdim=True) - 2 * self._scores(residual, level)
        return sinkhorn(squared, self.epsilon).argmax(1)


def sinkhorn(squared: Tensor, epsilon: float, iterations: int = 50) -> Tensor:
    """Soft assignment `[B, K]` float64 of squared distances `[B, K]`: columns sum to B/K, rows about to 1.

    Distances are first brought to [-1, 1]; then rows and columns of exp(-d/ε) are normalized in turn (Cuturi 2013;
    MACRec code). Smaller ε stay closer to the nearest codeword.
    """
    low, high = squared.min().double(), squared.max().double()
    middle = (low + high) / 2
    centered = (squared.double() - middle) / (high - middle + 1e-5)
    # Rows are normalized first, so each may begin with any factor: this one keeps exp within range for every ε.
    share = torch.exp((centered.amin(1, keepdim=True) - centered) / epsilon)
    rows, columns = share.shape
    for _ in range(iterations):
        share = share / share.sum(1, keepdim=True) / rows
        share = share / share.sum(0, keepdim=True).clamp(min=torch.finfo(share.dtype).tiny) / columns
    return share * rows


QUANTIZER = SinkhornQuantizer
