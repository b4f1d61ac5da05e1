"""Ranking metrics for one true item per query. They see ranks and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NOT_RANKED = 0
"""The rank of a target that the ranking does not contain."""


def hit_rate(ranks: ArrayLike, k: int) -> float:
    """HR@k: the share of queries whose target is among the first k. `ranks` `[B]`, 1 is best, `NOT_RANKED` is a miss.

    >>> hit_rate([1, 3, 11, NOT_RANKED, 7], k=5)
    0.4
    """
    return float(hits(ranks, k).mean())


def ndcg(ranks: ArrayLike, k: int) -> float:
    """NDCG@k with one relevant item: the mean of 1 / log2(1 + rank) over hits, 0 for misses.

    >>> round(ndcg([1, 3, 11, NOT_RANKED, 7], k=10), 6)
    0.366667
    """
    ranks = np.asarray(ranks, np.int64)
    gains = 1.0 / np.log2(1.0 + np.maximum(ranks, 1))
    return float(np.where(hits(ranks, k), gains, 0.0).mean())


def hits(ranks: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Which queries have their target among the first k, `[B]`."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    ranks = np.asarray(ranks, np.int64)
    if ranks.size == 0:
        raise ValueError("there are no ranks to average")
    found: NDArray[np.bool_] = (ranks != NOT_RANKED) & (ranks <= k)
    return found


def ranking_metrics(ranks: ArrayLike) -> dict[str, float]:
    """HR@1, HR@5, HR@10, NDCG@5 and NDCG@10 by name."""
    return {f"HR@{k}": hit_rate(ranks, k) for k in (1, 5, 10)} | {f"NDCG@{k}": ndcg(ranks, k) for k in (5, 10)}
