"""The text of an item: its fields, cleaned, one by one or in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import TEXT_COLUMNS, Dataset
from macrec.errors import DataError


def clean(column: str) -> pl.Expr:
    """One text column for an encoder: lists joined by ", ", white space single, no dot at the end."""
    text = pl.col(column).list.join(", ") if column == "categories" else pl.col(column)
    return text.str.replace_all(r"\s+", " ").str.strip_chars_start(" ").str.strip_chars_end(" .")


def field_texts(
    dataset: Dataset, fields: Sequence[str] = TEXT_COLUMNS, rows: NDArray[np.integer] | None = None
) -> pl.DataFrame:
    """The cleaned text of each field, one column per field, "" where there is none; `rows` `[n]` default to all."""
    check_fields(fields)
    items = dataset.items.select(fields)
    return (items if rows is None else items[rows]).select(clean(name).alias(name) for name in fields)


def item_texts(
    dataset: Dataset, fields: Sequence[str] = TEXT_COLUMNS, rows: NDArray[np.integer] | None = None
) -> list[str]:
    """One text per item: its fields that are not empty, joined by ". "; "" for an item without any.

    `rows` `[n]` picks items (default: all). Raises DataError for a field that is not a text column.
    """
    return field_texts(dataset, fields, rows).select(joined(fields))["text"].to_list()


def joined(fields: Sequence[str]) -> pl.Expr:
    """The columns of `field_texts` in one, named "text"."""
    filled = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in fields]
    return pl.concat_str(filled, separator=". ", ignore_nulls=True).alias("text")


def check_fields(fields: Sequence[str]) -> None:
    """Raise DataError unless `fields` are some of the text columns, each once.

    Other columns are refused because the content fingerprint of a dataset, by which vectors are kept, does not
    cover them.
    """
    unknown = [name for name in fields if name not in TEXT_COLUMNS]
    if unknown or not fields or len(set(fields)) < len(fields):
        raise DataError(
            f"the fields {', '.join(fields) or '(none)'} cannot be encoded",
            field="fields",
            fix=f"choose some of {', '.join(TEXT_COLUMNS)}, each once",
        )


def text_lengths(dataset: Dataset, fields: Sequence[str]) -> NDArray[np.integer]:
    """Characters in the text of each item, `[N]`."""
    return field_texts(dataset, fields).select(joined(fields).str.len_chars())["text"].to_numpy()
