"""A residual quantizer that learns by gradient: L codebooks, each coding what the ones before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from macrec.quantization.kmeans import kmeans
from macrec.quantization.nearest import chunks, nearest_codeword
from macrec.quantization.quantizer import Quantized, Quantizer, ResidualGrad


class Choice(NamedTuple):
    """What a level makes of residuals `[B, d]`: codes `[B]`, their codewords `[B, d]`, and the same values with the
    gradient that goes on to the decoder."""

    code: Tensor
    word: Tensor
    passed: Tensor


class ResidualQuantizer(Quantizer):
    """Residual vector quantization with straight-through gradients (van den Oord 2017; Zeghidour 2021; MACRec 3.2).

    `sizes`: codewords per level. `residual_grad` says where a loss on the residual r_l = z - Σ e sends its gradient:
    to the "encoder" (z), to the codewords of the levels before ("codebook"), to "both", or to "none": the published
    code subtracts the straight-through value, whose Jacobian cancels z. The first residual is z itself in every case.

    Codewords start from `initialize`, k-means on all the data. Other quantizers override how codes are chosen
    (`_choose`, `_assign`), what gradient goes back (`_through`), or how codewords move (`loss`, `observe`, `_set`).
    """

    def __init__(
        self, sizes: Sequence[int], dim: int, *, residual_grad: ResidualGrad = "encoder", seed: int = 0
    ) -> None:
        super().__init__()
        self.sizes, self.dim = tuple(sizes), dim
        if not self.sizes or min(self.sizes) < 1 or dim < 1:
            raise ValueError(
                f"sizes must name a level or more, each with a codeword, and dim 1 or more: {sizes}, {dim}"
            )
        if residual_grad not in get_args(ResidualGrad):
            raise ValueError(f"residual_grad must be one of {get_args(ResidualGrad)}, got {residual_grad!r}")
        self.residual_grad = residual_grad
        generator = torch.Generator().manual_seed(seed)
        self.codebooks = nn.ParameterList()
        for level, size in enumerate(self.sizes):
            self.codebooks.append(nn.Parameter((torch.rand(size, dim, generator=generator) * 2 - 1) / size))
            self.register_buffer(f"used_{level}", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, d]`. Nothing is learned here: `observe` counts codes, `revive` replaces dead codewords.

        Always in float32 or wider, also under autocast: close codewords differ by less than half precision resolves.
        """
        with torch.autocast(z.device.type, enabled=False):
            return self._quantize(z.float() if z.dtype in (torch.float16, torch.bfloat16) else z)

    def _quantize(self, z: Tensor) -> Quantized:
        residual, words, passed = z, torch.zeros_like(z), torch.zeros_like(z)
        residuals, codes, codebook_loss, commitment_loss = [], [], [], []
        for level in range(len(self.sizes)):
            residuals.append(residual)
            choice = self._choose(residual, level)
            codes.append(choice.code)
            words, passed = words + choice.word, passed + choice.passed
            codebook_loss.append(mse_loss(choice.word, residual.detach()))
            commitment_loss.append(mse_loss(residual, choice.word.detach()))
            residual = self._left_over(residual, choice.word, first=level == 0)
        return Quantized(
            self._through(z, passed), words, torch.stack(codes, 1), tuple(residuals),
            torch.stack(codebook_loss), torch.stack(commitment_loss),
        )  # fmt: skip

    def loss(self, quantized: Quantized, commitment_weight: float) -> Tensor:
        """Codebook loss plus weighted commitment loss, mean over levels."""
        return (commitment_weight * quantized.commitment_loss + quantized.codebook_loss).mean()

    @torch.no_grad()
    def encode(self, z: Tensor) -> Tensor:
        """Codes `[N, L]` int32 of `z` `[N, d]`: nearest codewords level by level, the same for any chunking."""
        codes = torch.empty((len(z), len(self.sizes)), dtype=torch.int32, device=z.device)
        for part, rows in chunks(z, max(self.sizes), z.device):
            for level, codebook in enumerate(self.codebooks):
                code, _ = nearest_codeword(rows, codebook)
                codes[part, level] = code.int()
                rows = rows - codebook[code]
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The sums `[N, d]` of the codewords that `codes` `[N, l]` name at the first l levels."""
        columns = zip(self.codebooks, codes.long().unbind(1), strict=False)
        return torch.stack([codebook[column] for codebook, column in columns]).sum(0)

    @torch.no_grad()
    def initialize(self, z: Tensor, seed: int, iterations: int = 25) -> None:
        """Set every codebook by k-means on the residuals of `z` `[N, d]`, and note that it was done.

        Where a level has fewer distinct residuals than codewords, random residuals fill the rest: they are dead at
        first and left to `revive`. Any N will do.
        """
        generator = torch.Generator().manual_seed(seed)
        residual = z.float()
        for level, size in enumerate(self.sizes):
            words = kmeans(residual, min(size, len(z)), seed + level, iterations).centroids
            if len(words) < size:
                drawn = torch.randint(len(residual), (size - len(words),), generator=generator)
                words = torch.cat([words, residual[drawn.to(residual.device)]])
            self._set(level, torch.arange(size, device=words.device), words)
            residual = residual - words[nearest_codeword(residual, words)[0]]
        self.initialized.fill_(True)

    @torch.no_grad()
    def observe(self, quantized: Quantized) -> None:
        """After a training step: count its codes."""
        for level, code in enumerate(quantized.codes.unbind(1)):
            self._used(level).add_(torch.bincount(code, minlength=self.sizes[level]))

    @torch.no_grad()
    def revive(self, z: Tensor, generator: torch.Generator) -> int:
        """Move the codewords that no vector chose since the last call onto random residuals of `z` `[B, d]`.

        Returns how many moved, and begins to count anew. Draws come from the CPU generator whatever the device. Levels
        are served in order, each on the residuals that the revived levels before it leave.
        """
        residual, revived = z.detach().float(), 0
        for level, codebook in enumerate(self.codebooks):
            used = self._used(level)
            dead = (used == 0).nonzero().flatten()
            if len(dead):
                rows = torch.randperm(len(residual), generator=generator)
                rows = rows[torch.arange(len(dead)) % len(rows)].to(residual.device)
                self._set(level, dead, residual[rows])
            revived += len(dead)
            used.zero_()
            residual = residual - codebook[nearest_codeword(residual, codebook)[0]]
        return revived

    def _choose(self, residual: Tensor, level: int) -> Choice:
        """The codes of residuals `[B, d]` at a level, and their codewords."""
        code = self._assign(residual.detach(), level)
        word = self.codebooks[level][code]
        return Choice(code, word, word)

    def _assign(self, residual: Tensor, level: int) -> Tensor:
        """Codes `[B]`: the nearest codewords."""
        return self._scores(residual, level).argmax(1)

    def _scores(self, residual: Tensor, level: int) -> Tensor:
        """r·e - ½‖e‖² `[B, K]`, largest for the nearest codeword: one GEMM with a bias."""
        codebook = self.codebooks[level].detach()
        return torch.addmm(codebook.square().sum(1) / -2, residual, codebook.T)

    def _left_over(self, residual: Tensor, word: Tensor, first: bool) -> Tensor:
        """The residual of the next level: always r - e, with the gradient that `residual_grad` defines."""
        if self.residual_grad == "none":
            return residual - (residual + (word - residual).detach())
        if self.residual_grad == "encoder":
            word = word.detach()
        elif self.residual_grad == "codebook" and first:
            residual = residual.detach()
        return residual - word

    def _through(self, z: Tensor, words: Tensor) -> Tensor:
        """The value of `words`, with a gradient to `z`."""
        return z + (words - z).detach()

    def _set(self, level: int, rows: Tensor, words: Tensor) -> None:
        self.codebooks[level][rows] = words

    def _used(self, level: int) -> Tensor:
        """How often each codeword was chosen since `revive` was called `[K]`."""
        return cast(Tensor, getattr(self, f"used_{level}"))
