"""Measure how near the states of one item in two modalities are, and whether one retrieves the other among all items.

States come as `[N, d]` of each modality, row i of both being item i; only their directions count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float32]

SHORTEST = 1e-8
"""A state that is shorter has no direction: its cosine with any other is 0, as in `info_nce`."""
TIE = 1e-6
"""Cosines that differ by less are equal: float32 cannot separate them."""
BLOCK = 1 << 22
"""Cosines held at a time: 16 MB, and about four times that on the way."""


def alignment_measures(
    first: NDArray[np.floating[Any]],
    second: NDArray[np.floating[Any]],
    names: tuple[str, str] = ("text", "image"),
    temperature: float = 0.1,
) -> dict[str, float]:
    """Alignment of the states `first` `[N, d]` and `second` `[N, d]` of the same N items, by name:

    - "distance/same": mean cosine distance (0 to 2) between the two states of an item; "distance/other": between those
      of different items, over all N (N - 1) pairs.
    - "recall@1/text→image", "recall@10/text→image" and the same from image to text (`names` says what the two are
      called): share of items whose other state is among the k nearest of all N; ties go against the item.
    - "info_nce": the implicit alignment loss over the whole catalog, nats, the sum of both directions; 2 ln N for
      states that are equal for all items. "items": N, so that chance for recall@k is k / N.

    Exact: one product of 2 N² d operations, in blocks. Raises ValueError for shapes or a temperature that do not fit.
    """
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, got {temperature}")
    a, b = _directions(first, second)
    n = len(a)
    same = np.einsum("nd,nd->n", a, b)
    own, other = _mean_distances(a, b, same)
    # Places counted from 1; -log softmax of the right one is the log of the sum of exp(cosine - right cosine).
    place_in_second, place_in_first = np.empty(n, np.int64), np.zeros(n, np.int64)
    nats, in_first = 0.0, np.full(n, -np.inf)
    rows = max(1, BLOCK // n)
    for begin in range(0, n, rows):
        part = slice(begin, begin + rows)
        cosines = a[part] @ b.T
        place_in_second[part] = (cosines >= same[part, None] - TIE).sum(1)
        place_in_first += (cosines >= same - TIE).sum(0)
        nats += logsumexp((cosines - same[part, None]) / temperature, axis=1).sum(dtype=np.float64)
        in_first = np.logaddexp(in_first, logsumexp((cosines - same) / temperature, axis=0))
    recalls = {
        f"recall@{k}/{source}→{target}": float((places <= k).mean())
        for source, target, places in (
            (names[0], names[1], place_in_second),
            (names[1], names[0], place_in_first),
        )
        for k in (1, 10)
    }
    return {
        "distance/same": own,
        "distance/other": other,
        **recalls,
        "info_nce": float(nats + in_first.sum()) / n,
        "items": float(n),
    }


def retrieved(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]], k: int = 10) -> NDArray[np.bool_]:
    """Whose state in `second` `[N, d]` is among the k nearest of all N to its state in `first` `[N, d]`: `[N]`.

    Their share is "recall@k" of `alignment_measures`, with ties as there. Raises ValueError for shapes that do not fit.
    """
    a, b = _directions(first, second)
    same = np.einsum("nd,nd->n", a, b)
    found = np.empty(len(a), np.bool_)
    rows = max(1, BLOCK // len(a))
    for begin in range(0, len(a), rows):
        part = slice(begin, begin + rows)
        found[part] = (a[part] @ b.T >= same[part, None] - TIE).sum(1) <= k
    return found


def mean_distances(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Mean cosine distance of the two states `[N, d]` of an item, and of those of different items: exact, and cheap.

    Raises ValueError for shapes that do not fit.
    """
    a, b = _directions(first, second)
    return _mean_distances(a, b, np.einsum("nd,nd->n", a, b))


def pair_distances(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]], seed: int = 0
) -> tuple[Floats, Floats]:
    """Cosine distances, `[N]` each: of the two states of every item, and of its first state to another item's second.

    The other item is random; every item serves once. Raises ValueError for shapes that do not fit.
    """
    a, b = _directions(first, second)
    order = np.random.default_rng(seed).permutation(len(a))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # the one before in a random circle: never the item itself
    same, different = (1 - np.einsum("nd,nd->n", a, chosen) for chosen in (b, b[other]))
    return same, different


def _directions(first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]) -> tuple[Floats, Floats]:
    """Both at unit length, float32; rows that are shorter than `SHORTEST` become zeros."""
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"the states must both be [N, d] with N >= 2, got {first.shape} and {second.shape}")
    return _unit(first), _unit(second)


def _mean_distances(a: Floats, b: Floats, same: Floats) -> tuple[float, float]:
    """The sum of the cosines of all pairs is the product of the sums; less `same`, it is that of different items."""
    own = same.sum(dtype=np.float64)
    others = a.sum(0, dtype=np.float64) @ b.sum(0, dtype=np.float64) - own
    return float(1 - own / len(a)), float(1 - others / (len(a) * (len(a) - 1)))


def _unit(states: NDArray[np.floating[Any]]) -> Floats:
    length = np.linalg.norm(states.astype(np.float32), axis=1, keepdims=True)
    unit: Floats = (states / np.where(length < SHORTEST, np.inf, length)).astype(np.float32)
    return unit
