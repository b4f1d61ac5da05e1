"""Amazon Review Data: the 2018 release by the steps of MACRec's preprocessing, and the 2023 release.

Both give the same dataset for any order of the input lines: events are sorted by (user, time, item), where the
official script iterates over a set (specification 1.2, "determinism fix").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset, from_events
from macrec.data.images import FolderImages, ImageSource, NoImages
from macrec.data.kcore import k_core
from macrec.data.picture_files import with_pictures
from macrec.data.reading import Field, read_csv, read_json_lines
from macrec.data.text import clean_column, clean_lists
from macrec.errors import DataError

PICTURE = pl.Struct({"hi_res": pl.String, "large": pl.String, "thumb": pl.String})


def load_amazon_2018(
    ratings: Path | str,
    reviews: Path | str,
    meta: Path | str,
    *,
    images: Path | str | None = None,
    min_core: int = 5,
    name: str | None = None,
) -> Dataset:
    """Load one category of Amazon 2018 by steps S1 to S7 of the specification (1.2).

    `ratings`: `<Category>.csv` (item, user, rating, time; no header); `reviews`: `<Category>_5.json.gz`, which only
    says what items are candidates; `meta`: `meta_<Category>.json.gz`; `images`: the folder of downloaded pictures
    (named like the last part of their address). Without it no item needs a picture and none has one. All ratings count.
    Files may be gzipped or plain. Raises DataError for files that do not read, and when nothing is left.
    """
    ratings, reviews, meta = Path(ratings), Path(reviews), Path(meta)
    # S1: candidates are the reviewed items with metadata, with a complete picture if there is an images folder.
    reviewed = [frame["asin"].unique() for frame in read_json_lines(reviews, {"asin": pl.String}, required=["asin"])]
    candidates, notes = with_pictures(catalog_2018(meta, pl.concat(reviewed).unique()), images)
    # S2: every rating of a candidate is a positive event. (S4 holds by this: candidates have metadata.)
    columns = {"item_id": pl.String, "user_id": pl.String, "rating": pl.Float64, "time": pl.Int64}
    events = gather(
        frame.join(candidates, on="item_id", how="semi") for frame in read_csv(ratings, columns, header=False)
    )
    # S3: one event per (user, item). S5: the 5-core. S6: the order.
    events = in_order(core(first_of_repeated(events), min_core, ratings))
    # S7: number users and items by first appearance and bring everything together.
    name = name or meta.name.removeprefix("meta_").split(".")[0]
    return assemble(name, events, candidates, images, ratings, meta, notes)


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
    columns = {"user_id": pl.String, "parent_asin": pl.String, "timestamp": pl.Int64}
    is_csv = reviews.name.removesuffix(".gz").endswith(".csv")
    frames = read_csv(reviews, columns, header=True) if is_csv else read_json_lines(reviews, columns, required=columns)
    events = gather(frame.rename({"parent_asin": "item_id", "timestamp": "time"}) for frame in frames)
    # Events come first here, so that the metadata of items nobody met need not be kept.
    met = events["item_id"].unique().cast(pl.String)
    candidates, notes = with_pictures(catalog_2023(meta, met), images)
    events = events.filter(pl.col("item_id").cast(pl.String).is_in(candidates["item_id"].implode()))
    events = in_order(core(first_of_repeated(events), min_core, reviews))
    events = events.with_columns(pl.col("time") // 1000)
    name = name or meta.name.removeprefix("meta_").split(".")[0]
    return assemble(name, events, candidates, images, reviews, meta, notes)


def catalog_2018(meta: Path, wanted: pl.Series) -> pl.DataFrame:
    """The `wanted` items of a 2018 metadata file, texts as they stand there, and `pictures`: a list of addresses."""
    fields: dict[str, Field] = {
        "asin": pl.String,
        "title": pl.String,
        "brand": pl.String,
        "category": pl.List(pl.String),
        "description": "texts",
        "imageURLHighRes": "texts",
        "imageURL": "texts",
    }
    columns = [
        pl.col("asin").alias("item_id"),
        pl.col("title"),
        pl.col("brand").str.replace_all("by\n", "", literal=True),
        pl.col("category").alias("categories"),
        pl.col("description").list.join(" ", ignore_nulls=True),
        pl.concat_list(pl.col("imageURLHighRes", "imageURL").fill_null([])).alias("pictures"),
    ]
    return catalog(meta, fields, columns, wanted)


def catalog_2023(meta: Path, wanted: pl.Series) -> pl.DataFrame:
    """The `wanted` items of a 2023 metadata file, texts as they stand there, and `pictures`: a list of addresses."""
    fields: dict[str, Field] = {
        "parent_asin": pl.String,
        "title": pl.String,
        "store": pl.String,
        "categories": pl.List(pl.String),
        "description": "texts",
        "features": "texts",
        "images": pl.List(PICTURE),
    }
    sizes = pl.concat_list(pl.element().struct.field("hi_res", "large", "thumb"))
    columns = [
        pl.col("parent_asin").alias("item_id"),
        pl.col("title"),
        pl.col("store").alias("brand"),
        pl.col("categories"),
        pl.concat_list(pl.col("description", "features").fill_null([]))
        .list.join(" ", ignore_nulls=True)
        .alias("description"),
        pl.col("images").list.eval(sizes.explode()).list.drop_nulls().alias("pictures"),
    ]
    return catalog(meta, fields, columns, wanted)


def catalog(meta: Path, fields: Mapping[str, Field], columns: list[pl.Expr], wanted: pl.Series) -> pl.DataFrame:
    """Read `columns` of the `wanted` items, one row each.

    Of several rows for one item (2018 has such) the greatest in sort order is kept, wherever it stands in the file.
    """
    frames = read_json_lines(meta, fields, required=[next(iter(fields))])
    ids = wanted.to_frame("item_id")
    items = pl.concat(frame.select(columns).join(ids, on="item_id", how="semi") for frame in frames)
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
    """Number the items by first appearance, clean their texts, find their pictures and build the Dataset."""
    order = events.select(pl.col("item_id").cast(pl.String)).unique(maintain_order=True)
    items = order.join(items, on="item_id", maintain_order="left").with_columns(
        pl.col("title", "brand", "description").map_batches(clean_column),
        pl.col("categories").map_batches(clean_lists),
    )
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
