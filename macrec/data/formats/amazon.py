"""What the releases of Amazon's reviews share: the steps of MACRec's preprocessing, and categories in folders.

The dataset is the same for any order of the input lines: events are sorted by (user, time, item), where the published
script iterates over a set (specification 1.2, "determinism fix").
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import LATEST, Dataset, first_true, from_events
from macrec.data.formats.format import only
from macrec.data.formats.kcore import k_core
from macrec.data.images import FolderImages, ImageSource, NoImages
from macrec.data.reading.json_lines import Kind, read_json_lines
from macrec.errors import DataError

Categories = Callable[[Path], list[str]]
"""The categories whose files are in a folder."""


def category_at(path: Path, categories: Categories, named: str) -> Path | None:
    """What `folder_and_category` is to be given for `path`, or None where there is no category.

    `path` is a folder, `folder/<C>` or one of the files of a category; `named` is its name without what the release
    adds to that of the category.
    """
    if path.is_dir():
        return path if categories(path) else None
    return path.with_name(named) if named in categories(path.parent) else None


def folder_and_category(path: Path, categories: Categories, options: dict[str, Any]) -> tuple[Path, str]:
    """The folder and the category that `path` means: `folder/<C>`, or a folder with one category.

    Adds the pictures in `images/`, if it is there, to the `options` of the loader. Raises DataError for several.
    """
    folder, category = (path, only(categories(path), path, "category")) if path.is_dir() else (path.parent, path.name)
    if (folder / "images").is_dir():
        options.setdefault("images", folder / "images")
    return folder, category


def in_unit(frames: Iterator[pl.DataFrame], column: str, file: Path, *, milliseconds: bool) -> Iterator[pl.DataFrame]:
    """The frames as they are; raises DataError for a time in the `column` that is in the other unit."""
    unit, fix = ("milliseconds", "multiply seconds by 1000") if milliseconds else ("seconds", "divide by 1000")
    seen = 0
    for frame in frames:
        is_seconds = frame[column].is_between(1 - LATEST, LATEST - 1)
        wrong = is_seconds if milliseconds else ~is_seconds
        if wrong.any():
            row = first_true(wrong)
            what = f"the time {frame[column][row]} is not in {unit}, as this release has them"
            raise DataError(what, file=file, row=f"event {seen + row + 1}", field=column, fix=fix)
        seen += len(frame)
        yield frame


def catalog(
    meta: Path, fields: dict[str, Kind], columns: list[pl.Expr], wanted: pl.Series, pictures: tuple[str, ...]
) -> pl.DataFrame:
    """Read `columns` of the `wanted` items, one row each, and their `pictures` from the fields of these names.

    Of several rows for one item (2018 has such) the greatest in sort order is kept, wherever it stands in the file.
    """
    fields = {**fields, **dict.fromkeys(pictures, "pictures")}
    addresses = pl.lit(None, pl.List(pl.String))
    if pictures:
        addresses = pl.concat_list(pl.col(pictures).fill_null([]))
    frames = read_json_lines(meta, fields, required=[next(iter(fields))])
    ids = wanted.to_frame("item_id")
    items = pl.concat(
        frame.select(*columns, addresses.alias("pictures")).join(ids, on="item_id", how="semi") for frame in frames
    )
    repeated = items["item_id"].is_duplicated()
    merged = items.filter(repeated).sort(pl.all(), descending=True).unique("item_id", keep="first", maintain_order=True)
    return pl.concat([items.filter(~repeated), merged])


def gather(frames: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Join frames of events: `user_id` and `item_id` as categories, and `time`.

    Ids become 4-byte numbers piece by piece, so that ten million events take 160 MB rather than a gigabyte of strings.
    """
    user_type, item_type = pl.Categorical(pl.Categories.random()), pl.Categorical(pl.Categories.random())
    return pl.concat(
        frame.select(pl.col("user_id").cast(user_type), pl.col("item_id").cast(item_type), "time") for frame in frames
    )


def first_of_repeated(events: pl.DataFrame) -> pl.DataFrame:
    """One event per (user, item): the earliest. (Sorting takes a third of the memory of grouping.)"""
    user, item = (events[column].to_physical().to_numpy() for column in ("user_id", "item_id"))
    pair = user.astype(np.int64) << 32 | item
    order = np.lexsort((events["time"].to_numpy(), pair))
    pair = pair[order]
    first: NDArray[np.int64] = order[np.diff(pair, prepend=pair[:1] - 1) != 0]
    return events[first]


def core(events: pl.DataFrame, min_core: int, file: Path) -> pl.DataFrame:
    """The events in the `min_core`-core."""
    user, item = (events[column].to_physical().to_numpy() for column in ("user_id", "item_id"))
    events = events.filter(pl.Series(k_core(user, item, min_core)))
    if events.is_empty():
        raise DataError(
            f"no event of an item with metadata (and a picture, where required) is left in the {min_core}-core",
            file=file,
            fix="check that the files belong to one category, and the images folder, or lower min_core",
        )
    return events


def in_order(events: pl.DataFrame) -> pl.DataFrame:
    """Events by user, within a user by time, at equal times by item (categories sort as the text they stand for)."""
    return events.sort("user_id", "time", "item_id")


def assemble(
    name: str,
    events: pl.DataFrame,
    items: pl.DataFrame,
    images: Path | str | None,
    events_file: Path,
    items_file: Path,
    notes: tuple[str, ...],
) -> Dataset:
    """Number the items by first appearance, find their pictures and build the Dataset."""
    order = events.select(pl.col("item_id").cast(pl.String)).unique(maintain_order=True)
    items = order.join(items, on="item_id", maintain_order="left")
    source: ImageSource = NoImages(len(items))
    if images is not None:
        source = FolderImages(Path(images), items["image"].to_list(), items["item_id"].to_list())
    return from_events(
        name,
        events.select("user_id", "item_id", timestamp="time"),
        items,
        events_file=events_file,
        items_file=items_file,
        images=source,
        source=f"Amazon reviews: {events_file.name}, {items_file.name}",
        notes=notes,
    )
