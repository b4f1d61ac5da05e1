"""RecBole's atomic files: `<D>.inter` and, where it is there, `<D>.item`; tab separated, with typed headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from macrec.data.dataset import Dataset, first_true, from_events
from macrec.data.delimited import Dtype, first_line, read_csv, with_line_feeds
from macrec.data.ordering import chronological
from macrec.data.reading import Piece, is_given, pieces
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


def load_recbole(
    path: Path | str,
    *,
    user: str | None = None,
    item: str = "item_id",
    time: str = "timestamp",
    name: str | None = None,
) -> Dataset:
    """Load an `.inter` file (or the only one in a folder) and the `.item` file beside it.

    `user` is the column of users (by default user_id, or session_id where there is no such).
    Event form: columns `user`, `item` and, if there, `time` (seconds; the order is by time, ties in file order).
    Sequence form: `user`, `<item>_list:token_seq` and, if there, `item`, which follows its list; where a user has
    several rows they must be beginnings of the longest one (a file of training prefixes; lists that were cut at the old
    end are refused). Without an `.item` file the items are those met. All events count, whatever their rating.
    """
    file = inter_file(Path(path))
    kinds = header(file)
    user = user or ("session_id" if "session_id" in kinds and "user_id" not in kinds else "user_id")
    if f"{item}_list" in kinds:
        events, by = sequences(file, kinds, user, item), None
    else:
        wanted = {user: pl.String, item: pl.String, **({time: pl.Float64} if time in kinds else {})}
        events = read(file, kinds, wanted).rename({user: "user_id", item: "item_id"})
        by = "time" if time in kinds else None
        if by:
            events = events.rename({time: "time"})
            endless = ~(events["time"].abs() < 1 << 62)  # also NaN and infinity
            if endless.any():
                row = first_true(endless) + 2
                raise DataError("the time is not a number of seconds", file=file, row=row, field=time, fix="correct it")
            events = events.with_columns(timestamp=pl.col("time").floor().cast(pl.Int64))
    stem = re.sub(r"(\.(train|valid|test))?\.inter(\.gz)?$", "", file.name)
    items_file = file.with_name(f"{stem}.item")
    if is_given(items_file):
        items = read_items(items_file, item)
    else:
        items_file, items = file, events.select("item_id").drop_nulls().unique(maintain_order=True)
    first_row = 1 if by is None and f"{item}_list" in kinds else 2
    ordered = chronological(
        events, items["item_id"], by=by, events_file=file, items_file=items_file, first_row=first_row
    )
    return from_events(name or stem, ordered, items, events_file=file, items_file=items_file, source=file.name)


def inter_file(path: Path) -> Path:
    """The `.inter` file that a path means."""
    if not path.is_dir():
        return path
    found = sorted([*path.glob("*.inter"), *path.glob("*.inter.gz")])
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise DataError(f"one .inter file is needed in the folder (found: {names})", file=path, fix="name the file")
    return found[0]


def header(file: Path) -> dict[str, str]:
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


def read(file: Path, kinds: dict[str, str], wanted: Mapping[str, Dtype]) -> pl.DataFrame:
    """The `wanted` columns, none of them empty."""
    for name in wanted:
        if name not in kinds:
            fix = f"add it, or say what it is called (found: {', '.join(kinds)})"
            raise DataError("the column is missing", file=file, field=name, fix=fix)
    typed = {f"{name}:{kinds[name]}": kind for name, kind in wanted.items()}
    frame = pl.concat(read_csv(file, typed, header=True, separator="\t", quoted=False))
    return frame.rename(dict(zip(typed, wanted, strict=True)))


def sequences(file: Path, kinds: dict[str, str], user: str, item: str) -> pl.DataFrame:
    """Events from rows (user, list of items[, next item]): the longest row of each user, item after item."""
    wanted = {user: pl.String, f"{item}_list": pl.String, **({item: pl.String} if item in kinds else {})}
    rows = read(file, kinds, wanted)
    listed = pl.col(f"{item}_list").str.strip_chars(" ").str.split(" ")
    whole = pl.concat_list(listed, item) if item in kinds else listed
    rows = rows.select(pl.col(user).alias("user_id"), whole.alias("item_id")).with_row_index("row", 2)
    rows = rows.with_columns(length=pl.col("item_id").list.len())
    longest = rows.sort("length", descending=True, maintain_order=True).unique("user_id", keep="first")
    both = rows.join(longest.select("user_id", whole="item_id"), on="user_id", maintain_order="left")
    other = both.filter(pl.col("item_id") != pl.col("whole").list.head(pl.col("length")))
    if len(other):
        raise DataError(
            f'the list of user "{other["user_id"][0]}" is not a beginning of the longest list of this user',
            file=file,
            row=int(other["row"][0]),
            field=f"{item}_list",
            fix="give one row per user, or lists that are not cut at their old end",
        )
    return longest.sort("row").select("user_id", "item_id").explode("item_id")


def read_items(file: Path, item: str) -> pl.DataFrame:
    """The item table of an `.item` file: texts under our names, all other columns as they are called there."""
    kinds = header(file)
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
            if numbers.null_count() == table[name].null_count():  # else it stays text: nobody needs it as a number
                table = table.with_columns(numbers)
    return table
