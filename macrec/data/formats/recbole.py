"""RecBole's atomic files: `<D>.inter` and, where it is there, `<D>.item`; tab separated, with typed headers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl

from macrec.data.dataset import Dataset, first_true, from_events
from macrec.data.formats.benchmark_files import PART_FILE, load_benchmark
from macrec.data.formats.format import Format
from macrec.data.reading.atomic_files import read_columns, read_header, read_items
from macrec.data.reading.ordering import chronological
from macrec.data.reading.text_files import is_given
from macrec.errors import DataError


def load_recbole(
    path: Path | str,
    *,
    user: str | None = None,
    item: str = "item_id",
    time: str = "timestamp",
    name: str | None = None,
) -> Dataset:
    """Load an `.inter` file (or the only one in a folder) and the `.item` file beside it.

    `user` is the column of users (by default user_id, or session_id where there is no such). Event form: columns
    `user`, `item` and, if there, `time` (seconds; the order is by time, ties in file order). Sequence form: `user`,
    `<item>_list:token_seq` and, if there, `item`, which follows its list; where a user has several rows they must be
    beginnings of the longest one (a file of training prefixes; lists that were cut at the old end are refused). Without
    an `.item` file the items are those of the events. All events count, whatever their rating.
    """
    file = inter_file(Path(path))
    kinds = read_header(file)
    user = user or ("session_id" if "session_id" in kinds and "user_id" not in kinds else "user_id")
    if f"{item}_list" in kinds:
        events, by = sequences(file, kinds, user, item), None
    else:
        wanted = {user: pl.String, item: pl.String, **({time: pl.Float64} if time in kinds else {})}
        events = read_columns(file, kinds, wanted).rename({user: "user_id", item: "item_id"})
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
    files = sorted([*path.glob("*.inter"), *path.glob("*.inter.gz")])
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise DataError(f"one .inter file is needed in the folder (found: {names})", file=path, fix="name the file")
    return files[0]


def sequences(file: Path, kinds: dict[str, str], user: str, item: str) -> pl.DataFrame:
    """Events from rows (user, list of items[, next item]): the longest row of each user, item after item."""
    wanted = {user: pl.String, f"{item}_list": pl.String, **({item: pl.String} if item in kinds else {})}
    rows = read_columns(file, kinds, wanted)
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


def find(path: Path) -> Path | None:
    """The `.inter` file, or the prefix of a benchmark's three files; LC-Rec's json comes first where both are there."""
    if path.is_file():
        return path if re.search(r"\.inter(\.gz)?$", path.name) else None
    if path.is_dir():
        return path if stems(path, "*") and not any(path.glob("*.inter.json")) else None
    return path if stems(path.parent, path.name) and not path.with_name(f"{path.name}.inter.json").is_file() else None


def stems(folder: Path, stem: str) -> list[str]:
    """The datasets of which there are `.inter` files, alone or in parts."""
    files = [*folder.glob(f"{stem}.inter"), *folder.glob(f"{stem}.inter.gz")]
    files += [file for part in ("train", "valid", "test") for file in folder.glob(f"{stem}.{part}.inter*")]
    names = (re.sub(r"\.inter(\.gz)?$", "", file.name) for file in files)
    return sorted({PART_FILE.sub("", name) for name in names})


def load(path: Path | str, **options: Any) -> Dataset:
    """A benchmark where there are parts of one, else the one file."""
    path = Path(path)
    if path.is_file():
        return load_recbole(path, **options)
    folder, stem_names = (path, stems(path, "*")) if path.is_dir() else (path.parent, [path.name])
    benchmark = [stem for stem in stem_names if any(folder.glob(f"{stem}.train.inter*"))]
    if len(stem_names) == 1 and benchmark:
        return load_benchmark(folder / benchmark[0], **options)
    return load_recbole(path if path.is_dir() else path.with_name(f"{path.name}.inter"), **options)


FORMAT = Format(
    name="recbole",
    title="RecBole",
    files="`<D>.inter`, or `<D>.train.inter`, `<D>.valid.inter` and `<D>.test.inter`, whose split is kept; optional "
    "`<D>.item`",
    find=find,
    load=load,
)
