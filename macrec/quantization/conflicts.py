"""Conflicts: items that share a semantic ID, and their resolution at the least added distortion.

Of every group that shares a tuple of codes the best reconstructed item keeps it. The others queue up, best
reconstructed first, and each takes the free tuple that reconstructs it best. What "best" ranges over is widened only
on demand: first the tuples that differ in the last level, then, where all of those are taken, in the last two levels,
and so on. An item therefore keeps as long a prefix of its codes as it can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.taken import Taken
from macrec.quantization.tuples import Codebooks, Codes, Floats, Keys, checked, errors, pack, residuals, unpack

CHUNK = 1 << 20
"""Distances to last-level codewords held at a time: 8 MB."""


@dataclass(frozen=True)
class ConflictReport:
    """What resolving the conflicts of `items` items took.

    `groups`: tuples of codes that several items shared. `rate_before`, `rate_after`: (N - distinct tuples) / N.
    `moved`: items whose codes changed. `added_distortion`: growth of the squared reconstruction error, mean over all N
    items. `deepest`: how many levels, counted from the last, had to be opened for some item (0: nothing moved).
    """

    items: int
    groups: int
    rate_before: float
    rate_after: float
    moved: int
    added_distortion: float
    deepest: int


def resolve_conflicts(
    codes: NDArray[np.integer],
    vectors: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    *,
    mode: Literal["greedy", "hungarian"] = "greedy",
    saturated: Literal["raise", "extra_level"] = "raise",
    first: NDArray[np.bool_] | None = None,
) -> tuple[Codes, ConflictReport]:
    """Give every item codes of its own: `[N, L]` int32, and a report.

    `codes` `[N, L]`: the codes chosen so far; `vectors` `[N, d]`: the encoder outputs that they reconstruct as a sum of
    codewords; `codebooks`: one `[K_l, d]` per level. The error of an item is its squared distance to that sum.

    mode "greedy" guarantees, for any input that fits:
    - Tuples are distinct. Items without conflict, and of each group the one with the least error (then the lowest
      row), keep their codes.
    - The others are served one after another by (error, row). Each receives, of the tuples free at its turn that share
      its first L - m codes, the one with the least error, ties by the lower tuple; m is the smallest number of opened
      levels for which one is free. The sum over all items is not a global minimum: it depends on that order.
    - Errors are float64; candidates whose errors agree to rounding count as tied in no particular order.

    mode "hungarian" first assigns all items of every bucket (equal first L - 1 codes) that holds a conflict and fits
    in the last level to last codes at the least total error of that bucket, moving items without conflict too where
    that pays. The remaining buckets go the greedy way.

    The items `first` `[N]` are settled before all others, as if they were alone; the others then find those tuples
    taken and are served the greedy way.

    More items than tuples: DataError, or with saturated="extra_level" codes `[N, L + 1]`, where nothing moves and the
    last column counts the items of a group by (error, row) from 0, those of `first` before the others.

    Cost: one sort of N keys; per moved item O(K d) for one opened level, O(K^2) for two, O(K^m) for m. Exact duplicates
    with equal codes that stand next to each other in the queue are served together, for the price of one.

    Raises DataError for arrays that do not fit each other, and ValueError where the tuples outnumber 2^62.
    """
    if mode not in ("greedy", "hungarian"):
        raise ValueError(f'mode must be "greedy" or "hungarian", got {mode!r}')
    if saturated not in ("raise", "extra_level"):
        raise ValueError(f'saturated must be "raise" or "extra_level", got {saturated!r}')
    table, codebooks = checked(codes, vectors, codebooks)
    sizes = [len(codebook) for codebook in codebooks]
    n = len(table)
    before = pack(table, sizes)
    distinct, counts = np.unique(before, return_counts=True)
    groups, rate = int((counts > 1).sum()), (n - len(distinct)) / max(n, 1)
    if n > math.prod(sizes):
        if saturated == "raise":
            raise DataError(
                f"{n} items cannot have codes of their own: {' x '.join(map(str, sizes))} codes give only "
                f"{math.prod(sizes)} tuples",
                fix="use larger or more codebooks",
            )
        longer = np.column_stack([table, _places(before, vectors, table, codebooks, first)])
        return longer, ConflictReport(n, groups, rate, (n - len(np.unique(longer, axis=0))) / n, 0, 0.0, 0)

    if first is None:
        after, deepest = _resolved(before, vectors, codebooks, mode)
    else:
        after, rows = before.copy(), np.flatnonzero(first)
        after[rows], deepest = _resolved(before[rows], vectors[rows], codebooks, mode)
        after, deeper = _resolved(after, vectors, codebooks, "greedy", first)
        deepest = max(deepest, deeper)

    moved = np.flatnonzero(after != before)
    resolved = unpack(after, sizes)
    added = errors(resolved[moved], vectors[moved], codebooks) - errors(table[moved], vectors[moved], codebooks)
    rate_after = (n - len(np.unique(after))) / max(n, 1)
    deepest = max(deepest, int(len(moved) > 0))
    return resolved, ConflictReport(n, groups, rate, rate_after, len(moved), float(added.sum()) / max(n, 1), deepest)


def _resolved(
    keys: Keys, vectors: NDArray[np.floating], codebooks: Codebooks, mode: str, first: NDArray[np.bool_] | None = None
) -> tuple[Keys, int]:
    """The keys `[N]` of all items when each has one of its own, and the most levels opened for one."""
    distinct, counts = np.unique(keys, return_counts=True)
    if mode == "hungarian":
        keys = _assign_buckets(keys, distinct[counts > 1], vectors, codebooks)
        distinct, counts = np.unique(keys, return_counts=True)
    queue = _queue(keys, distinct[counts > 1], vectors, codebooks, first)
    return settle(keys, queue, Taken(distinct, len(queue)), vectors, codebooks)


def _ranked(
    keys: Keys,
    shared: Keys,
    vectors: NDArray[np.floating],
    codebooks: Codebooks,
    first: NDArray[np.bool_] | None,
) -> tuple[Keys, Floats, Keys]:
    """Items whose key is among the sorted `shared`, by (key, error, row): rows, errors and places in the group.

    Those of `first` `[N]` come before the others of their group.
    """
    if not len(shared):
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)
    rows = np.flatnonzero(shared[np.searchsorted(shared, keys).clip(max=len(shared) - 1)] == keys)
    error = errors(unpack(keys[rows], [len(codebook) for codebook in codebooks]), vectors[rows], codebooks)
    later = np.zeros(len(rows), bool) if first is None else ~first[rows]
    order = np.lexsort((rows, error, later, keys[rows]))
    rows, error = rows[order], error[order]
    place = np.arange(len(rows)) - np.searchsorted(keys[rows], keys[rows])
    return rows, error, place


def _queue(
    keys: Keys,
    shared: Keys,
    vectors: NDArray[np.floating],
    codebooks: Codebooks,
    first: NDArray[np.bool_] | None,
) -> Keys:
    """Rows of the items that must move, by (error, row): all of a group but its best."""
    rows, error, place = _ranked(keys, shared, vectors, codebooks, first)
    rows, error = rows[place > 0], error[place > 0]
    return rows[np.lexsort((rows, error))]


def _places(
    keys: Keys,
    vectors: NDArray[np.floating],
    table: Codes,
    codebooks: Codebooks,
    first: NDArray[np.bool_] | None,
) -> Codes:
    """The place of every item in its group by (error, row), from 0."""
    rows, _, place = _ranked(keys, np.unique(keys), vectors, codebooks, first)
    places = np.empty(len(table), np.int32)
    places[rows] = place
    return places


def settle(
    keys: Keys, queue: Keys, taken: Taken, vectors: NDArray[np.floating], codebooks: Codebooks
) -> tuple[Keys, int]:
    """Serve the queue in order; the keys of all items `[N]` afterwards, and the most levels opened for one."""
    if not len(queue):
        return keys, 0
    sizes = [len(codebook) for codebook in codebooks]
    levels, last = len(codebooks), codebooks[-1]
    codes, targets = unpack(keys[queue], sizes), vectors[queue].astype(np.float64)
    # A run: neighbors in the queue that are the same vector with the same codes, so with the same candidates.
    differs = (targets[1:] != targets[:-1]).any(1) | (keys[queue[1:]] != keys[queue[:-1]])
    starts = np.concatenate(([0], np.flatnonzero(differs) + 1))
    bounds = np.append(starts, len(queue)).tolist()
    after, deepest = keys.copy(), 1
    half = (last * last).sum(1) / 2
    chunk = max(1, CHUNK // len(last))
    for run, (begin, end) in enumerate(pairwise(bounds)):
        if run % chunk == 0:
            ahead = starts[run : run + chunk]
            # Squared distance up to a factor of 2 and a constant of the item, which do not change the order.
            scores = half - residuals(codes[ahead], targets[ahead], codebooks[:-1]) @ last.T
        for opened in range(1, levels + 1):
            span = math.prod(sizes[levels - opened :])
            low = int(keys[queue[begin]]) // span * span
            if opened == 1:
                chosen = low + _best_free(scores[run % chunk], taken.within(low, span), end - begin)[0]
            else:
                prefix = codes[begin : begin + 1, : levels - opened]
                rest = residuals(prefix, targets[begin : begin + 1], codebooks[: levels - opened])[0]
                chosen = _best_of_levels(rest, codebooks[levels - opened :], low, taken, end - begin)
            if len(chosen):
                after[queue[begin : begin + len(chosen)]] = chosen
                taken.add(chosen)
                begin += len(chosen)
                deepest = max(deepest, opened)
            if begin == end:
                break
    return after, deepest


def _best_free(scores: Floats, taken: Keys, n: int) -> tuple[Keys, Floats]:
    """Up to n places with the lowest scores, lowest first, ties by place, without the taken; and their scores."""
    scores[taken] = np.inf
    if n == 1:
        best = np.array([scores.argmin()])
    elif n < len(scores) // 4:
        near = np.flatnonzero(scores <= np.partition(scores, n - 1)[n - 1])
        best = near[np.argsort(scores[near], kind="stable")[:n]]
    else:
        best = np.argsort(scores, kind="stable")[:n]
    best_scores = scores[best]
    free = best_scores < np.inf
    return best[free], best_scores[free]


def _best_of_levels(rest: Floats, codebooks: Codebooks, low: int, taken: Taken, n: int) -> Keys:
    """Up to n free keys with the least error when all levels of `codebooks` (two or more) are open, best first.

    `rest` `[d]` is what the kept prefix leaves, `low` the first key of that prefix. The last two levels are searched
    jointly: |r - a - b|^2 = |r|^2 + (|a|^2 - 2 r.a) + (|b|^2 - 2 r.b) + 2 a.b, and a.b is shared by all.
    """
    first, second = codebooks[-2:]
    cross = 2 * first @ second.T
    square, square_second = (first * first).sum(1), (second * second).sum(1)
    span = cross.size
    keys, errors = np.zeros(0, np.int64), np.zeros(0)
    for base, left in zip(
        range(low, low + math.prod(map(len, codebooks)), span), _leads(rest, codebooks[:-2]), strict=True
    ):
        used = taken.within(base, span)
        if len(used) == span:
            continue
        line = square_second - 2 * second @ left
        scores = cross + ((square - 2 * first @ left + left @ left)[:, None] + line)
        places, values = _best_free(scores.ravel(), used, n)
        keys, errors = np.concatenate((keys, base + places)), np.concatenate((errors, values))
        best = np.argsort(errors, kind="stable")[:n]
        keys, errors = keys[best], errors[best]
    return keys


def _leads(rest: Floats, codebooks: Codebooks) -> Iterator[Floats]:
    """What every combination of codewords, in the order of their keys, leaves of `rest` `[d]`."""
    for chosen in product(*codebooks):
        yield rest - sum(chosen, np.zeros_like(rest))


def _assign_buckets(keys: Keys, shared: Keys, vectors: NDArray[np.floating], codebooks: Codebooks) -> Keys:
    """Keys after the minimum-cost assignment of every bucket that holds a shared key and fits in the last level."""
    from scipy.optimize import linear_sum_assignment  # takes half a second, and not everyone asks

    last = codebooks[-1]
    prefixes, crowded = keys // len(last), np.unique(shared // len(last))
    order = np.argsort(prefixes, kind="stable")
    begins = np.searchsorted(prefixes[order], crowded)
    ends = np.searchsorted(prefixes[order], crowded, side="right")
    after = keys.copy()
    half = (last * last).sum(1) / 2
    sizes = [len(codebook) for codebook in codebooks]
    for prefix, begin, end in zip(crowded, begins, ends, strict=True):
        if end - begin <= len(last):
            rows = order[begin:end]
            rest = residuals(unpack(keys[rows], sizes), vectors[rows], codebooks[:-1])
            item, code = linear_sum_assignment(half - rest @ last.T)
            after[rows[item]] = prefix * len(last) + code
    return after
