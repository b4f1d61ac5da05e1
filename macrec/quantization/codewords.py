"""Codewords and what they are near to: an item's residual, each other, and the codewords of another modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist, squareform

from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds, common_rows

Floats = NDArray[np.float64]
Codebooks = Mapping[str, Sequence[NDArray[np.floating]]]
"""Modality → one matrix of codewords `[K_l, d]` per level."""

REDUNDANT = 0.25
"""Two codewords nearer than this share of their level's median distance do the same work."""

SAMPLE = 20_000
"""Items by which two modalities are compared, at most."""


def check_quantized(
    latents: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]], codes: NDArray[np.integer]
) -> None:
    """Raise DataError unless latents `[N, d]`, codebooks `[K_l, d]` and codes `[N, L]` belong together."""
    shapes = [np.shape(codewords) for codewords in codebooks]
    if codes.shape != (len(latents), len(shapes)) or any(shape[1:] != latents.shape[1:] for shape in shapes):
        raise DataError(
            f"latents {latents.shape}, codes {codes.shape} and codebooks {shapes} do not fit each other",
            fix="take all three from the same quantizer",
        )
    beyond = codes.max(0, initial=0) >= [shape[0] for shape in shapes]
    if beyond.any():
        level = int(beyond.argmax())
        raise DataError(
            f"level {level} has a code {codes[:, level].max()} beyond its {shapes[level][0]} codewords",
            fix="take codes and codebooks from the same quantizer",
        )


def residual_norms(
    latents: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]], codes: NDArray[np.integer]
) -> Floats:
    """What is left of each latent `[N, d]` after every level, as a share of its norm: `[n, L + 1]`, 1 in column 0.

    `codebooks`: one `[K_l, d]` per level; `codes` `[N, L]`. Latents of zeros, which have no share, are left out.
    Raises DataError for arrays that do not fit each other.
    """
    check_quantized(latents, codebooks, codes)
    rest = np.asarray(latents, np.float64)
    norms = [np.linalg.norm(rest, axis=1)]
    for level, codewords in enumerate(codebooks):
        rest = rest - codewords[codes[:, level]]
        norms.append(np.linalg.norm(rest, axis=1))
    left = np.stack(norms, 1)
    left = left[left[:, 0] > 0]
    shares: Floats = left / left[:, :1]
    return shares


def codeword_distances(
    latent: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]], codes: NDArray[np.integer]
) -> list[Floats]:
    """Distances of one item's residual to all codewords, one array `[K_l]` per level.

    `latent` `[d]`; the residual of a level is what the item's own `codes` `[L]` of the levels before leave.
    """
    rest = np.asarray(latent, np.float64)
    distances = []
    for codewords, code in zip(codebooks, codes, strict=True):
        distances.append(np.linalg.norm(codewords - rest, axis=1))
        rest = rest - codewords[code]
    return distances


def clustered(codewords: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Codewords `[K, d]` in an order that puts near ones beside each other: the order `[K]`, their distances in percent
    of the median in that order `[K, K]` (at most 255), and the places of redundant pairs `[P, 2]`.

    Average linkage on Euclidean distances, leaves ordered so that neighbors are as near as can be (Bar-Joseph et al.,
    Bioinformatics 2001), through scipy. Codebooks whose codewords are mostly equal have a median of 0: then everything
    at 0 is redundant, and all that is not stands at 255.
    """
    words = np.asarray(codewords, np.float64)
    if len(words) < 2:
        return np.arange(len(words)), np.zeros((len(words),) * 2, np.uint8), np.zeros((0, 2), np.int64)
    distances = pdist(words)
    order = leaves_list(linkage(distances, "average", optimal_ordering=True)).astype(np.int64)
    median = float(np.median(distances))
    square = squareform(distances)[np.ix_(order, order)]
    relative = np.divide(square, median, out=np.where(square > 0, np.inf, 0.0), where=median > 0)
    first, second = np.nonzero(np.triu(relative < REDUNDANT, 1))
    return order, np.minimum(np.round(100 * relative), 255).astype(np.uint8), np.stack([first, second], 1)


def cosines(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Cosines `[A, B]` between rows `[A, d]` and `[B, d]`; 0 with a row of zeros."""
    a, b = (np.asarray(words, np.float64) for words in (first, second))
    a, b = (words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12) for words in (a, b))
    product: Floats = a @ b.T
    return product


def shared_space(
    codebooks: Codebooks, ids: Mapping[str, SemanticIds], levels: Sequence[int], seed: int = 0
) -> tuple[float, float]:
    """Mean cosine between what the first two modalities decode one item to, over `levels`, and between what they decode
    two different items to: equal numbers mean that they share no space in which anything could be compared.

    Of more than `SAMPLE` items with both IDs a sample is taken. Nan where fewer than two items have both.
    """
    (one, first), (two, second) = [(name, ids[name]) for name in list(codebooks)[:2]]
    both = np.stack(common_rows(first, second))
    rng = np.random.default_rng(seed)
    rows, columns = both[:, rng.permutation(both.shape[1])[:SAMPLE]]
    if (n := len(rows)) < 2:
        return float("nan"), float("nan")
    a = np.sum([np.asarray(codebooks[one][level], np.float64)[first.codes[rows, level]] for level in levels], axis=0)
    b = np.sum(
        [np.asarray(codebooks[two][level], np.float64)[second.codes[columns, level]] for level in levels], axis=0
    )
    a, b = (words / np.maximum(np.linalg.norm(words, axis=1, keepdims=True), 1e-12) for words in (a, b))
    own = float((a * b).sum())
    return own / n, (float(a.sum(0) @ b.sum(0)) - own) / (n * (n - 1))  # over all ordered pairs of two items
