"""The workbench's own layout: a folder of parquet files. Any dataset can be saved to it and comes back the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset, first_true, from_events, item_table
from macrec.data.formats.format import Format
from macrec.data.images import FolderImages, ImageSource, NoImages, PackedImages
from macrec.data.reading.columns import is_id_type, kind_name, says_nothing
from macrec.data.reading.decoding import defect
from macrec.data.reading.ordering import chronological
from macrec.data.reading.parquet_table import read_table
from macrec.data.reading.picture_files import some
from macrec.data.reading.text_files import is_given, parse_json
from macrec.errors import DataError

EVENT_FILES = ("interactions.parquet", "interactions_unordered.parquet")
EVENT_COLUMNS = ("user_id", "item_id", "user_idx", "item_idx", "timestamp", "pos", "behavior", "split")
OPTIONAL = ("user_idx", "item_idx", "timestamp", "pos", "behavior", "split")
NUMBERS, TEXTUAL = ("user_idx", "item_idx", "timestamp", "pos"), ("behavior", "split")


def load_parquet(folder: Path | str, *, name: str | None = None) -> Dataset:
    """Load a folder with `items.parquet`, `interactions.parquet` and, for pictures, `images.parquet` or `images/`.

    Items: `item_id` or `item_idx` (given, it fixes the rows: 0..N-1), and optional title, brand, categories,
    description, `image_file` (null: no picture) and any other columns; without the file, the items are those of the
    events. Interactions: `user_id` or `user_idx`, `item_id` or `item_idx`, and optional `pos` (given, it fixes the
    order; else `timestamp` in seconds does, else the file), `timestamp`, `behavior`, `split` (train, valid, test;
    context, or nothing, for an event that is read but never predicted). Pictures: rows (`item_id`, `bytes`), or files
    named by `image_file`; an item whose picture does not decode has none, which a note says. `dataset.json` may hold
    name and source. Raises DataError for whatever does not fit together.
    """
    folder = Path(folder)
    events_file = next((folder / file for file in EVENT_FILES if (folder / file).is_file()), folder / EVENT_FILES[0])
    items_file = folder / "items.parquet"
    events = read_table(events_file, EVENT_COLUMNS)
    events = events.drop(name for name in OPTIONAL if name in events.columns and says_nothing(events[name]))
    check_kinds(events, events_file)
    wide = [name for name in NUMBERS if name in events.columns and events.schema[name].is_integer()]
    events = events.with_columns(pl.col(wide).cast(pl.Int64))
    if is_given(items_file):
        items = in_rows(read_table(items_file), items_file)
        if {"image", "image_file"} <= set(items.columns):
            what = "there is also a column image"
            raise DataError(what, file=items_file, field="image_file", fix="rename or drop one of the two")
    else:
        items_file = events_file
        met = [column for column in ("item_id", "item_idx") if column in events.columns]
        items = events.select(met).unique(maintain_order=True)
        items = items.sort("item_idx").drop("item_idx") if len(met) == 2 else named_by_index(items)
    if "item_id" not in events.columns and "item_idx" in events.columns and items_file != events_file:
        beyond = ~events["item_idx"].is_between(0, len(items) - 1)
        if beyond.fill_null(True).any():
            row = first_true(beyond.fill_null(True))
            what = f"the number {events['item_idx'][row]} is not a row of the item table"
            fix = f"add the item to {items_file} or drop the event"
            raise DataError(what, file=events_file, row=row + 1, field="item_idx", fix=fix)
        events = events.with_columns(item_id=items["item_id"].gather(events["item_idx"]))
    events = named_by_index(events)
    items = item_table(items.rename({"image_file": "image"} if "image_file" in items.columns else {}), file=items_file)
    if "split" in events.columns:
        events = events.with_columns(part=pl.col("split").cast(pl.String).fill_null("context"))
    known = [column for column in ("pos", "timestamp") if column in events.columns]
    ordered = chronological(
        events, items["item_id"], by=next(iter(known), None), events_file=events_file, items_file=items_file
    )
    about = read_about(folder)
    items, images, broken = whole_pictures(folder, items)
    dataset = from_events(
        name or about.get("name") or folder.resolve().name,
        ordered,
        items,
        events_file=events_file,
        items_file=items_file,
        images=images,
        source=about.get("source", f"parquet folder {folder.resolve().name}"),
    )
    notes = tuple(dict.fromkeys((*about.get("notes", ()), *dataset.notes, *broken)))
    dataset = dataclasses.replace(dataset, notes=notes)
    kind = events.schema.get("behavior")
    return with_behavior_names(dataset, tuple(kind.categories)) if isinstance(kind, pl.Enum) else dataset


def check_kinds(events: pl.DataFrame, file: Path) -> None:
    """Raise DataError for optional columns of events that are of the wrong type or only partly filled."""
    for name in (name for name in OPTIONAL if name in events.columns):
        dtype = events.schema[name]
        is_text = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
        if not (dtype.is_integer() or (name in TEXTUAL and is_text)):
            needed = (
                "text" if name in TEXTUAL else "whole seconds since 1970" if name == "timestamp" else "whole numbers"
            )
            what = f"the column holds {kind_name(dtype)} where {needed} are needed"
            raise DataError(what, file=file, field=name, fix="convert it, or leave the column out")
        if (
            dtype.is_integer()
            and (large := events[name].cast(pl.Int64, strict=False).is_null() & events[name].is_not_null()).any()
        ):
            row = first_true(large) + 1
            raise DataError("the number is too large", file=file, row=row, field=name, fix="correct it")
        if name == "pos" and events[name].null_count():
            row = first_true(events[name].is_null()) + 1
            raise DataError("the position is missing", file=file, row=row, field=name, fix="fill it in")


def in_rows(items: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Items in the rows that `item_idx` gives, if it is there; the column is dropped."""
    if "item_idx" not in items.columns:
        return items
    index = items["item_idx"]
    numbers = pl.int_range(len(items), eager=True)
    if not index.dtype.is_integer() or not index.sort().cast(pl.Int64, strict=False).equals(numbers):
        raise DataError(
            f"the column is not a numbering from 0 to {len(items) - 1}",
            file=file,
            field="item_idx",
            fix="number the items without gaps and repeats, or leave the column out",
        )
    return named_by_index(items.sort("item_idx")).drop("item_idx", strict=False)


def named_by_index(frame: pl.DataFrame) -> pl.DataFrame:
    """Take `item_idx` and `user_idx` as ids where the source has no others."""
    for kind in ("user", "item"):
        if f"{kind}_id" not in frame.columns and f"{kind}_idx" in frame.columns:
            frame = frame.rename({f"{kind}_idx": f"{kind}_id"})
    return frame


def whole_pictures(folder: Path, items: pl.DataFrame) -> tuple[pl.DataFrame, ImageSource, tuple[str, ...]]:
    """The items, without the pictures that do not decode; the pictures that do; and a note that names the others."""
    images = pictures(folder, items)
    sources = (
        images.data if isinstance(images, PackedImages) else images.files if isinstance(images, FolderImages) else []
    )
    defects = {row: why for row, source in enumerate(sources) if source is not None and (why := defect(source))}
    if not defects:
        return items, images, ()
    broken = [f"item {items['item_id'][row]} ({why})" for row, why in defects.items()]
    note = f"{len(broken):,} of {int(images.present.sum()):,} pictures do not decode, so that their items have none: "
    items = items.with_columns(image=pl.when(~pl.int_range(pl.len()).is_in(list(defects))).then("image"))
    return items, pictures(folder, items), (note + some(broken),)


def pictures(folder: Path, items: pl.DataFrame) -> ImageSource:
    """The pictures of the `image` column of an item table."""
    names = items["item_id"].to_list()
    file = folder / "images.parquet"
    if not items["image"].is_not_null().any():
        return NoImages(len(items))
    if not is_given(file):
        if not (folder / "images").is_dir():
            what = "the items name pictures, but there is neither images.parquet nor a folder images"
            raise DataError(what, file=folder, fix="add one of them, or leave image_file empty")
        return FolderImages(folder / "images", items["image"].to_list(), names)
    packed = read_table(file, ("item_id", "bytes"))
    for column in ("item_id", "bytes"):
        if column not in packed.columns:
            raise DataError("the column is missing", file=file, field=column, fix="add it")
    if packed.schema["bytes"] != pl.Binary:
        raise DataError(
            f"the column holds {kind_name(packed.schema['bytes'])}", file=file, field="bytes", fix="store the files"
        )
    if not is_id_type(packed.schema["item_id"]):
        what = f"the column holds {kind_name(packed.schema['item_id'])} where an id (text or whole number) is needed"
        raise DataError(what, file=file, field="item_id", fix="convert it")
    packed = packed.with_columns(pl.col("item_id").cast(pl.String)).filter(pl.col("item_id").is_not_null())
    repeated = ~packed["item_id"].is_first_distinct()
    if repeated.any():
        row = first_true(repeated)
        what = f'the id "{packed["item_id"][row]}" occurs again'
        raise DataError(what, file=file, row=row + 1, field="item_id", fix="keep one picture per item")
    data = items.select("item_id", "image").join(packed, on="item_id", how="left", maintain_order="left")
    lost = data.filter(pl.col("image").is_not_null() & pl.col("bytes").is_null())
    if len(lost):
        what = f'the image file "{lost["image"][0]}" is not among the pictures'
        raise DataError(
            what, file=file, row=f"item {lost['item_id'][0]}", field="image_file", fix="add it, or leave it empty"
        )
    return PackedImages(file, data.select(pl.when(pl.col("image").is_not_null()).then("bytes")).to_series(), names)


def read_about(folder: Path) -> dict[str, Any]:
    """Name, source and notes from `dataset.json`; nothing when the file is not there."""
    file = folder / "dataset.json"
    if not is_given(file):
        return {}
    try:
        about = parse_json(file.read_bytes())
    except ValueError as error:
        raise DataError(f"the file is not JSON ({error})", file=file, fix="correct or remove it") from error
    if not isinstance(about, dict) or not all(isinstance(about.get(key, ""), str) for key in ("name", "source")):
        raise DataError("the file does not hold name and source as text", file=file, fix="correct or remove it")
    notes = about.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise DataError("the notes are not a list of texts", file=file, fix="correct or remove the file")
    return about


def with_behavior_names(dataset: Dataset, names: tuple[str, ...]) -> Dataset:
    """Number behaviors in the order of `names` (that of an Enum column) instead of the alphabet."""
    histories = dataset.histories
    if histories.behaviors is None:
        return dataset
    number = np.array([names.index(name) for name in histories.behavior_names], np.int8)
    renamed = dataclasses.replace(histories, behaviors=number[histories.behaviors], behavior_names=names)
    return dataclasses.replace(dataset, histories=renamed)


def find(path: Path) -> Path | None:
    """The folder of the events."""
    folder = path.parent if path.name in EVENT_FILES else path
    return folder if any((folder / name).is_file() for name in EVENT_FILES) else None


FORMAT = Format(
    name="parquet",
    title="parquet (also what `save_parquet` writes)",
    files="`items.parquet`, `interactions.parquet`, optional `images.parquet` or `images/`",
    find=find,
    load=load_parquet,
)
