"""Over-full leaves: no more than so many items keep one tuple of codes, and the surplus moves to where there is room.

The order is that of pairs, not of items: of all items that must move and all codewords with room, the pair with the
least error is settled first. `macrec.quantization.conflicts` serves its items one after another instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrec.quantization.tuples import Codebooks, Codes, Floats, checked, errors, pack, unpack


def redistribute(
    codes: NDArray[np.integer],
    vectors: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    cap: int = 1,
    first: NDArray[np.bool_] | None = None,
) -> Codes:
    """Codes `[N, L]` of which no tuple belongs to more than `cap` items.

    `codes` `[N, L]`, `vectors` `[N, d]` and `codebooks` as in `resolve_conflicts`. In every leaf, which is a tuple of
    codes, the `cap` items with the least (error, row) stay. The surplus of a parent, which is the tuples that share
    the first L - 1 codes, is settled by the least (error, row, last code) among its items and the leaves with room. An
    item whose parent has no room goes to the parent that is nearest at the level before, and so on upwards; these come
    last, by row. Where not all items have room, nothing moves. The items `first` `[N]` are settled before all
    others, as if they were alone.

    Raises DataError for arrays that do not fit each other, ValueError for a `cap` below 1.
    """
    if cap < 1:
        raise ValueError(f"cap must be 1 or more, got {cap}")
    table, books = checked(codes, vectors, codebooks)
    sizes = [len(book) for book in books]
    if len(table) > cap * math.prod(sizes):
        return table
    if first is not None:
        table[first] = redistribute(table[first], vectors[first], books, cap)
    error, last = errors(table, vectors, books), sizes[-1]
    keys = pack(table, sizes)
    later = np.zeros(len(keys), bool) if first is None else ~first
    order = np.lexsort((np.arange(len(keys)), error, later, keys))
    place = np.arange(len(keys)) - np.searchsorted(keys[order], keys[order])
    surplus = np.sort(order[place >= cap])
    loads = Loads(np.delete(keys, surplus), sizes, cap)
    after = keys.copy()
    homeless: list[int] = []
    surplus = surplus[np.argsort(keys[surplus] // last, kind="stable")]  # by parent, then by row
    parents, begins = np.unique(keys[surplus] // last, return_index=True)
    for parent, rows in zip(parents.tolist(), np.split(surplus, begins)[1:], strict=True):
        rest = left_by(table[rows, :-1], vectors[rows], books[:-1])
        cost = np.square(rest).sum(1)[:, None] + np.square(books[-1]).sum(1) - 2 * rest @ books[-1].T
        waiting = dict(enumerate(rows.tolist()))
        for pair in np.argsort(cost, axis=None, kind="stable").tolist():  # equal ones by row, then by code
            number, code = divmod(pair, last)
            if number in waiting and loads.room(parent * last + code, len(sizes)):
                after[waiting.pop(number)] = loads.add(parent * last + code)
            if not waiting:
                break
        homeless += waiting.values()
    for row in sorted(homeless):
        after[row] = loads.add(nearest(vectors[row].astype(np.float64), table[row].tolist(), books, loads))
    return unpack(after, sizes)


class Loads:
    """How many items lie below every prefix that has any; below a prefix of all L codes `cap` may."""

    def __init__(self, keys: NDArray[np.int64], sizes: Sequence[int], cap: int) -> None:
        self.below = [math.prod(sizes[depth:]) for depth in range(len(sizes) + 1)]
        self.most = [cap * leaves for leaves in self.below]
        self.items = [
            dict(zip(*(part.tolist() for part in np.unique(keys // leaves, return_counts=True)), strict=True))
            for leaves in self.below
        ]

    def room(self, prefix: int, depth: int) -> bool:
        """Whether one more item fits below the packed `prefix` of `depth` codes."""
        return bool(self.items[depth].get(prefix, 0) < self.most[depth])

    def add(self, key: int) -> int:
        """One more item with the tuple `key`, which is given back."""
        for depth, leaves in enumerate(self.below):
            prefix = key // leaves
            self.items[depth][prefix] = self.items[depth].get(prefix, 0) + 1
        return key


def left_by(codes: Codes, vectors: NDArray[np.floating], codebooks: Codebooks) -> Floats:
    """What the codewords of the given levels leave of every vector `[N, d]`."""
    rest = vectors.astype(np.float64)
    for level, book in enumerate(codebooks):
        rest = rest - book[codes[:, level]]
    return rest


def nearest(vector: Floats, own: Sequence[int], codebooks: Codebooks, loads: Loads) -> int:
    """The tuple with room that keeps most of the item's `own` codes; level by level the nearest codeword with room."""
    sizes = [len(book) for book in codebooks]
    depth = max(
        depth for depth in range(len(sizes)) if loads.room(int(pack(np.array([own[:depth]]), sizes[:depth])[0]), depth)
    )
    prefix = int(pack(np.array([own[:depth]]), sizes[:depth])[0])
    rest = vector - sum((codebooks[level][own[level]] for level in range(depth)), np.zeros_like(vector))
    for level in range(depth, len(sizes)):
        distance = np.square(rest - codebooks[level]).sum(1)
        open_to = [loads.room(prefix * sizes[level] + code, level + 1) for code in range(sizes[level])]
        code = int(np.where(open_to, distance, np.inf).argmin())
        prefix, rest = prefix * sizes[level] + code, rest - codebooks[level][code]
    return prefix
