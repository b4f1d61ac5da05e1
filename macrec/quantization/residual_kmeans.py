"""Residual k-means: one codebook per level, each fitted to what the levels before it left over. No training needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Self, get_args

import torch
from torch import Tensor
from torch.nn.functional import embedding

from macrec.quantization.kmeans import kmeans, unit
from macrec.quantization.nearest import Codewords, Rows, check_finite, chunks

Metric = Literal["l2", "cosine"]
Residual = Literal["subtract", "project"]


@dataclass
class ResidualKMeans:
    """Codes of L levels from fixed vectors; every level has its own codebook of `sizes[l]` codewords.

    `metric` "l2" takes the nearest codeword, "cosine" the one with the most similar direction (spherical k-means; a
    codeword is then the direction times the mean projection of its rows on it). `residual` "subtract" hands on e - c,
    "project" e - α·c with α = e·c/‖c‖², which is orthogonal to c and never longer than e. L2 with subtraction is plain
    residual k-means; cosine with projection is the codebook of HyMiRec (arXiv 2510.13738).

    `balanced` fits every level with clusters of equal size; encoding is the unconstrained nearest codeword in every
    case. Fitting holds two float32 copies of the vectors; `encode` goes chunk by chunk. Standardize the columns first.
    A level whose residuals have fewer distinct rows than `sizes[l]` has a smaller codebook.
    """

    sizes: Sequence[int] = (256, 256, 256)
    metric: Metric = "l2"
    residual: Residual = "subtract"
    balanced: bool = False
    seed: int = 0
    iterations: int = 25
    codebooks: list[Tensor] = field(default_factory=list, init=False, repr=False)
    """`[K_l, d]` float32 per level; a sum of one codeword per level is a decoded vector."""

    def __post_init__(self) -> None:
        self.sizes = tuple(self.sizes)
        if not self.sizes or min(self.sizes) < 1:
            raise ValueError(f"sizes must name at least one level, each of 1 codeword or more, got {self.sizes}")
        if self.metric not in get_args(Metric) or self.residual not in get_args(Residual):
            known = f"metric {get_args(Metric)} and residual {get_args(Residual)}"
            raise ValueError(f"known are {known}, got {self.metric!r} and {self.residual!r}")

    @torch.no_grad()
    def fit(self, x: Rows) -> Self:
        """Fit one codebook after the other to `x` `[N, d]`. Raises as `kmeans` does: no size may exceed N."""
        if x.ndim == 2 and max(self.sizes) > len(x):
            raise ValueError(f"k must be from 1 to {len(x)} (the number of rows), got sizes {self.sizes}")
        residual: Rows = x
        codebooks = []
        for level, size in enumerate(self.sizes):
            spherical = self.metric == "cosine"
            codewords = kmeans(
                residual, size, self.seed + level, self.iterations, self.balanced, spherical=spherical
            ).centroids
            if spherical:
                codewords = self._scaled(codewords, residual)
            codebooks.append(codewords)
            if level + 1 < len(self.sizes):
                step = _Level.of(self, codewords)
                residual = torch.cat([step.rest(rows, *step.choose(rows)) for _, rows in _parts(residual, codewords)])
        self.codebooks = codebooks
        return self

    def encode(self, x: Rows) -> Tensor:
        """Codes `[n, L]` int32 of `x` `[n, d]`, the same for any chunking; on the device of the codebooks."""
        return self.encode_with_coefficients(x)[0]

    @torch.no_grad()
    def encode_with_coefficients(self, x: Rows) -> tuple[Tensor, Tensor]:
        """Codes `[n, L]` int32, and the factors `[n, L]` float32 by which their codewords were taken off (α or 1)."""
        first = self._fitted()[0]
        if x.ndim != 2 or x.shape[1] != first.shape[1]:
            raise ValueError(f"x must be [n, {first.shape[1]}], got {list(x.shape)}")
        codes = torch.empty((len(x), len(self.codebooks)), dtype=torch.int32, device=first.device)
        factors = torch.empty(codes.shape, dtype=torch.float32, device=first.device)
        if self.metric == "l2" and self.residual == "subtract":
            search = _Search.of(self.codebooks)
            for part, rows in chunks(x, sum(map(len, self.codebooks)) + first.shape[1], first.device):
                codes[part] = search.codes(rows, part.start)
            return codes, factors.fill_(1.0)
        steps = [_Level.of(self, codewords) for codewords in self.codebooks]
        for part, rows in _parts(x, max(self.codebooks, key=len)):
            check_finite(rows.norm(dim=1), part.start)
            for level, step in enumerate(steps):
                codes[part, level], factors[part, level] = chosen = step.choose(rows)
                if level + 1 < len(steps):
                    rows = step.rest(rows, *chosen)
        return codes, factors

    def decode(self, codes: Tensor, coefficients: Tensor | None = None) -> Tensor:
        """The sum `[n, d]` of the codewords named by `codes` `[n, L]`, each times its coefficient `[n, L]` if given.

        Fewer columns than levels decode the first levels only. Raises ValueError for a code outside its codebook.
        """
        codebooks = self._fitted()
        if codes.ndim != 2 or not 1 <= codes.shape[1] <= len(codebooks):
            raise ValueError(f"codes must be [n, {len(codebooks)}] or fewer columns, got {list(codes.shape)}")
        if coefficients is not None and coefficients.shape != codes.shape:
            raise ValueError(f"coefficients must be {list(codes.shape)} as the codes, got {list(coefficients.shape)}")
        total = torch.zeros((len(codes), codebooks[0].shape[1]), device=codebooks[0].device)
        for level in range(codes.shape[1]):
            column = codes[:, level].long().to(total.device)
            if len(column) and not 0 <= int(column.min()) <= int(column.max()) < len(codebooks[level]):
                raise ValueError(f"codes of level {level} must be from 0 to {len(codebooks[level]) - 1}")
            words = codebooks[level][column]
            total += words if coefficients is None else coefficients[:, level, None].to(total.device) * words
        return total

    def reconstruct(self, x: Rows) -> Tensor:
        """`x` `[n, d]` encoded and decoded, with the coefficients where there are such."""
        return self.decode(*self.encode_with_coefficients(x))

    def tensors(self) -> list[Tensor]:
        """Everything that was fitted; `restore` takes it back."""
        return self._fitted()

    def restore(self, tensors: Sequence[Tensor]) -> Self:
        """Be as fitted as the quantizer that gave these `tensors`."""
        self.codebooks = list(tensors)
        return self

    def _scaled(self, directions: Tensor, x: Rows) -> Tensor:
        """Directions `[K, d]` times the mean projection of their rows.

        A direction without rows, or whose rows point away on average, keeps next to no length: its place among the
        codewords stays, and it adds nothing when decoded.
        """
        total = torch.zeros(len(directions), dtype=torch.float64, device=directions.device)
        count = torch.zeros_like(total)
        table = Codewords.of(directions)
        for _, rows in _parts(x, directions):
            codes = table.nearest(unit(rows))
            total.index_add_(0, codes, (rows * directions[codes]).sum(1).double())
            count.index_add_(0, codes, torch.ones_like(codes, dtype=torch.float64))
        mean = (total / count.clamp(min=1)).float()
        return directions * mean.clamp(min=max(1e-6 * float(mean.max()), 1e-12))[:, None]

    def _fitted(self) -> list[Tensor]:
        if not self.codebooks:
            raise ValueError("nothing is fitted yet: call fit first")
        return self.codebooks


@dataclass(frozen=True)
class _Search:
    """All levels of a plain residual search at once, without ever computing a residual.

    With r = x - Σ c_j the score of a codeword is r·c - ½‖c‖² = x·c - Σ c_j·c - ½‖c‖²: one product of x with all
    codewords, less rows of the products of the codewords with each other, which are known beforehand.
    """

    levels: list[Codewords]
    words: Tensor
    among: list[list[Tensor]]

    @classmethod
    def of(cls, codebooks: Sequence[Tensor]) -> _Search:
        """Prepare the codebooks, `[K_l, d]` each."""
        levels = [Codewords.of(words) for words in codebooks]
        among = [
            [(one.exact @ level.exact.T).float() for one in levels[:number]] for number, level in enumerate(levels)
        ]
        return cls(levels, torch.cat(list(codebooks)), among)

    def codes(self, rows: Tensor, offset: int) -> Tensor:
        """Codes `[n, L]` int32 of `rows` `[n, d]`, the first of which is row `offset` of all."""
        lengths = rows.norm(dim=1)
        check_finite(lengths, offset)
        products = torch.split(rows @ self.words.T, [len(level.words) for level in self.levels], 1)
        new: list[Tensor] = []
        for level, scores, before in zip(self.levels, products, self.among, strict=True):
            scores = scores + level.bias
            for codes, known in zip(new, before, strict=True):
                scores -= embedding(codes, known)
            chosen = tuple(zip(self.levels, new, strict=False))
            new.append(level.best(scores, lengths, partial(_residual, rows, chosen)))
            lengths = lengths + level.longest
        return torch.stack(new, 1).int()


def _residual(rows: Tensor, chosen: Sequence[tuple[Codewords, Tensor]], few: Tensor) -> Tensor:
    """Some of `rows`, less the codewords chosen for them so far, in float64."""
    exact = rows[few].double()
    for level, codes in chosen:
        exact -= level.exact[codes[few]]
    return exact


@dataclass(frozen=True)
class _Level:
    """One level of an encoder: its codewords, and what is searched among them, the same or their directions."""

    codewords: Codewords
    searched: Codewords
    metric: Metric
    residual: Residual

    @classmethod
    def of(cls, quantizer: ResidualKMeans, words: Tensor) -> _Level:
        codewords = Codewords.of(words)
        searched = Codewords.of(unit(words)) if quantizer.metric == "cosine" else codewords
        return cls(codewords, searched, quantizer.metric, quantizer.residual)

    def choose(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `[n]` of `rows` `[n, d]`, and the factors `[n]` by which their codewords are taken off."""
        codes = self.searched.nearest(unit(rows) if self.metric == "cosine" else rows)
        if self.residual == "subtract":
            return codes, torch.ones(len(rows), device=rows.device)
        chosen = self.codewords.words[codes]
        return codes, (rows * chosen).sum(1) / chosen.square().sum(1).clamp(min=torch.finfo(torch.float32).tiny)

    def rest(self, rows: Tensor, codes: Tensor, factors: Tensor) -> Tensor:
        """What is left of `rows` `[n, d]`."""
        if self.residual == "subtract":
            return self.codewords.residuals(rows, codes)
        return rows - factors[:, None] * self.codewords.words[codes]


def _parts(x: Rows, codewords: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Chunks of `x` with room for the scores and a few copies, on the device of the codewords."""
    return chunks(x, len(codewords) + 3 * codewords.shape[1], codewords.device)
