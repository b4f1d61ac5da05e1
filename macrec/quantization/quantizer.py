"""What a quantizer is: L codebooks, the codes of vectors, and how codewords learn while an autoencoder trains.

One file per quantizer in `macrec.quantization.quantizers`; `ResidualQuantizer` is the base of those there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

ResidualGrad = Literal["encoder", "codebook", "both", "none"]
"""Where a loss on the residual r_l = z - Σ e sends its gradient: to z, to the codewords before, to both, or nowhere."""


class Quantized(NamedTuple):
    """What quantizing B vectors at L levels gives.

    `vectors` `[B, d]`: the sum of the chosen codewords, whose gradient goes to the input; `words` `[B, d]`: the same
    sum, whose gradient goes to the codebooks; `codes` `[B, L]` int64; `residuals`: L of `[B, d]`, the residual that
    *enters* each level; `codebook_loss` and `commitment_loss` `[L]`: means over batch and dimensions.
    """

    vectors: Tensor
    words: Tensor
    codes: Tensor
    residuals: tuple[Tensor, ...]
    codebook_loss: Tensor
    commitment_loss: Tensor


class Quantizer(nn.Module, ABC):
    """A bottleneck of L codebooks for vectors of `dim` dimensions, with `sizes` codewords.

    `codebooks`: one `[K_l, d]` per level; a decoded vector is the sum of one codeword per level. The buffer
    `initialized` remembers that `initialize` was called. A training calls the module on a batch, takes `loss`, then
    calls `observe`, and `revive` at the end of an epoch.
    """

    sizes: tuple[int, ...]
    dim: int
    codebooks: nn.ParameterList
    initialized: Tensor

    @abstractmethod
    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, d]`. Learns nothing by itself."""

    @abstractmethod
    def loss(self, quantized: Quantized, commitment_weight: float) -> Tensor:
        """The quantization loss: what moves codewords to vectors, plus weighted commitment of vectors to codewords."""

    @abstractmethod
    def encode(self, z: Tensor) -> Tensor:
        """Codes `[N, L]` int32 of `z` `[N, d]`, the same for any chunking; never random."""

    @abstractmethod
    def decode(self, codes: Tensor) -> Tensor:
        """The sums `[N, d]` of the codewords that `codes` `[N, l]` name at the first l levels."""

    @abstractmethod
    def initialize(self, z: Tensor, seed: int, iterations: int = 25) -> None:
        """Set the codebooks from vectors `z` `[N, d]`, any N."""

    @abstractmethod
    def observe(self, quantized: Quantized) -> None:
        """After a training step: note which codes were used, and move codewords that do not learn by gradient."""

    @abstractmethod
    def revive(self, z: Tensor, generator: torch.Generator) -> int:
        """Move the codewords that no vector chose since the last call near `z` `[B, d]`; how many moved."""
