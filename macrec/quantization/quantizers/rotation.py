"""The rotation trick: gradients pass through the rotation and scaling that turn the latent into its quantized vector.

Fifty et al., "Restructuring Vector Quantization with the Rotation Trick" (2024, arXiv 2410.06424).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from macrec.quantization.residual_quantizer import ResidualQuantizer


class RotationQuantizer(ResidualQuantizer):
    """Gradients keep their angle to the vector, where the straight-through estimator keeps them as they are."""

    def _through(self, z: Tensor, words: Tensor) -> Tensor:
        words = words.detach()
        from_, to = normalize(z.detach(), dim=1), normalize(words, dim=1)
        between = normalize(from_ + to, dim=1)
        length = z.detach().norm(dim=1, keepdim=True)
        scale = words.norm(dim=1, keepdim=True) / length.clamp(min=1e-6)
        reflected = z - 2 * (z * between).sum(1, keepdim=True) * between
        turned = scale * (reflected + 2 * (z * from_).sum(1, keepdim=True) * to)
        return torch.where(length < 1e-6, super()._through(z, words), turned)  # too short: no direction to turn


QUANTIZER = RotationQuantizer
