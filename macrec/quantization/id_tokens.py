"""Codes as written in files: lists of numbers, lists of tokens "<a_183>", or either in one text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import first_true
from macrec.errors import DataError

MOST_CODEWORDS = 1 << 31
"""Codewords of a codebook, at most: codes are int32."""

NAME = r"[A-Za-z][A-Za-z0-9]{0,39}(?:_[A-Za-z0-9]{1,40}){0,9}"
"""What a codebook may be called in a file, so that "<NAME_CODE>" can be read again."""

Place = Callable[[int], int | str]
"""What the n-th item is called in an error: its row, or its key."""

TOKEN = rf"<({NAME})_([0-9]+)>"
TOKENS = rf"^(?:<{NAME}_[0-9]+>\s*)+$"
NUMBERS = r"^[\[(]?\s*[0-9]+(?:\s*[\s,;|]\s*[0-9]+)*\s*[\])]?$"
WRITTEN = 'write ["<a_1>", "<b_2>"], "<a_1> <b_2>" or [1, 2]'


def codes_of(values: pl.Series, path: Path, place: Place) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """The codes `[N, L]` in a column of lists or texts, and what tokens call the codebooks (None for plain numbers).

    Raises DataError for items with different numbers of codes, for codes that are no whole numbers from 0 up, and for
    tokens that name another codebook than those of the first item.
    """
    kind = values.dtype
    if isinstance(kind, pl.Array):
        values, kind = values.arr.to_list(), pl.List(kind.inner)
    if kind == pl.String:
        values, kind = from_texts(values.str.strip_chars(), path, place), pl.List(pl.String)
    inner = kind.inner if isinstance(kind, pl.List) else None
    if inner is not None and (inner == pl.Null or pl.Series([], dtype=inner).dtype.is_integer()):
        return matrix(values.cast(pl.List(pl.Int64), strict=False), path, place), None
    if inner != pl.String:
        what = "the column holds neither whole numbers nor tokens, one per level of an item"
        raise DataError(what, file=path, field="codes", fix=WRITTEN)
    if (numbers := values.list.eval(pl.element().str.contains(r"^[0-9]+$")).list.all().fill_null(False)).all():
        return matrix(values.list.eval(pl.element().cast(pl.Int64, strict=False)), path, place), None
    tokens = values.list.eval(pl.element().str.contains(f"^{TOKEN}$")).list.all().fill_null(True)
    if not tokens.all():
        row = first_true(~tokens & ~numbers if (~tokens & ~numbers).any() else ~tokens)
        raise misread(values[row].to_list(), path, place(row))
    names = values.list.eval(pl.element().str.extract(TOKEN, 1))
    codes = matrix(values.list.eval(pl.element().str.extract(TOKEN, 2).cast(pl.Int64, strict=False)), path, place)
    spelled = names.list.join(" ")
    if (differing := spelled != spelled[0]).any():
        row = first_true(differing)
        what = f"the levels are called {spelled[row]} here and {spelled[0]} elsewhere"
        raise DataError(what, file=path, row=place(row), fix="name every level by one letter")
    return codes, tuple(names[0])


def from_texts(values: pl.Series, path: Path, place: Place) -> pl.Series:
    """The parts of texts such as "<a_1> <b_2>" (ULMRec), "<a_1><b_2>", "1 2" and "[1, 2]"."""
    tokens = values.str.contains(TOKENS).fill_null(False)
    if tokens.all():
        return values.str.extract_all(r"<[^>]+>")
    odd = ~tokens & ~values.str.contains(NUMBERS).fill_null(False)
    if odd.any() or tokens.any():
        row = first_true(odd if odd.any() else tokens != tokens[0])
        raise misread(values[row], path, place(row))
    return values.str.extract_all(r"[0-9]+")


def misread(value: Any, path: Path, row: int | str) -> DataError:
    """The error for something that is no list of codes."""
    return DataError(f"{str(value)[:60]} is no list of tokens or codes", file=path, row=row, fix=WRITTEN)


def column_of(values: Sequence[Any], path: Path, place: Place) -> pl.Series:
    """JSON values as one column: all texts, all lists of texts, or all lists of whole numbers."""
    if set(map(type, values)) == {str}:
        return pl.Series(values, dtype=pl.String)
    inner = next((type(part) for value in values if type(value) is list for part in value), int)
    for row, value in enumerate(values):
        if type(value) is not list or inner not in (str, int) or not set(map(type, value)) <= {inner}:
            raise misread(value, path, place(row))
        if inner is int and value and not (min(value) >= 0 and max(value) < MOST_CODEWORDS):
            raise impossible(path, place(row))
    return pl.Series(list(values), dtype=pl.List(pl.Int64 if inner is int else pl.String))


def matrix(codes: pl.Series, path: Path, place: Place) -> NDArray[np.int64]:
    """A list column as `[N, L]`. Raises DataError for items of different length and for codes that cannot be such."""
    lengths = codes.list.len().fill_null(0)
    if len(codes) == 0 or lengths[0] == 0:
        raise DataError("there are no codes", file=path, field="codes", fix="give every item at least one")
    if (odd := lengths != lengths[0]).any():
        row = first_true(odd)
        what = f"the item has {lengths[row]} codes where the first has {lengths[0]}"
        raise DataError(what, file=path, row=place(row), field="codes", fix="give every item one code per level")
    flat = codes.explode(empty_as_null=False)
    if (bad := (flat < 0).fill_null(True) | (flat >= MOST_CODEWORDS).fill_null(True)).any():
        raise impossible(path, place(first_true(bad) // int(lengths[0])))
    return flat.to_numpy().reshape(len(codes), -1)


def impossible(path: Path, row: int | str) -> DataError:
    """The error for a code that no codebook can have."""
    what = "a code is missing, negative or too large"
    return DataError(what, file=path, row=row, field="codes", fix=f"use whole numbers from 0 to {MOST_CODEWORDS - 1:,}")


def check_names(codebooks: tuple[str, ...], file: Path) -> None:
    """Raise DataError unless every codebook has a `NAME` that a file can hold."""
    for name in codebooks:
        if not re.fullmatch(NAME, name):
            what = f"a codebook is called {name[:40]!r}"
            fix = "name it by letters, digits and single underscores, a letter first"
            raise DataError(what, file=file, field="codebooks", fix=fix)
