"""Exact nearest neighbors by cosine, and what they tell about an embedding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

NEIGHBORS = 10
"""How many nearest items make a neighborhood, wherever nothing else is said."""

CHUNK = 1024
"""Rows compared at a time: bounds the memory to CHUNK · n similarities."""


def nearest(values: NDArray[np.floating], k: int) -> Rows:
    """The k nearest other rows of every row by cosine similarity, nearest first: `[n, k]`.

    Exact, as one GEMM per chunk of rows: 2·n²·d FLOPs in all, for up to some 100,000 rows. Raises ValueError unless
    1 <= k < n.
    """
    n = len(values)
    if not 1 <= k < n:
        raise ValueError(f"k must be from 1 to {n - 1} (rows less one), got {k}")
    unit = values.astype(np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    found = np.empty((n, k), np.int64)
    for begin in range(0, n, CHUNK):
        similarity = unit[begin : begin + CHUNK] @ unit.T
        inside = np.arange(len(similarity))
        similarity[inside, begin + inside] = -np.inf
        top = np.argpartition(-similarity, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(similarity, top, 1), axis=1, kind="stable")
        found[begin : begin + CHUNK] = np.take_along_axis(top, order, 1)
    return found


def purity(neighbors: Rows, labels: NDArray[np.integer]) -> tuple[float, float]:
    """Share of neighbors `[n, k]` with the label of their row, and the share expected of random other rows.

    `labels` `[n]`: negative ones are unknown, and pairs with an unknown label do not count.
    """
    known = labels >= 0
    pairs = known[:, None] & known[neighbors]
    same = (labels[:, None] == labels[neighbors]) & pairs
    counts = np.bincount(labels[known]).astype(np.float64)
    total = counts.sum()
    chance = float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
    return float(same.sum() / max(pairs.sum(), 1)), chance


def overlap(first: Rows, second: Rows) -> Rows:
    """How many neighbors two lists `[n, k]` have in common, per row `[n]`."""
    both = np.sort(np.concatenate([first, second], axis=1), axis=1)
    shared: Rows = (both[:, 1:] == both[:, :-1]).sum(1)
    return shared
