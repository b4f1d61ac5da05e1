"""IDs for items that come later: the nearest codes that are free, by codebooks that stay, and no ID moves for them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.conflicts import settle
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.taken import Taken
from macrec.quantization.tuples import checked, pack, unpack

Ints = NDArray[np.int64]
Codebooks = Sequence[NDArray[np.floating]]

ROWS = 1 << 22
"""Pairs of items that are compared at once."""


def append_ids(
    old: SemanticIds,
    item_ids: pl.Series,
    codes: NDArray[np.integer],
    vectors: NDArray[np.floating],
    codebooks: Codebooks,
) -> tuple[SemanticIds, NDArray[np.bool_]]:
    """`old` `[N, L]` with the IDs of M further items behind them, and which of these moved from their `codes`, `[M]`.

    `codes` `[M, L]` are the nearest of the vectors `[M, d]` in the `codebooks`, one `[K_l, d]` per level, by which the
    old IDs were given. Items are served in their order: each takes its own codes where they are free, else those that
    the policy "least" would choose (`resolve_conflicts`): the free ones of least error that keep the longest prefix. So
    the rows of `old` stay to the bit, whatever comes, and to append A, then B, is to append A and B in one.

    Where `old` has a further level, which counts the items of an ID, a new item takes the lowest number that is free
    there, and moves when all of the ID are taken: a generator knows no more numbers than there are.

    Raises DataError for an item that `old` has or that comes twice, for codebooks that are not those of the IDs, and
    where there are more items than IDs.
    """
    check_new(old.item_ids, item_ids)
    table, books = checked(codes, vectors, codebooks)
    further = old.num_levels - len(books)
    if further not in (0, 1) or tuple(map(len, books)) != old.sizes[: len(books)]:
        what = f"codebooks of {listed(map(len, books))} codewords do not belong to IDs of {listed(old.sizes)}"
        raise DataError(what, field="codebooks", fix="give those that the IDs were made with")
    if further:  # a level of codewords of 0: which of them an item has changes nothing of what it decodes to
        table = np.column_stack([table, np.zeros(len(table), np.int32)])
        books.append(np.zeros((old.sizes[-1], vectors.shape[1])))
    wanted, given = pack(table, old.sizes), np.unique(pack(old.codes, old.sizes))
    if len(given) + len(wanted) > math.prod(old.sizes):
        free = math.prod(old.sizes) - len(given)
        what = f"{len(wanted):,} items are to be appended, and {free:,} IDs are free"
        raise DataError(what, field="codebooks", fix="append fewer, or train again with more codewords or levels")
    taken, keys = Taken(given, len(wanted)), wanted.copy()
    for row, key in enumerate(wanted.tolist()):
        here = slice(row, row + 1)
        if len(taken.within(key, 1)):
            keys[here] = settle(wanted[here], np.zeros(1, np.int64), taken, vectors[here], books)[0]
        else:
            taken.add(wanted[here])
    after = unpack(keys, old.sizes)
    moved = (after != table)[:, : len(codebooks)].any(1)
    names = pl.concat([old.item_ids, item_ids.cast(pl.String).rename(old.item_ids.name)])
    return replace(old, codes=np.concatenate([old.codes, after]), item_ids=names), moved


def check_new(known: pl.Series, item_ids: pl.Series, file: Path | None = None) -> None:
    """Raise DataError for an id that is `known`, and for one that comes twice."""
    ids = item_ids.cast(pl.String)
    for wrong, what in (
        (ids.is_in(known.implode()), "is in the catalog already"),
        (~ids.is_first_distinct(), "comes twice among the new items"),
    ):
        if wrong.any():
            row = int(wrong.arg_true()[0])
            fix = "leave it out, or give the item an id of its own"
            raise DataError(f'the id "{ids[row]}" {what}', file=file, row=row + 1, field="item_id", fix=fix)


def check_continued(old: SemanticIds, longer: SemanticIds) -> None:
    """Raise DataError unless `longer` begins with `old`: the same codebooks, items and IDs, and then any others."""
    fix = "use the IDs that were appended to those of this training"
    if (old.codebooks, old.sizes) != (longer.codebooks, longer.sizes):
        raise DataError("these IDs are of other codebooks than those that were learned", field="codebooks", fix=fix)
    if not longer.item_ids[: len(old)].equals(old.item_ids):
        raise DataError("these IDs do not begin with the items that were learned", field="item_id", fix=fix)
    if (moved := (longer.codes[: len(old)] != old.codes).any(1)).any():
        what = f'the item "{old.item_ids[int(moved.argmax())]}" has another ID here than the one that was learned'
        raise DataError(what, field="codes", fix=fix)


def nearest_by_codes(
    tables: Mapping[str, SemanticIds],
    codebooks: Mapping[str, Codebooks],
    present: Mapping[str, NDArray[np.bool_]],
    count: int = 1,
) -> tuple[Ints, Ints]:
    """For each of the last M items the `count` nearest of the N items before them, `[M, count]`, and how many first
    codes it shares with each, `[M, count]`.

    The nearest shares the longest prefixes, all tables added up; among equals its codes decode to what lies nearest to
    what those of the new item decode to, then the lower row. Modality → table of the IDs of all N + M items, codebooks,
    and which of the new items have the modality, `[M]`: only what an item has counts for it.
    """
    first = next(iter(tables.values()))
    new = len(next(iter(present.values())))
    known = len(first) - new
    if not 1 <= count <= known:
        raise ValueError(f"count must be from 1 to {known}, got {count}")
    nearest, shared = np.empty((new, count), np.int64), np.empty((new, count), np.int64)
    words = {name: decoded(table, codebooks[name]) for name, table in tables.items()}
    step = max(1, ROWS // known)
    for rows in (slice(at, min(at + step, new)) for at in range(0, new, step)):
        prefix = np.zeros((rows.stop - rows.start, known), np.int64)
        distance = np.zeros(prefix.shape)
        for name, table in tables.items():
            here = present[name][rows, None]
            alike = np.ones(prefix.shape, bool)
            for column in table.codes[:, : len(codebooks[name])].T:
                alike &= column[known:][rows, None] == column[:known]
                prefix += alike & here
            one, other = words[name][known:][rows], words[name][:known]
            apart = (one * one).sum(1)[:, None] - 2 * one @ other.T + (other * other).sum(1)
            distance += np.where(here, apart, 0.0)
        # The distance decides between equal prefixes only: it is brought below 1.
        order = distance.clip(min=0) / (2 * distance.max(initial=0) + 1e-12) - prefix
        for place in range(count):
            chosen = order.argmin(1)[:, None]
            nearest[rows, place], shared[rows, place] = chosen[:, 0], np.take_along_axis(prefix, chosen, 1)[:, 0]
            np.put_along_axis(order, chosen, np.inf, 1)
    return nearest, shared


def shared_prefixes(ids: SemanticIds, new: int, levels: int) -> Ints:
    """How many first codes, of `levels`, each of the last `new` items has in common with an item before them, `[M]`."""
    groups = ids.prefix_groups()[:, :levels]
    known = len(ids) - new
    shared: Ints = np.stack([np.isin(one[known:], one[:known]) for one in groups.T], 1).sum(1, dtype=np.int64)
    return shared


def decoded(ids: SemanticIds, codebooks: Codebooks) -> NDArray[np.float64]:
    """The sum `[N, d]` of the codewords of every item, at the levels that have codewords."""
    total: NDArray[np.float64] = np.sum(
        [np.asarray(words, np.float64)[ids.codes[:, level]] for level, words in enumerate(codebooks)], axis=0
    )
    return total


def listed(numbers: Iterable[int]) -> str:
    """Sizes as "8 × 8 × 8"."""
    return " × ".join(map(str, numbers))
