"""Exact nearest neighbors by cosine, and how two modalities agree on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.embeddings import Embeddings

Rows = NDArray[np.int64]

NEIGHBORS = 10
"""The default number of nearest items in a neighborhood."""

BLOCK = 1 << 24
"""Similarities held at a time: 64 MB, and about three times that on the way."""


def nearest(values: NDArray[np.floating], k: int, queries: Rows | None = None) -> Rows:
    """The k nearest other rows of each query row by cosine similarity, nearest first: `[n, k]`.

    `queries` `[n]` are rows of `values` `[N, d]`; default: all. Exact, one GEMM per block of queries: 2·n·N·d FLOPs in
    all. Raises ValueError unless 1 <= k < N.
    """
    n = len(values)
    if not 1 <= k < n:
        raise ValueError(f"k must be from 1 to {n - 1} (rows less one), got {k}")
    queries = np.arange(n) if queries is None else queries
    unit = values.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    neighbors = np.empty((len(queries), k), np.int64)
    chunk = max(1, BLOCK // n)
    for begin in range(0, len(queries), chunk):
        rows = queries[begin : begin + chunk]
        similarity = unit[rows] @ unit.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        top = np.argpartition(similarity, n - k, axis=1)[:, n - k :]
        order = np.argsort(-np.take_along_axis(similarity, top, 1), axis=1, kind="stable")
        neighbors[begin : begin + chunk] = np.take_along_axis(top, order, 1)
    return neighbors


class Neighborhoods(NamedTuple):
    """The nearest items of some items in one modality, all as rows of the item table.

    `rows` `[n]`: the items; `near` `[n, k]`: their nearest, nearest first; `among` `[N]`: all items that have the
    modality and so could be near.
    """

    rows: Rows
    near: Rows
    among: Rows


def neighborhoods(
    embeddings: Mapping[str, Embeddings],
    rows: Rows | None = None,
    k: int = NEIGHBORS,
    seed: int = 0,
    limit: int = 10_000,
) -> dict[str, Neighborhoods]:
    """The k nearest items in every modality, for those of `rows` that have it; modality → Neighborhoods.

    Default: all items, or a sample of `limit` of them where there are more, the same for every modality. A modality
    with too few items for k neighbors gives as many as there are.
    """
    n = len(next(iter(embeddings.values())).present)
    if rows is None:
        rows = np.arange(n)
        if n > limit:
            rows = np.sort(np.random.default_rng(seed).choice(n, limit, replace=False))
    by_modality = {}
    for modality, vectors in embeddings.items():
        among = np.flatnonzero(vectors.present)
        having = rows[vectors.present[rows]]
        place = np.searchsorted(among, having)
        by_modality[modality] = Neighborhoods(
            having, among[nearest(vectors.values[among], min(k, len(among) - 1), place)], among
        )
    return by_modality


def purity(own: NDArray[np.integer], near: NDArray[np.integer], among: NDArray[np.integer]) -> tuple[float, float]:
    """Share of neighbors with the label of their item, and the share expected of two random items.

    Labels of the items `own` `[n]`, of their neighbors `near` `[n, k]` and of all items that could be neighbors
    `among` `[N]`; a negative label is unknown, and pairs with one do not count.
    """
    pairs = (own >= 0)[:, None] & (near >= 0)
    same = (own[:, None] == near) & pairs
    counts = np.bincount(among[among >= 0]).astype(np.float64)
    total = counts.sum()
    chance = float((counts * (counts - 1)).sum() / (total * (total - 1))) if total > 1 else 0.0
    return float(same.sum() / max(pairs.sum(), 1)), chance


def overlap(first: Rows, second: Rows) -> Rows:
    """How many neighbors two lists `[n, k]` and `[n, l]` have in common, per row `[n]`."""
    both = np.sort(np.concatenate([first, second], axis=1), axis=1)
    shared: Rows = (both[:, 1:] == both[:, :-1]).sum(1)
    return shared


class Agreement(NamedTuple):
    """How far two modalities agree on neighborhoods.

    `overlap` `[n]`: neighbors in common, for items that have both modalities; `chance`: the number expected of
    unrelated modalities; `k`: the size of the smaller list.
    """

    overlap: Rows
    chance: float
    k: int

    @property
    def mean(self) -> float | None:
        """Neighbors in common on average; None where no item has both modalities."""
        return float(self.overlap.mean()) if len(self.overlap) else None


def agreement(near: Mapping[str, Neighborhoods]) -> Agreement:
    """Compare the neighborhoods of the first two modalities."""
    if len(near) < 2:
        return Agreement(np.zeros(0, np.int64), 0.0, 0)
    one, other = list(near.values())[:2]
    _, in_one, in_other = np.intersect1d(one.rows, other.rows, return_indices=True)
    # Another item that has both is in one list by chance with k / (n - 1), and independently in the other.
    both = len(np.intersect1d(one.among, other.among))
    drawn = (list_.near.shape[1] / max(len(list_.among) - 1, 1) for list_ in (one, other))
    chance = max(both - 1, 0) * float(np.prod(list(drawn)))
    k = min(one.near.shape[1], other.near.shape[1])
    return Agreement(overlap(one.near[in_one], other.near[in_other]), chance, k)
