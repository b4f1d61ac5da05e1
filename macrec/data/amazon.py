"""Amazon Review Data: the 2018 release by the steps of MACRec's preprocessing, and the 2023 release.

Both give the same dataset for any order of the input lines: events are sorted by (user, time, item), where the
official script iterates over a set (specification 1.2, "determinism fix").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import LATEST, Dataset, first_true, from_events
from macrec.data.delimited import read_csv
from macrec.data.images import FolderImages, ImageSource, NoImages
from macrec.data.json_lines import Kind, read_json_lines
from macrec.data.kcore import k_core
from macrec.data.picture_files import with_pictures
from macrec.errors import DataError


def load_amazon_2018(
    ratings: Path | str | None,
    reviews: Path | str,
    meta: Path | str | None,
    *,
    images: Path | str | None = None,
    min_core: int = 5,
    name: str | None = None,
) -> Dataset:
    """Load one category of Amazon 2018 by steps S1 to S7 of the specification (1.2).

    `ratings`: `<Category>.csv` (item, user, rating, time; no header); `reviews`: `<Category>_5.json.gz`, which only
    says what items are candidates, but holds the events where `ratings` is None; `meta`: `meta_<Category>.json.gz`, or
    None where items have neither text nor picture; `images`: the folder of downloaded pictures (named like the last
    part of their address). Without it no item needs a picture and none has one. All ratings count. Files may be gzipped
    or plain. Raises DataError for files that do not read, and when nothing is left.
    """
    reviews = Path(reviews)
    events_file = reviews if ratings is None else Path(ratings)
    items_file = reviews if meta is None else Path(meta)
    # S1: candidates are the reviewed items with metadata, with a complete picture if there is an images folder.
    reviewed = [frame["asin"].unique() for frame in read_json_lines(reviews, {"asin": "id"}, required=["asin"])]
    wanted = pl.concat(reviewed).unique()
    if meta is None:
        images, candidates = None, wanted.to_frame("item_id").with_columns(image=pl.lit(None, pl.String))
        notes: tuple[str, ...] = ("there is no file of metadata, so that items have neither text nor picture",)
    else:
        candidates, notes = with_pictures(catalog_2018(items_file, wanted, images is not None), images)
    # S2: every rating of a candidate is a positive event. (S4 holds by this: candidates have metadata.)
    if ratings is None:
        fields: dict[str, Kind] = {"reviewerID": "id", "asin": "id", "unixReviewTime": "whole"}
        names = dict(zip(fields, ("user_id", "item_id", "time"), strict=True))
        reviewed_events = read_json_lines(reviews, fields, required=fields)
        frames: Iterator[pl.DataFrame] = (frame.rename(names) for frame in reviewed_events)
    else:
        columns = {"item_id": pl.String, "user_id": pl.String, "rating": pl.String, "time": pl.Int64}
        frames = read_csv(events_file, columns, header=False, required=["item_id", "user_id", "time"])
    frames = in_unit(frames, "time", events_file, milliseconds=False)
    events = gather(frame.join(candidates, on="item_id", how="semi") for frame in frames)
    # S3: one event per (user, item). S5: the 5-core. S6: the order.
    events = in_order(core(first_of_repeated(events), min_core, events_file))
    # S7: number users and items by first appearance and bring everything together.
    name = name or re.sub(r"^(meta|reviews)_|(_5)?\.json(\.gz)?$", "", items_file.name)
    return assemble(name, events, candidates, images, events_file, items_file, notes)


def load_amazon_2023(
    reviews: Path | str,
    meta: Path | str,
    *,
    images: Path | str | None = None,
    min_core: int = 5,
    name: str | None = None,
) -> Dataset:
    """Load one category of Amazon Reviews 2023, with the same steps as `load_amazon_2018` from S2 on.

    `reviews`: JSON lines with user_id, parent_asin, timestamp (milliseconds), or the "rating only" CSV with these
    columns; `meta`: JSON lines with parent_asin, title, store, categories, description, features, images. Items are
    parents (one per group of variants); an item's description is followed by its features. `images`: a folder of
    pictures named like the last part of their address; without it no item needs a picture and none has one.
    """
    reviews, meta = Path(reviews), Path(meta)
    kinds: dict[str, Kind] = {"user_id": "id", "parent_asin": "id", "timestamp": "whole"}
    if reviews.name.removesuffix(".gz").endswith(".csv"):
        columns = {"user_id": pl.String, "parent_asin": pl.String, "timestamp": pl.Int64}
        frames = read_csv(reviews, columns, header=True)
    else:
        frames = read_json_lines(reviews, kinds, required=kinds)
    frames = in_unit(frames, "timestamp", reviews, milliseconds=True)
    events = gather(frame.rename({"parent_asin": "item_id", "timestamp": "time"}) for frame in frames)
    # Events come first here, so that the metadata of items nobody met need not be kept.
    met = events["item_id"].unique().cast(pl.String)
    candidates, notes = with_pictures(catalog_2023(meta, met, images is not None), images)
    events = events.filter(pl.col("item_id").cast(pl.String).is_in(candidates["item_id"].implode()))
    events = in_order(core(first_of_repeated(events), min_core, reviews))
    events = events.with_columns(pl.col("time") // 1000)
    name = name or meta.name.removeprefix("meta_").split(".")[0]
    return assemble(name, events, candidates, images, reviews, meta, notes)


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


def catalog_2018(meta: Path, wanted: pl.Series, pictured: bool) -> pl.DataFrame:
    """The `wanted` items of a 2018 (or 2014) metadata file, texts as they stand, and `pictures`: a list of addresses.

    Addresses are only read when `pictured`.
    """
    fields: dict[str, Kind] = {
        "asin": "id",
        "title": "text",
        "brand": "text",
        "category": "texts",
        "categories": "texts",  # 2014: a list of paths
        "description": "texts",
    }
    columns = [
        pl.col("asin").alias("item_id"),
        pl.col("title"),
        pl.col("brand").str.replace_all("by\n", "", literal=True),
        pl.coalesce("category", pl.col("categories").list.unique(maintain_order=True)).alias("categories"),
        pl.col("description").list.join(" ", ignore_nulls=True),
    ]
    return catalog(meta, fields, columns, wanted, ("imageURLHighRes", "imageURL", "imUrl") if pictured else ())


def catalog_2023(meta: Path, wanted: pl.Series, pictured: bool) -> pl.DataFrame:
    """The `wanted` items of a 2023 metadata file, texts as they stand there, and `pictures`: a list of addresses.

    Addresses are only read when `pictured`.
    """
    fields: dict[str, Kind] = {
        "parent_asin": "id",
        "title": "text",
        "store": "text",
        "categories": "texts",
        "description": "texts",
        "features": "texts",
    }
    columns = [
        pl.col("parent_asin").alias("item_id"),
        pl.col("title"),
        pl.col("store").alias("brand"),
        pl.col("categories"),
        pl.concat_list(pl.col("description", "features").fill_null([]))
        .list.join(" ", ignore_nulls=True)
        .alias("description"),
    ]
    return catalog(meta, fields, columns, wanted, ("images",) if pictured else ())


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
            f"no event of an item with metadata (and a picture, where asked for) is left in the {min_core}-core",
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
