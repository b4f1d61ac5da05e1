"""Amazon Reviews 2018, and 2014, whose files are alike but for their names and metadata written as Python does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from macrec.data.dataset import Dataset
from macrec.data.formats.amazon import (
    assemble,
    catalog,
    category_at,
    core,
    first_of_repeated,
    folder_and_category,
    gather,
    in_order,
    in_unit,
)
from macrec.data.formats.format import Format, existing, unpacked
from macrec.data.reading.delimited import read_csv
from macrec.data.reading.json_lines import Kind, read_json_lines
from macrec.data.reading.picture_files import with_pictures


def reviews_of(folder: Path, category: str) -> Path | None:
    """The 5-core of a category, also as earlier releases call it."""
    return existing(folder, f"{category}_5.json", f"reviews_{category}_5.json")


def categories(folder: Path) -> list[str]:
    """The categories whose 5-core is in `folder`."""
    files = [*folder.glob("*_5.json"), *folder.glob("*_5.json.gz")]
    return sorted({unpacked(file).removeprefix("reviews_").removesuffix("_5.json") for file in files})


def find(path: Path) -> Path | None:
    """The folder, or `folder/<C>` for one of its files or the beginning of their names."""
    named = unpacked(path).removesuffix(".json").removesuffix(".csv")
    named = named.removeprefix("reviews_").removeprefix("meta_").removesuffix("_5")
    return category_at(path, categories, named)


def load(path: Path | str, **options: Any) -> Dataset:
    """Load the one category in a folder, or that of `folder/<C>`; pictures are those in `images/`, if it is there."""
    folder, category = folder_and_category(Path(path), categories, options)
    ratings = existing(folder, f"{category}.csv")
    reviews = reviews_of(folder, category) or folder / f"{category}_5.json"
    meta = existing(folder, f"meta_{category}.json")
    return load_amazon_2018(ratings, reviews, meta, **options)


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


FORMAT = Format(
    name="amazon2018",
    title="Amazon Reviews 2018 and 2014",
    files="`<C>_5.json[.gz]` (2014: `reviews_<C>_5.json.gz`), "
    "optional `meta_<C>.json[.gz]`, `<C>.csv[.gz]` (all ratings) and `images/`",
    find=find,
    load=load,
)
