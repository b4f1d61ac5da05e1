"""Codes without codewords: the mean vector of the items that have a code takes the codeword's place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SAMPLE, PAIRS = 4_000, 20_000_000
"""Items that `first_code_fit` measures, and distances that it computes, at most: 160 MB."""


def code_means(vectors: NDArray[np.floating], codes: NDArray[np.integer]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The codes that occur in `codes` `[n]`, sorted `[C]`, the mean of the vectors `[n, d]` of each `[C, d]`, and how
    many these are `[C]`."""
    distinct, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    sums = np.add.reduceat(np.asarray(vectors, np.float64)[order], np.cumsum(counts) - counts, axis=0)
    return distinct.astype(np.int64), sums / counts[:, None], counts.astype(np.float64)


def without_itself(distance: Floats, counts: Floats) -> Floats:
    """The distance of an item to the mean of the *others* of its group, from its distance to the mean of all `counts`
    items: the mean of the others lies on the same line, n / (n - 1) times as far. Infinite where there is no other."""
    grown: Floats = np.divide(distance * counts, counts - 1, out=np.full(distance.shape, np.inf), where=counts > 1)
    return grown


def first_code_fit(
    vectors: NDArray[np.floating], codes: NDArray[np.integer], seed: int = 0
) -> tuple[Rows, Floats, Floats]:
    """How well vectors `[n, d]` fit first codes `[n]`: the places `[m]` of a sample of items, and their distances to
    the mean of their own code without them and to the nearest mean of another code, `[m]` each.

    Distances are infinite for a code that only one item has, and where there is no other code.
    """
    distinct, means, counts = code_means(vectors, codes)
    sample = np.sort(np.random.default_rng(seed).permutation(len(codes))[: max(1, min(SAMPLE, PAIRS // len(distinct)))])
    x = np.asarray(vectors[sample], np.float64)
    squares = (x**2).sum(1)[:, None] - 2 * x @ means.T + (means**2).sum(1)
    distances = np.sqrt(np.maximum(squares, 0))
    at, row = np.searchsorted(distinct, codes[sample]), np.arange(len(sample))
    own = without_itself(distances[row, at], counts[at])
    distances[row, at] = np.inf
    return sample, own, distances.min(1)
