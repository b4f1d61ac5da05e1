"""One ranking from several: what each path (text, image, or from one to the other) would recommend, put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from macrec.data.ranking import Ranking, Scores
from macrec.data.split import PADDING

Fusion = Literal["union_rescore", "mean_floor", "logmeanexp", "published"]
"""How scores of paths become one: see `fuse`."""


def fuse(rankings: Sequence[Ranking], how: Fusion, k: int, weights: Sequence[float] | None = None) -> Ranking:
    """The `k` best of all items that any of `rankings` (of the same B users) holds.

    - "mean_floor": the weighted mean of an item's scores; where a path does not rank it, that path's lowest score.
    - "union_rescore": the weighted mean, and "logmeanexp": the logarithm of the mean probability, of scores that are
      known for every path. Both need every ranking to hold the same items: `candidates` names them, and the model has
      to score those that a path's beam has missed (spec 6.5).
    - "published": as published for two paths: the mean of both scores *plus 1* for an item of both, else its one score.

    `weights` (default: all alike) apply to the means; they need not sum to 1. Ties go to the item that comes first,
    path by path. Raises ValueError for another `how`, for published with other than two paths, and for missing scores.
    """
    if how not in get_args(Fusion):
        raise ValueError(f"how must be one of {get_args(Fusion)}, got {how!r}")
    items, scores = table(rankings)
    ranked = ~np.isneginf(scores)
    share = shares(weights, len(rankings))
    if how == "published":
        if len(rankings) != 2:
            raise ValueError(f"the published fusion takes two rankings, got {len(rankings)}")
        total = np.where(ranked, scores, 0).sum(2)
        fused = np.where(ranked.all(2), total / 2 + 1, total)
    elif how == "mean_floor":
        floor = np.where(ranked, scores, np.inf).min(1, keepdims=True, initial=np.inf)
        fused = np.where(ranked, scores, np.where(np.isinf(floor), 0, floor)) @ share
    else:
        if (~ranked & (items != PADDING)[..., None]).any():
            raise ValueError(f"{how} needs the score of every candidate on every path")
        fused = together(np.where(ranked, scores, 0), how, share)
    return best(items, np.where(items == PADDING, -np.inf, fused), k)


def together(scores: Scores, how: Fusion, share: Scores) -> Scores:
    """One score `[B, C]` of the `scores` `[B, C, paths]` that every path gives to the same candidates.

    `how` is "union_rescore" or "logmeanexp", and `share` `[paths]` the weights of the paths, whose sum is 1.
    """
    if how == "union_rescore":
        return cast(Scores, scores @ share)
    top = scores.max(2, keepdims=True)
    return cast(Scores, np.log(np.exp(scores - top) @ share) + top[..., 0])


def shares(weights: Sequence[float] | None, paths: int) -> NDArray[np.float64]:
    """The weights `[paths]` (default: all alike) as shares of their sum. Raises ValueError as `fuse` does."""
    share = np.ones(paths) if weights is None else np.asarray(weights, np.float64)
    if len(share) != paths or (share < 0).any() or share.sum() == 0:
        raise ValueError(f"{paths} weights of 0 or more are needed, got {weights}")
    return cast(NDArray[np.float64], share / share.sum())


def candidates(rankings: Sequence[Ranking]) -> NDArray[np.int64]:
    """The items `[B, C]` that any of the rankings holds, each once, in order of first place; `PADDING` at the end."""
    return table(rankings)[0]


def table(rankings: Sequence[Ranking]) -> tuple[NDArray[np.int64], Scores]:
    """All items `[B, C]`, each once, by their best place, and their scores `[B, C, paths]`, -inf where not ranked."""
    if not rankings or len({len(ranking) for ranking in rankings}) != 1:
        raise ValueError("one ranking or more is needed, all of the same users")
    widest = max(ranking.k for ranking in rankings)
    shape = (len(rankings[0]), widest, len(rankings))
    items = np.full(shape, PADDING, np.int64)
    scores = np.full(shape, -np.inf)
    for path, ranking in enumerate(rankings):
        items[:, : ranking.k, path] = ranking.items
        scores[:, : ranking.k, path] = ranking.scores
    # Place by place, path after path: first all best items, then all second best.
    flat, flat_scores = items.reshape(shape[0], -1), scores.reshape(shape[0], -1)
    order = np.argsort(flat, axis=1, kind="stable")
    ordered = np.take_along_axis(flat, order, 1)
    first = np.ones_like(ordered, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first &= ordered != PADDING
    # The column of every entry's item: the place of its first occurrence, counted over first occurrences only.
    is_first = np.zeros_like(first)
    np.put_along_axis(is_first, order, first, 1)
    number = is_first.cumsum(1) - 1
    opened = np.maximum.accumulate(np.where(first, np.arange(flat.shape[1]), 0), axis=1)
    column = np.take_along_axis(number, np.take_along_axis(order, opened, 1), 1)
    width = max(1, int(is_first.sum(1).max(initial=0)))
    candidates = np.full((shape[0], width), PADDING, np.int64)
    candidate_scores = np.full((shape[0], width, shape[2]), -np.inf)
    row, place = np.nonzero(ordered != PADDING)
    source = order[row, place]
    candidates[row, column[row, place]] = flat[row, source]
    candidate_scores[row, column[row, place], source % shape[2]] = flat_scores[row, source]
    return candidates, candidate_scores


def best(items: NDArray[np.int64], scores: Scores, k: int) -> Ranking:
    """The `k` best of `items` `[B, C]` by `scores`, the first column among equals, padded to k."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    kept, kept_scores = np.take_along_axis(items, order, 1), np.take_along_axis(scores, order, 1)
    missing = k - kept.shape[1]
    if missing > 0:
        kept = np.pad(kept, ((0, 0), (0, missing)), constant_values=PADDING)
        kept_scores = np.pad(kept_scores, ((0, 0), (0, missing)), constant_values=-np.inf)
    return Ranking(np.where(np.isneginf(kept_scores), PADDING, kept), kept_scores)
