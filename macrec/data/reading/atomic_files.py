"""RecBole's atomic files: tab separated tables with typed headers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from macrec.data.reading.delimited import Dtype, first_line, read_csv, with_line_feeds
from macrec.data.reading.text_files import Piece, pieces
from macrec.errors import DataError

TYPES: dict[str, Dtype] = {
    "token": pl.String,
    "token_seq": pl.String,
    "float": pl.Float64,
    "float_seq": pl.String,
}
SAME_AS = {
    "title": ("title", "movie_title", "item_name", "name"),
    "brand": ("brand", "store"),
    "categories": ("categories", "category", "class", "genres", "genre"),
    "description": ("description",),
}
"""What RecBole's own datasets call our columns, the first that is there counts."""


def read_header(file: Path) -> dict[str, str]:
    """Column names and their RecBole types, in order."""
    piece = next(pieces(file, 1 << 16))
    row, first, _ = first_line(Piece(piece.first_line, with_line_feeds(piece, file)))
    kinds = {}
    for column in first.split("\t"):
        name, _, kind = column.partition(":")
        if kind not in TYPES:
            what = f'the header "{column}" is not of the form name:type with a type of {", ".join(TYPES)}'
            raise DataError(what, file=file, row=row, fix="write for example user_id:token")
        if name in kinds:
            raise DataError("the column occurs twice", file=file, row=row, field=name, fix="keep one")
        kinds[name] = kind
    return kinds


def read_columns(file: Path, kinds: dict[str, str], wanted: Mapping[str, Dtype]) -> pl.DataFrame:
    """The `wanted` columns, none of them empty."""
    for name in wanted:
        if name not in kinds:
            fix = f"add it, or give its name (found: {', '.join(kinds)})"
            raise DataError("the column is missing", file=file, field=name, fix=fix)
    typed = {f"{name}:{kinds[name]}": kind for name, kind in wanted.items()}
    frame = pl.concat(read_csv(file, typed, header=True, separator="\t", quoted=False))
    return frame.rename(dict(zip(typed, wanted, strict=True)))


def read_items(file: Path, item: str) -> pl.DataFrame:
    """The item table of an `.item` file: texts under our names, all other columns as they are called there."""
    kinds = read_header(file)
    if item not in kinds:
        fix = f"add it (found: {', '.join(kinds)})"
        raise DataError("the column is missing", file=file, field=item, fix=fix)
    typed = {f"{name}:{kind}": pl.String for name, kind in kinds.items()}
    frames = read_csv(file, typed, header=True, separator="\t", quoted=False, required=[f"{item}:{kinds[item]}"])
    table = pl.concat(frames).rename(dict(zip(typed, kinds, strict=True)))
    table = table.rename({item: "item_id"})
    for ours, theirs in SAME_AS.items():
        name = next((name for name in theirs if name in kinds), None)
        if name is None:
            continue
        text = pl.col(name).fill_null("")
        if ours == "categories":
            text = text.str.split(" ") if kinds[name] == "token_seq" else pl.concat_list(text)
            text = text.list.eval(pl.element().filter(pl.element() != ""))
        table = table.with_columns(text.alias(ours))
        table = table if name == ours else table.drop(name)
    for name in table.columns:
        if kinds.get(name) == "float" and name not in SAME_AS:
            numbers = table[name].cast(pl.Float64, strict=False)
            if numbers.null_count() == table[name].null_count():  # else it stays text
                table = table.with_columns(numbers)
    return table
