"""Amazon Reviews 2023."""

from __future__ import annotations

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
    """The events of a category: reviews, or ratings only."""
    return existing(folder, f"{category}.jsonl", f"{category}.csv")


def categories(folder: Path) -> list[str]:
    """The categories whose events and metadata are in `folder`."""
    metas = [*folder.glob("meta_*.jsonl"), *folder.glob("meta_*.jsonl.gz")]
    names = {unpacked(file).removeprefix("meta_").removesuffix(".jsonl") for file in metas}
    return sorted(name for name in names if reviews_of(folder, name))


def find(path: Path) -> Path | None:
    """The folder, or `folder/<C>` for one of its files or the beginning of their names."""
    named = unpacked(path).removesuffix(".jsonl").removesuffix(".csv").removeprefix("meta_")
    return category_at(path, categories, named)


def load(path: Path | str, **options: Any) -> Dataset:
    """Load the one category in a folder, or that of `folder/<C>`; pictures are those in `images/`, if it is there."""
    folder, category = folder_and_category(Path(path), categories, options)
    meta = existing(folder, f"meta_{category}.jsonl") or folder / f"meta_{category}.jsonl"
    return load_amazon_2023(reviews_of(folder, category) or folder / f"{category}.jsonl", meta, **options)


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
    # Events come first here, so that only the metadata of items with events are kept.
    met = events["item_id"].unique().cast(pl.String)
    candidates, notes = with_pictures(catalog_2023(meta, met, images is not None), images)
    events = events.filter(pl.col("item_id").cast(pl.String).is_in(candidates["item_id"].implode()))
    events = in_order(core(first_of_repeated(events), min_core, reviews))
    events = events.with_columns(pl.col("time") // 1000)
    name = name or meta.name.removeprefix("meta_").split(".")[0]
    return assemble(name, events, candidates, images, reviews, meta, notes)


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


FORMAT = Format(
    name="amazon2023",
    title="Amazon Reviews 2023",
    files="`<C>.jsonl[.gz]` or `<C>.csv[.gz]`, `meta_<C>.jsonl[.gz]`, optional `images/`",
    find=find,
    load=load,
)
