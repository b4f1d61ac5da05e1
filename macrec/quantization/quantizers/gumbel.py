"""Gumbel-softmax: while training, codes are drawn at random, near codewords more often, and gradients pass a softmax.

Jang et al., "Categorical Reparameterization with Gumbel-Softmax" (2017, arXiv 1611.01144), in its straight-through
form, with distances to codewords as logits as in SQ-VAE (Takida et al. 2022, arXiv 2205.07547), on residuals.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from macrec.quantization.quantizer import ResidualGrad
from macrec.quantization.residual_quantizer import Choice, ResidualQuantizer


class GumbelQuantizer(ResidualQuantizer):
    """The code of a residual r is the argmax of ℓ + g, with ℓ_k = -‖r - e_k‖² / (τ s) and standard Gumbel noise g.

    s is the mean squared distance of the batch to its nearest codewords, so that the temperature τ has no unit. Values
    are those of the codeword drawn; gradients are those of softmax(ℓ + g) · E, and so reach the latent and all near
    codewords. As τ → 0 the nearest codeword is chosen for certain. `encode` always takes the nearest.
    """

    def __init__(
        self, sizes: Sequence[int], dim: int, *, residual_grad: ResidualGrad = "encoder", seed: int = 0,
        temperature: float = 0.1,
    ) -> None:  # fmt: skip
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}")
        super().__init__(sizes, dim, residual_grad=residual_grad, seed=seed)
        self.temperature = temperature

    def _choose(self, residual: Tensor, level: int) -> Choice:
        if not self.training:
            return super()._choose(residual, level)
        codebook = self.codebooks[level]
        squared = torch.addmm(codebook.square().sum(1), residual, codebook.T, alpha=-2)
        squared = (squared + residual.square().sum(1, keepdim=True)).clamp(min=0)
        scale = squared.detach().amin(1).mean().clamp(min=torch.finfo(squared.dtype).tiny)
        noise = -torch.empty_like(squared).exponential_().log()
        logits = -squared / (self.temperature * scale) + noise
        code = logits.argmax(1)
        word = codebook[code]
        relaxed = logits.softmax(1) @ codebook
        return Choice(code, word, word.detach() + relaxed - relaxed.detach())

    def _through(self, z: Tensor, words: Tensor) -> Tensor:
        return words if self.training else super()._through(z, words)


QUANTIZER = GumbelQuantizer
