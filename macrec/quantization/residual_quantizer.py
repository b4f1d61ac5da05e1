"""A residual quantizer that learns by gradient: L codebooks, each coding what the ones before it left over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, normalize

from macrec.quantization.kmeans import kmeans
from macrec.quantization.nearest import chunks, nearest_codeword

ResidualGrad = Literal["encoder", "codebook", "both", "none"]


class Quantized(NamedTuple):
    """What quantizing B vectors at L levels gives.

    `vectors` `[B, d]`: the sum of the chosen codewords, whose gradient goes straight through to the input;
    `words` `[B, d]`: the same sum, whose gradient goes to the codebooks; `codes` `[B, L]` int64; `residuals`: L of
    `[B, d]`, the residual that *enters* each level; `codebook_loss` and `commitment_loss` `[L]`: means over batch and
    dimensions.
    """

    vectors: Tensor
    words: Tensor
    codes: Tensor
    residuals: tuple[Tensor, ...]
    codebook_loss: Tensor
    commitment_loss: Tensor


class ResidualQuantizer(nn.Module):
    """Residual vector quantization with straight-through gradients (van den Oord 2017; Zeghidour 2021; MACRec 3.2).

    `sizes`: codewords per level. `residual_grad` says where a loss on the residual r_l = z - Σ e sends its gradient:
    to the "encoder" (z), to the codewords of the levels before ("codebook"), to "both", or to "none": the published
    code subtracts the straight-through value, whose Jacobian cancels z. The first residual is z itself in every case.

    `ema_decay`: codewords follow the moving average of their vectors (van den Oord 2017, appendix) in place of the
    gradient of the codebook loss. `sinkhorn`: per level an ε, 0 for none; in training, codes of such a level are
    spread evenly over the batch. `rotation`: the gradient goes through the rotation that turns z into its quantized
    vector (Fifty 2024) rather than straight through.

    Codewords start from `initialize`, k-means on all the data; the buffer `initialized` remembers that it was done.
    """

    initialized: Tensor

    def __init__(
        self,
        sizes: Sequence[int],
        dim: int,
        *,
        residual_grad: ResidualGrad = "encoder",
        ema_decay: float | None = None,
        sinkhorn: Sequence[float] | None = None,
        rotation: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sizes, self.dim = tuple(sizes), dim
        if not self.sizes or min(self.sizes) < 1 or dim < 1:
            raise ValueError(
                f"sizes must name a level or more, each with a codeword, and dim 1 or more: {sizes}, {dim}"
            )
        if residual_grad not in get_args(ResidualGrad):
            raise ValueError(f"residual_grad must be one of {get_args(ResidualGrad)}, got {residual_grad!r}")
        if ema_decay is not None and not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, got {ema_decay}")
        self.sinkhorn = tuple(sinkhorn) if sinkhorn is not None else (0.0,) * len(self.sizes)
        if len(self.sinkhorn) != len(self.sizes) or min(self.sinkhorn) < 0:
            raise ValueError(f"sinkhorn needs {len(self.sizes)} numbers of 0 or more, got {sinkhorn}")
        self.residual_grad, self.ema_decay, self.rotation = residual_grad, ema_decay, rotation
        generator = torch.Generator().manual_seed(seed)
        self.codebooks = nn.ParameterList()
        for level, size in enumerate(self.sizes):
            start = (torch.rand(size, dim, generator=generator) * 2 - 1) / size
            self.codebooks.append(nn.Parameter(start, requires_grad=ema_decay is None))
            self.register_buffer(f"used_{level}", torch.zeros(size, dtype=torch.int64))
            if ema_decay is not None:
                self.register_buffer(f"ema_count_{level}", torch.ones(size))
                self.register_buffer(f"ema_sum_{level}", start.clone())
        self.register_buffer("initialized", torch.tensor(False))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize `z` `[B, d]`. Nothing is learned here: `observe` counts codes, `revive` replaces dead codewords.

        Always in float32 or wider, also under autocast: close codewords differ by less than half precision can tell.
        """
        with torch.autocast(z.device.type, enabled=False):
            return self._quantize(z.float() if z.dtype in (torch.float16, torch.bfloat16) else z)

    def _quantize(self, z: Tensor) -> Quantized:
        residual, words = z, torch.zeros_like(z)
        residuals, codes, codebook_loss, commitment_loss = [], [], [], []
        for level, codebook in enumerate(self.codebooks):
            residuals.append(residual)
            code = self._assign(residual.detach(), level)
            word = codebook[code]
            codes.append(code)
            words = words + word
            codebook_loss.append(mse_loss(word, residual.detach()))
            commitment_loss.append(mse_loss(residual, word.detach()))
            residual = self._left_over(residual, word, first=level == 0)
        vectors = self._through(z, words.detach())
        return Quantized(
            vectors, words, torch.stack(codes, 1), tuple(residuals),
            torch.stack(codebook_loss), torch.stack(commitment_loss),
        )  # fmt: skip

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
        """After a training step: count its codes; with `ema_decay`, move the codewords to the mean of their residuals.

        Counts are smoothed by 1e-5 as in the paper's appendix, so that no codeword is divided by zero.
        """
        for level, (codebook, code) in enumerate(zip(self.codebooks, quantized.codes.unbind(1), strict=True)):
            count = torch.bincount(code, minlength=len(codebook))
            self._buffer("used", level).add_(count)
            if self.ema_decay is None:
                continue
            sums = torch.zeros_like(codebook).index_add_(0, code, quantized.residuals[level].detach())
            mean_count = self._buffer("ema_count", level).lerp_(count.float(), 1 - self.ema_decay)
            mean_sum = self._buffer("ema_sum", level).lerp_(sums, 1 - self.ema_decay)
            total = mean_count.sum()
            smooth = (mean_count + 1e-5) / (total + 1e-5 * len(codebook)) * total
            codebook.copy_(mean_sum / smooth[:, None])

    @torch.no_grad()
    def revive(self, z: Tensor, generator: torch.Generator) -> int:
        """Move the codewords that no vector chose since the last call onto random residuals of `z` `[B, d]`.

        Returns how many moved, and begins to count anew. Draws come from the CPU generator whatever the device. Levels
        are served in order, each on the residuals that the revived levels before it leave.
        """
        residual, revived = z.detach().float(), 0
        for level, codebook in enumerate(self.codebooks):
            used = self._buffer("used", level)
            dead = (used == 0).nonzero().flatten()
            if len(dead):
                rows = torch.randperm(len(residual), generator=generator)
                rows = rows[torch.arange(len(dead)) % len(rows)].to(residual.device)
                self._set(level, dead, residual[rows])
            revived += len(dead)
            used.zero_()
            residual = residual - codebook[nearest_codeword(residual, codebook)[0]]
        return revived

    def _assign(self, residual: Tensor, level: int) -> Tensor:
        """Codes `[B]`: argmax r·e - ½‖e‖², one GEMM with a bias; by Sinkhorn in training where the level has an ε."""
        codebook = self.codebooks[level].detach()
        bias = codebook.square().sum(1) / -2
        scores = torch.addmm(bias, residual, codebook.T)
        if self.training and self.sinkhorn[level]:
            squared = residual.square().sum(1, keepdim=True) - 2 * scores
            return sinkhorn(squared, self.sinkhorn[level]).argmax(1)
        return scores.argmax(1)

    def _left_over(self, residual: Tensor, word: Tensor, first: bool) -> Tensor:
        """The residual of the next level: always r - e, with the gradient that `residual_grad` asks for."""
        if self.residual_grad == "none":
            return residual - (residual + (word - residual).detach())
        if self.residual_grad == "encoder":
            word = word.detach()
        elif self.residual_grad == "codebook" and first:
            residual = residual.detach()
        return residual - word

    def _through(self, z: Tensor, words: Tensor) -> Tensor:
        """`words` as value, with a gradient to `z`."""
        straight = z + (words - z).detach()
        if not self.rotation:
            return straight
        from_, to = normalize(z.detach(), dim=1), normalize(words, dim=1)
        between = normalize(from_ + to, dim=1)
        length = z.detach().norm(dim=1, keepdim=True)
        scale = words.norm(dim=1, keepdim=True) / length.clamp(min=1e-6)
        reflected = z - 2 * (z * between).sum(1, keepdim=True) * between
        turned = scale * (reflected + 2 * (z * from_).sum(1, keepdim=True) * to)
        return torch.where(length < 1e-6, straight, turned)  # a vector so short has no direction to turn

    def _set(self, level: int, rows: Tensor, words: Tensor) -> None:
        self.codebooks[level][rows] = words
        if self.ema_decay is not None:
            self._buffer("ema_count", level)[rows] = 1.0
            self._buffer("ema_sum", level)[rows] = words

    def _buffer(self, name: str, level: int) -> Tensor:
        return cast(Tensor, getattr(self, f"{name}_{level}"))


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
