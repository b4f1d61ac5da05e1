"""Convert the columns of tables to the few types that a dataset has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from macrec.data.reading.values import as_texts
from macrec.data.text import clean_column, clean_lists, split_categories
from macrec.errors import DataError


def kind_name(dtype: pl.DataType) -> str:
    """What a column of a type holds, in plain words.

    >>> kind_name(pl.List(pl.List(pl.String))), kind_name(pl.Datetime("ms"))
    ('lists of lists of text', 'dates or times')
    """
    if isinstance(dtype, pl.List | pl.Array):
        return f"lists of {kind_name(pl.Series(dtype=dtype.inner).dtype)}"
    if isinstance(dtype, pl.Struct):
        return f"objects with {', '.join(field.name for field in dtype.fields)}"
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype == pl.String:
        return "text"
    names = {pl.Boolean: "true and false", pl.Binary: "bytes", pl.Null: "nothing", pl.Object: "Python objects"}
    if dtype.is_integer():
        return "whole numbers"
    return "numbers" if dtype.is_numeric() else "dates or times" if dtype.is_temporal() else names[dtype.base_type()]


def says_nothing(column: pl.Series) -> bool:
    """Whether a column is all null (or NaN, as pandas writes it)."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    return column.null_count() == len(column)


def is_id_type(dtype: pl.DataType) -> bool:
    """Whether a column of this type can hold ids: text or whole numbers."""
    return dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum) or dtype.is_integer()


def check_id_column(column: pl.Series, file: Path | str, first_row: int = 1) -> None:
    """Raise DataError unless every row holds an id: text or a whole number, not empty, without a zero character.

    `first_row` is the number of the first row as an editor shows it.
    """
    if not is_id_type(column.dtype):
        what = f"the column holds {kind_name(column.dtype)} where an id (text or whole number) is needed"
        raise DataError(what, file=file, field=column.name, fix="convert it")
    broken = column.is_null()
    if not column.dtype.is_integer():
        distinct = column.unique().drop_nulls().cast(pl.String)
        bad = distinct.filter((distinct == "") | distinct.str.contains("\0", literal=True))
        if len(bad):
            broken |= column.cast(pl.String).is_in(bad.implode())
    if broken.any():
        row = int(broken.arg_true()[0])
        empty = column[row] is None or column[row] == ""
        what = "the id is empty" if empty else f"the id {column[row]!r} holds a zero character"
        raise DataError(what, file=file, row=first_row + row, field=column.name, fix="fill it in or drop the row")


def text_column(column: pl.Series, file: Path | str) -> pl.Series:
    """A column of texts, or of lists of texts, as clean text; nulls become ""."""
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct):
        column = flat_lists(column, file)
    elif column.dtype.is_numeric():  # "1984" is a title
        column = (column.fill_nan(None) if column.dtype.is_float() else column).cast(pl.String)
    elif column.dtype != pl.String:
        what = f"the column holds {kind_name(column.dtype)} where text is needed"
        raise DataError(what, file=file, field=column.name, fix="convert it")
    return clean_column(column)


def list_column(column: pl.Series, file: Path | str) -> pl.Series:
    """A column of lists of texts, however nested, or of texts that hold several, as lists of clean texts."""
    if isinstance(column.dtype, pl.Categorical | pl.Enum):
        column = column.cast(pl.String)
    if column.dtype == pl.String:
        column = split_categories(column)
    elif isinstance(column.dtype, pl.List | pl.Array | pl.Struct):
        column = flat_lists(column, file)
    else:
        what = f"the column holds {kind_name(column.dtype)} where lists of text are needed"
        raise DataError(what, file=file, field=column.name, fix="convert it")
    return clean_lists(column)


def flat_lists(column: pl.Series, file: Path | str) -> pl.Series:
    """Nested texts as one list per row."""
    if column.dtype == pl.List(pl.String):
        return column.fill_null([])
    rows: list[list[str]] = []
    for row, value in enumerate(column.to_list(), 1):
        rows.append(flat_value(value, file, row, column.name))
    return pl.Series(column.name, rows, pl.List(pl.String))


def flat_value(value: Any, file: Path | str, row: int | str, field: str) -> list[str]:
    """`as_texts` whose complaint names the place."""
    try:
        return as_texts(value)
    except (ValueError, TypeError) as error:
        raise DataError(str(error), file=file, row=row, field=field, fix="give a text or a list of texts") from error
