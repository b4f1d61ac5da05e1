"""RQ-VAE: an autoencoder of one modality whose bottleneck is a residual quantizer (TIGER, LC-Rec, MQL4GRec, MACRec)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from macrec.encoders.embeddings import Embeddings, chunks
from macrec.quantization.quantizer import Quantized, ResidualGrad
from macrec.quantization.quantizers import check_quantizer, make_quantizer


@dataclass(frozen=True)
class RQVAEConfig:
    """The shape of an RQ-VAE and how its quantizer learns; the defaults are the paper's network.

    `projection`: a first linear layer without activation, to this width (None: none); `hidden`: the ReLU layers of the
    encoder, mirrored in the decoder; `width`: of the latent vectors; `sizes`: codewords per level; `quantizer`: a name
    and options of `make_quantizer`; `residual_grad`: see `ResidualQuantizer`.
    """

    projection: int | None = 768
    hidden: tuple[int, ...] = (2048, 1024, 512, 256, 128, 64)
    width: int = 32
    sizes: tuple[int, ...] = (256, 256, 256, 256)
    commitment_weight: float = 0.25
    dropout: float = 0.0
    quantizer: str = "ste"
    residual_grad: ResidualGrad = "encoder"

    def __post_init__(self) -> None:
        check_quantizer(self.quantizer)


class RQVAEOutput(NamedTuple):
    """`latent` `[B, width]`; `quantized`, None while the codebooks are not in use; the two terms of the loss."""

    latent: Tensor
    quantized: Quantized | None
    reconstruction_loss: Tensor
    quantization_loss: Tensor


class RQVAE(nn.Module):
    """Encoder, residual quantizer and decoder for vectors `[B, dim]` that are standardized already.

    The buffers `mean` and `std` `[dim]` say how the training data were standardized, so that `encode` can take raw
    embeddings. Weights start Xavier-normal, biases at zero, from `seed`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int, config: RQVAEConfig, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        widths = (dim, *([config.projection] if config.projection else []), *config.hidden, config.width)
        self.encoder = mlp(widths, config.dropout, linear_first=config.projection is not None)
        self.decoder = mlp(widths[::-1], config.dropout, linear_last=config.projection is not None)
        self.quantizer = make_quantizer(
            config.quantizer, config.sizes, config.width, residual_grad=config.residual_grad, seed=seed
        )
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        generator = torch.Generator().manual_seed(seed)
        for module in (*self.encoder, *self.decoder):
            if isinstance(module, nn.Linear):
                nn.init.xavier_normal_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, quantize: bool = True) -> RQVAEOutput:
        """Reconstruct `x` `[B, dim]`. Without `quantize` a plain autoencoder: that is how the encoder warms up.

        Losses are means over batch and dimensions; the quantization loss is the quantizer's own, averaged over levels.
        """
        latent = self.encoder(x)
        if not quantize:
            return RQVAEOutput(latent, None, mse_loss(self.decoder(latent), x), latent.new_zeros(()))
        quantized: Quantized = self.quantizer(latent)
        reconstruction = mse_loss(self.decoder(quantized.vectors), x)
        return RQVAEOutput(
            latent, quantized, reconstruction, self.quantizer.loss(quantized, self.config.commitment_weight)
        )

    def standardize_like(self, embeddings: Embeddings) -> None:
        """Remember the mean and deviation of `embeddings`."""
        self.mean.copy_(torch.from_numpy(embeddings.mean))
        self.std.copy_(torch.from_numpy(embeddings.std))

    @torch.no_grad()
    def latents(self, embeddings: Embeddings) -> Tensor:
        """The encoder's outputs `[N, width]` for raw embeddings; an absent item counts as the mean. In chunks.

        Sets the module to evaluation, as there is dropout.
        """
        self.eval()
        latents = torch.empty((len(embeddings), self.config.width), device=self.mean.device)
        for rows in chunks(embeddings.values):
            present = torch.from_numpy(embeddings.present[rows]).to(latents.device)
            raw = torch.from_numpy(np.array(embeddings.values[rows], np.float32)).to(latents.device)
            latents[rows] = self.encoder(torch.where(present[:, None], (raw - self.mean) / self.std, 0))
        return latents

    def encode(self, embeddings: Embeddings) -> Tensor:
        """Codes `[N, L]` int32 of raw embeddings, in memory that does not grow with N but for latents and codes."""
        return self.quantizer.encode(self.latents(embeddings))


def mlp(
    widths: Sequence[int], dropout: float = 0.0, *, linear_first: bool = False, linear_last: bool = False
) -> nn.Sequential:
    """Linear layers of these `widths`, ReLU between them, dropout before each.

    `linear_first` leaves out the ReLU after the first layer, `linear_last` the one before the last. The weights are
    not set: that is the caller's to do.
    """
    layers: list[nn.Module] = []
    steps = list(pairwise(widths))
    for number, (inputs, outputs) in enumerate(steps):
        straight = number == 0 or (linear_first and number == 1) or (linear_last and number == len(steps) - 1)
        if not straight:
            layers.append(nn.ReLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu"))  # no draw of random weights
    return nn.Sequential(*layers)
