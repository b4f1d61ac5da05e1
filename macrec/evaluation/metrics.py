"""Ranking metrics for one target per query, computed from ranks alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macrec.data.ranking import NOT_RANKED


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
    return float(gains(ranks, f"NDCG@{k}").mean())


def mrr(ranks: ArrayLike, k: int) -> float:
    """MRR@k: the mean of 1 / rank over hits, 0 for misses.

    >>> round(mrr([1, 3, 11, NOT_RANKED, 7], k=10), 6)
    0.295238
    """
    return float(gains(ranks, f"MRR@{k}").mean())


def hits(ranks: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Which queries have their target among the first k, `[B]`."""
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    ranks = np.asarray(ranks, np.int64)
    if ranks.size == 0:
        raise ValueError("there are no ranks to average")
    within: NDArray[np.bool_] = (ranks != NOT_RANKED) & (ranks <= k)
    return within


def gains(ranks: ArrayLike, metric: str) -> NDArray[np.float64]:
    """What each query adds to a metric, `[B]`: its mean is the metric. `metric` is HR@k, NDCG@k or MRR@k.

    >>> gains([1, 3, 11], "MRR@10").round(4).tolist()
    [1.0, 0.3333, 0.0]
    """
    name, _, k = metric.partition("@")
    if name not in ("HR", "NDCG", "MRR") or not k.removeprefix("-").isdecimal():
        raise ValueError(f"a metric is HR@k, NDCG@k or MRR@k, got {metric}")
    hit = hits(ranks, int(k))
    place = np.maximum(np.asarray(ranks, np.float64), 1.0)
    gain = {"HR": np.ones_like(place), "NDCG": 1.0 / np.log2(1.0 + place), "MRR": 1.0 / place}[name]
    return np.where(hit, gain, 0.0)


def ranking_metrics(ranks: ArrayLike, ks: Iterable[int] = (1, 5, 10)) -> dict[str, float]:
    """HR@k for every k and NDCG@k for every k above 1 (NDCG@1 is HR@1), by name, hit rates first."""
    ks = tuple(ks)
    return {f"HR@{k}": hit_rate(ranks, k) for k in ks} | {f"NDCG@{k}": ndcg(ranks, k) for k in ks if k > 1}
