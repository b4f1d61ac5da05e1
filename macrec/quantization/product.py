"""Product quantization: the dimensions are divided into groups, and each group has a codebook of its own.

Jégou et al., "Product Quantization for Nearest Neighbor Search" (2011); with a learned rotation before the division Ge
et al., "Optimized Product Quantization" (2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from macrec.errors import DataError
from macrec.quantization.kmeans import kmeans
from macrec.quantization.nearest import Rows, chunks, nearest_codeword


@dataclass
class ProductQuantizer:
    """One code per group of dimensions, with `sizes[g]` codewords, from fixed vectors.

    Vectors are rotated first by an orthogonal matrix that makes the error small (`rotate`; else they stay as they are).
    It starts as principal components, dealt out so that the groups' variances have about equal products ("parametric"
    in the paper); then assignments, means and the rotation (a Procrustes problem) are improved in turn, `iterations`
    times ("non-parametric"). The groups are orthogonal, so no codeword depends on the code of another group.
    """

    sizes: Sequence[int] = (256, 256, 256, 256)
    rotate: bool = True
    seed: int = 0
    iterations: int = 30
    rotation: Tensor = field(default_factory=lambda: torch.empty(0, 0), init=False, repr=False)
    """`[d, d]`: the rotated vectors are `x @ rotation`."""
    words: list[Tensor] = field(default_factory=list, init=False, repr=False)
    """`[K_g, w_g]` per group, in the rotated space; the widths sum to d."""

    @torch.no_grad()
    def fit(self, x: Rows) -> Self:
        """Fit rotation and codebooks to `x` `[N, d]`. Raises DataError for fewer dimensions than groups."""
        x = x.float() if isinstance(x, Tensor) else torch.from_numpy(x).float()
        if x.shape[1] < len(self.sizes):
            what = f"vectors of {x.shape[1]} dimensions cannot be divided into {len(self.sizes)} groups"
            raise DataError(what, field="levels", fix="give fewer levels")
        widths = [len(part) for part in torch.arange(x.shape[1]).tensor_split(len(self.sizes))]
        self.rotation = balanced_components(x, widths) if self.rotate else torch.eye(x.shape[1], device=x.device)
        parts = torch.split(x @ self.rotation, widths, 1)
        self.words = [
            kmeans(part, min(size, len(x)), self.seed + group, 10).centroids
            for group, (part, size) in enumerate(zip(parts, self.sizes, strict=True))
        ]
        for _ in range(self.iterations):
            rebuilt = torch.cat([words[codes] for words, codes in self._improved(parts)], 1)
            if self.rotate:
                left, _, right = torch.linalg.svd(x.T @ rebuilt)
                self.rotation = left @ right
                parts = torch.split(x @ self.rotation, widths, 1)
        return self

    def _improved(self, parts: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """One step of k-means in every group: its new codewords, and the codes `[N]` that they are the means of."""
        improved = []
        for group, part in enumerate(parts):
            codes = nearest_codeword(part, self.words[group])[0]
            count = torch.bincount(codes, minlength=len(self.words[group]))[:, None]
            sums = torch.zeros_like(self.words[group]).index_add_(0, codes, part)
            self.words[group] = torch.where(count > 0, sums / count.clamp(min=1), self.words[group])
            improved.append((self.words[group], codes))
        return improved

    @torch.no_grad()
    def encode(self, x: Rows) -> Tensor:
        """Codes `[n, G]` int32 of `x` `[n, d]`: the nearest codeword of every group."""
        widths = [words.shape[1] for words in self.words]
        codes = torch.empty((len(x), len(widths)), dtype=torch.int32, device=self.rotation.device)
        for part, rows in chunks(x, max(map(len, self.words)) + 2 * len(self.rotation), self.rotation.device):
            for group, columns in enumerate(torch.split(rows @ self.rotation, widths, 1)):
                codes[part, group] = nearest_codeword(columns, self.words[group])[0].int()
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors `[n, d]` of `codes` `[n, G]`."""
        columns = zip(self.words, codes.long().unbind(1), strict=True)
        return torch.cat([words[column] for words, column in columns], 1) @ self.rotation.T

    def reconstruct(self, x: Rows) -> Tensor:
        """`x` `[n, d]` encoded and decoded."""
        return self.decode(self.encode(x))

    @property
    def codebooks(self) -> list[Tensor]:
        """One `[K_g, d]` per group: codewords in the space of the vectors, whose sums are the decoded vectors."""
        widths = [words.shape[1] for words in self.words]
        columns = torch.split(self.rotation, widths, 1)
        return [words @ part.T for words, part in zip(self.words, columns, strict=True)]

    def tensors(self) -> list[Tensor]:
        """Everything that was fitted; `restore` takes it back."""
        return [self.rotation, *self.words]

    def restore(self, tensors: Sequence[Tensor]) -> Self:
        """Be as fitted as the quantizer that gave these `tensors`."""
        self.rotation, self.words = tensors[0], list(tensors[1:])
        return self


def balanced_components(x: Tensor, widths: Sequence[int]) -> Tensor:
    """The principal directions of `x` `[N, d]` as columns `[d, d]`, dealt out to groups of these `widths`.

    From the largest variance down, each direction goes to the group with room whose variances have the least product.
    """
    values, directions = torch.linalg.eigh((x.double().T @ x.double()) / len(x))
    values = values.clamp(min=float(values.max()) * 1e-6 + torch.finfo(torch.float64).tiny)
    weight = (values / values.min()).log()
    products, groups = [0.0] * len(widths), [list[int]() for _ in widths]
    for place in reversed(range(len(values))):  # ascending, so the largest come first
        group = min((g for g, width in enumerate(widths) if len(groups[g]) < width), key=products.__getitem__)
        products[group] += float(weight[place])
        groups[group].append(place)
    dealt: Tensor = directions[:, [place for group in groups for place in group]].float()
    return dealt
