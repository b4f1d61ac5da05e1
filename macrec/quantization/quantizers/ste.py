"""Straight-through estimation: the gradient of the quantized vector is copied to the latent.

Van den Oord et al., "Neural Discrete Representation Learning" (2017); on residuals SoundStream (Zeghidour et al. 2021),
TIGER and MACRec. The default.
"""

from __future__ import annotations

from macrec.quantization.residual_quantizer import ResidualQuantizer

QUANTIZER = ResidualQuantizer
