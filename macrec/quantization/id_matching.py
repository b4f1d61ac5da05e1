"""Which item of a catalog a semantic ID belongs to: one rule for everything that brings IDs and a dataset together."""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl


class Matching(NamedTuple):
    """How IDs and a catalog of N items go together.

    `names` `[N]` is what the IDs call the items of the catalog, row by row: their ids, or their row numbers. `rule`
    says which, and `sentence` the same in words, with what else the keys could mean.
    """

    names: pl.Series
    rule: Literal["item id", "row"]
    sentence: str


def match_items(keys: pl.Series, catalog: pl.Series) -> Matching:
    """How IDs with these keys belong to the items of a catalog, whose ids are `catalog` `[N]` in the order of its rows.

    By item id; but where an item of the catalog is not among the keys, and these are exactly the numbers 0 to N-1, they
    are the rows of the catalog, as in the index files of LC-Rec, LETTER, MQL4GRec and MiniOneRec.
    """
    ids = catalog.cast(pl.String).rename("item_id")
    rows = numbering(len(ids))
    known = int(ids.is_in(keys.implode()).sum())
    numbered = len(keys) == len(ids) and is_numbering(keys)
    if numbered and known < len(ids):
        also = f", though {known:,} of the keys are item ids as well" if known else ""
        sentence = f"matched by row: the keys are 0 to {len(ids) - 1:,}, the rows of the {len(ids):,} items{also}"
        return Matching(rows, "row", sentence)
    other = numbered and not ids.equals(rows)
    sentence = "matched by item id" + ("; as row numbers, the same keys would mean other items" if other else "")
    return Matching(ids, "item id", sentence)


def numbering(items: int) -> pl.Series:
    """The row numbers 0 to N-1 as text."""
    return pl.int_range(items, eager=True).cast(pl.String).rename("item_id")


def is_numbering(keys: pl.Series) -> bool:
    """Whether keys are 0 to N-1 in any order, each once."""
    return keys.sort().equals(numbering(len(keys)).sort())


def first_gap(keys: pl.Series) -> int | None:
    """The first number that lacks where keys are whole numbers from 0 up, and most of them are there; else None."""
    if not keys.str.contains(r"^(?:0|[1-9][0-9]{0,8})$").all():
        return None
    numbers = keys.cast(pl.Int64).unique().sort()
    lacking = int(numbers[-1]) + 1 - len(numbers) if len(numbers) else 0
    if numbers.is_empty() or numbers[0] != 0 or not 0 < lacking < len(numbers):
        return None
    return int((numbers != pl.int_range(len(numbers), eager=True)).arg_true()[0])
