"""What every system hands over: items, best first. Metrics see rankings and targets, never codes or tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from macrec.data.split import PADDING

Scores = NDArray[np.floating[Any]]

NOT_RANKED = 0
"""The rank of a target that a ranking does not contain. The best rank is 1."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Recommendations for B histories: up to k items each, best first.

    `items` `[B, k]` int64, filled up with `PADDING` after the last item of a row; `scores` `[B, k]` floating, never
    rising along a row, -inf on padding. No item occurs twice in a row.

    Raises ValueError, naming the first bad row, where any of that does not hold.
    """

    items: NDArray[np.int64]
    scores: Scores

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.scores.shape or self.items.shape[1] == 0:
            shapes = f"{self.items.shape} and {self.scores.shape}"
            raise ValueError(f"items and scores must be [B, k] both, with k at least 1, got {shapes}")
        if self.items.dtype != np.int64 or not np.issubdtype(self.scores.dtype, np.floating):
            raise TypeError(f"items must be int64 and scores floating, got {self.items.dtype} and {self.scores.dtype}")
        padded = self.items == PADDING
        ordered = np.sort(self.items, axis=1)
        for what, wrong in (
            ("has a negative item other than the padding", self.items < PADDING),
            ("has an item after padding", padded[:, :-1] & ~padded[:, 1:]),
            ("has padding whose score is not -inf, or an item whose score is", padded != np.isneginf(self.scores)),
            ("has a score that rises or is no number", ~(self.scores[:, 1:] <= self.scores[:, :-1])),
            ("has a score that is no number", np.isnan(self.scores)),
            ("holds an item twice", (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != PADDING)),
        ):
            if wrong.any():
                raise ValueError(f"row {int(wrong.any(axis=1).argmax())} of the ranking {what}")

    @classmethod
    def stack(cls, parts: Sequence[Ranking]) -> Ranking:
        """One ranking of all rows of `parts`, which must be equally wide."""
        return cls(np.concatenate([part.items for part in parts]), np.concatenate([part.scores for part in parts]))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def k(self) -> int:
        """Places in each row, filled or not."""
        return int(self.items.shape[1])

    def rank_of(self, targets: NDArray[np.integer]) -> NDArray[np.int64]:
        """The place of each row's target, `[B]`, 1 is best and `NOT_RANKED` means that the row does not hold it.

        >>> Ranking(np.array([[4, 2], [3, -1]]), np.array([[1.0, 0.5], [2.0, -np.inf]])).rank_of(np.array([2, 2]))
        array([2, 0])
        """
        if targets.shape != (len(self),) or (targets < 0).any():
            raise ValueError(f"one item per row is needed as target: {len(self)} rows, targets {targets.shape}")
        hits = self.items == targets[:, None]
        return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, NOT_RANKED)


def top_k(
    scores: Scores, k: int, allowed: NDArray[np.bool_] | None = None, exclude: NDArray[np.integer] | None = None
) -> Ranking:
    """The k best items of every row of `scores` `[B, N]`, among equals the lowest item number first.

    `allowed` `[N]` or `[B, N]` says which items may be recommended; `exclude` `[B, T]` holds item rows that may not,
    such as `Samples.padded()` (`PADDING` excludes nothing). An item scored -inf is never recommended, so rows with too
    few items end in padding. k is cut to N.

    Raises ValueError for a score that is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if np.isnan(scores).any():
        raise ValueError("a score is not a number")
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf).astype(scores.dtype, copy=False)
    if exclude is not None:
        scores = scores.copy() if allowed is None else scores
        rows, places = np.nonzero(exclude != PADDING)
        scores[rows, exclude[rows, places]] = -np.inf
    num_rows, num_items = scores.shape
    k = min(k, num_items)
    # Everything above the k-th best score is in; of those equal to it the first fill what room is left.
    worst = np.partition(scores, num_items - k, axis=1)[:, num_items - k, None]
    chosen, tied = scores > worst, scores == worst
    room = k - np.count_nonzero(chosen, axis=1)
    crowded = np.flatnonzero(np.count_nonzero(tied, axis=1) > room)
    tied[crowded] &= tied[crowded].cumsum(axis=1) <= room[crowded, None]
    items = np.nonzero(chosen | tied)[1].reshape(num_rows, k)
    top = np.take_along_axis(scores, items, axis=1)
    order = np.argsort(-top, axis=1, kind="stable")
    items, top = np.take_along_axis(items, order, axis=1), np.take_along_axis(top, order, axis=1)
    return Ranking(np.where(np.isneginf(top), PADDING, items), top)


def exact_ranks(
    scores: Scores,
    targets: NDArray[np.integer],
    exclude: NDArray[np.integer] | None = None,
    ties: Literal["item", "pessimistic"] = "item",
) -> NDArray[np.int64]:
    """The rank of each row's target among all N items of `scores` `[B, N]`, `[B]`, without sorting anything.

    Among equal scores the lowest item number comes first ("item", the order of `top_k`), or the target comes after
    all others ("pessimistic": no system gains by giving one score to many). `exclude` as in `top_k`. A target that is
    excluded, or scored -inf, is `NOT_RANKED`.

    >>> scores, targets = np.array([[3.0, 5.0, 3.0]]), np.array([0])
    >>> exact_ranks(scores, targets), exact_ranks(scores, targets, ties="pessimistic")
    (array([2]), array([3]))
    """
    rows, place = np.arange(len(scores)), targets[:, None]
    own = scores[rows, targets][:, None]
    if np.isnan(scores).any():
        raise ValueError("a score is not a number")
    ranks = np.count_nonzero(scores >= own, axis=1) if ties == "pessimistic" else _at_or_above(scores, own, place)
    missing = np.isneginf(own[:, 0])
    if exclude is not None:
        # What is excluded is taken off the count, each item once: cheaper than a masked copy of all scores.
        out = np.sort(exclude, axis=1)
        counts = (out != PADDING) & (np.diff(out, axis=1, prepend=PADDING) != 0)
        theirs = np.take_along_axis(scores, np.where(counts, out, 0), axis=1)
        ahead = theirs >= own if ties == "pessimistic" else (theirs > own) | ((theirs == own) & (out < place))
        ranks = ranks - np.count_nonzero(counts & ahead, axis=1)
        missing |= (exclude == place).any(axis=1)
    return np.where(missing, NOT_RANKED, ranks)


def _at_or_above(scores: Scores, own: Scores, place: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many items come before each row's target, or are it, when ties go by item number."""
    tied = scores == own
    first = np.arange(scores.shape[1]) <= place
    counts: NDArray[np.int64] = np.count_nonzero(scores > own, axis=1) + np.count_nonzero(tied & first, axis=1)
    return counts
