"""The workbench's own layout: a folder of parquet files. Any dataset can be saved to it and comes back the same."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from macrec.data.columns import is_id_type, kind_name, says_nothing
from macrec.data.dataset import Dataset, first_true, from_events, item_table
from macrec.data.decoding import defect
from macrec.data.histories import PARTS
from macrec.data.images import FolderImages, ImageSource, NoImages, PackedImages
from macrec.data.ordering import check_histories, chronological
from macrec.data.parquet_footer import unpacked_bytes
from macrec.data.picture_files import some
from macrec.data.reading import existing_file, is_given, parse_json
from macrec.data.split import parts_of
from macrec.errors import DataError, unseen
from macrec.files import check_replaceable, replacing, write_json

EVENT_FILES = ("interactions.parquet", "interactions_unordered.parquet")
EVENT_COLUMNS = ("user_id", "item_id", "user_idx", "item_idx", "timestamp", "pos", "behavior", "split")
ROWS, ROWS_PER_BYTE = 1_000_000, 8
"""Rows that a file may always have, and how many more for every byte of it."""
OPTIONAL = ("user_idx", "item_idx", "timestamp", "pos", "behavior", "split")
UNPACKED, UNPACKED_PER_BYTE = 128 << 20, 50
"""Bytes that a file may always have once unpacked, and how many more for every byte of it."""
NUMBERS, TEXTUAL = ("user_idx", "item_idx", "timestamp", "pos"), ("behavior", "split")
BATCH_BYTES = 4 << 20
"""Picture bytes handed to the parquet writer at a time while saving; it keeps some such batches."""


def load_parquet(folder: Path | str, *, name: str | None = None) -> Dataset:
    """Load a folder with `items.parquet`, `interactions.parquet` and, for pictures, `images.parquet` or `images/`.

    Items: `item_id` or `item_idx` (given, it fixes the rows: 0..N-1), and optional title, brand, categories,
    description, `image_file` (null: no picture) and any other columns; without the file, the items met are the items.
    Interactions: `user_id` or `user_idx`, `item_id` or `item_idx`, and optional `pos` (given, it fixes the order; else
    `timestamp` in seconds does, else the file), `timestamp`, `behavior`, `split` (train, valid, test; context, or
    nothing, for an event that is read but never predicted). Pictures: rows (`item_id`, `bytes`), or files
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


def save_parquet(dataset: Dataset, folder: Path | str) -> Path:
    """Write a dataset as the layout `load_parquet` reads, all or nothing. Returns the folder.

    A folder that was saved before is replaced as a whole; any other with something in it is refused (DataError).
    Pictures that are encoded already (a folder, a parquet column) are copied byte for byte, so that the fingerprint
    stays; drawn ones are encoded as WebP.
    """
    check_histories(dataset)
    check_replaceable(Path(folder))
    present = dataset.images.present
    rows = pl.int_range(dataset.num_items, dtype=pl.Int32, eager=True).alias("item_idx")
    named = pl.when(pl.Series(present)).then(pl.coalesce("image", pl.format("{}.webp", rows)))
    items = dataset.items.with_columns(named.alias("image")).rename({"image": "image_file"}).insert_column(1, rows)
    with replacing(Path(folder)) as temporary:
        temporary.mkdir()
        items.write_parquet(temporary / "items.parquet")
        event_table(dataset).write_parquet(temporary / "interactions.parquet")
        if present.any():
            schema = pl.Schema({"item_id": pl.String, "image_file": pl.String, "bytes": pl.Binary})
            frames = picture_frames(dataset.images, items["item_id"], items["image_file"])
            stream = register_io_source(lambda *_: frames, schema=schema)
            # Opened here: polars' own thread would create it in a folder that a failing picture has removed.
            with (temporary / "images.parquet").open("wb") as file:
                stream.sink_parquet(file, row_group_size=256)
        write_json(temporary / "dataset.json", {"name": dataset.name, "source": dataset.source, "notes": dataset.notes})
    return Path(folder)


def event_table(dataset: Dataset) -> pl.DataFrame:
    """One row per event, users after one another and each oldest first: the columns of `interactions.parquet`."""
    histories = dataset.histories
    user = histories.users
    pos = np.arange(len(user)) - histories.offsets[:-1][user]
    columns = {
        "user_id": dataset.user_ids.gather(user),
        "item_id": dataset.items["item_id"].gather(histories.items),
        "user_idx": pl.Series(user),
        "item_idx": pl.Series(histories.items),
        "timestamp": pl.Series([None], dtype=pl.Int64).new_from_index(0, len(user))
        if histories.timestamps is None
        else pl.Series(histories.timestamps),
        "pos": pl.Series(pos.astype(np.int32)),
        "split": pl.Series(PARTS, dtype=pl.Enum(PARTS)).gather(parts_of(histories)),
    }
    if histories.behaviors is not None:
        names = pl.Series(histories.behavior_names, dtype=pl.String)
        columns["behavior"] = names.gather(histories.behaviors).cast(pl.Enum(names))
    return pl.DataFrame(columns)


def picture_frames(images: ImageSource, item_ids: pl.Series, files: pl.Series) -> Iterator[pl.DataFrame]:
    """The rows of `images.parquet`, in frames of about `BATCH_BYTES`."""
    rows: list[int] = []
    batch: list[bytes] = []
    size = 0

    def frame() -> pl.DataFrame:
        data = pl.Series("bytes", batch, pl.Binary)
        return pl.DataFrame([item_ids.gather(rows).alias("item_id"), files.gather(rows).alias("image_file"), data])

    for row in np.flatnonzero(images.present).tolist():
        rows.append(row)
        batch.append(encoded(images, row))
        size += len(batch[-1])
        if size >= BATCH_BYTES:
            yield frame()
            rows, batch, size = [], [], 0
    if rows:
        yield frame()


def encoded(images: ImageSource, row: int) -> bytes:
    """One picture as the bytes of an image file: the original ones where there are such."""
    if isinstance(images, PackedImages):
        return bytes(images.data[row])
    if isinstance(images, FolderImages) and (file := images.files[row]) is not None:
        return file.read_bytes()
    buffer = io.BytesIO()
    images.open(row).save(buffer, "WEBP", quality=90)
    return buffer.getvalue()


def read_table(file: Path, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    """Read a parquet file, or those of `columns` that it has. Raises DataError when it is missing or not parquet."""
    existing_file(file)
    try:
        schema = pl.read_parquet_schema(file)
        wanted = [name for name in schema if columns is None or name in columns]
        rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        if rows > ROWS + ROWS_PER_BYTE * file.stat().st_size:
            what = f"the file claims to hold {rows:,} rows, more than fit into its size"
            raise DataError(what, file=file, fix="fetch or write it again")
        if (size := unpacked_bytes(file)) > UNPACKED + UNPACKED_PER_BYTE * file.stat().st_size:
            what = f"the file says it holds {size >> 20:,} MB unpacked, far more than its size"
            raise DataError(what, file=file, fix="check where it comes from, or write it again")
        return pl.read_parquet(file, columns=wanted)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        is_panic = isinstance(error, pl.exceptions.PanicException)  # its words are about the code of polars
        reason = "its bytes are damaged" if is_panic else (str(error).splitlines() or ["damaged"])[0]
        what = f"the file is not readable as parquet ({reason})"
        raise unseen(error, file) or DataError(what, file=file, fix="fetch or write it again") from error


def check_kinds(events: pl.DataFrame, file: Path) -> None:
    """Raise DataError for optional columns of events that are of the wrong type or only partly filled."""
    for name in (name for name in OPTIONAL if name in events.columns):
        found = events.schema[name]
        is_text = found == pl.String or isinstance(found, pl.Categorical | pl.Enum)
        if not (found.is_integer() or (name in TEXTUAL and is_text)):
            needed = (
                "text" if name in TEXTUAL else "whole seconds since 1970" if name == "timestamp" else "whole numbers"
            )
            what = f"the column holds {kind_name(found)} where {needed} must stand"
            raise DataError(what, file=file, field=name, fix="convert it, or leave the column out")
        if (
            found.is_integer()
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
    found = pictures(folder, items)
    sources = found.data if isinstance(found, PackedImages) else found.files if isinstance(found, FolderImages) else []
    defects = {row: why for row, source in enumerate(sources) if source is not None and (why := defect(source))}
    if not defects:
        return items, found, ()
    broken = [f"item {items['item_id'][row]} ({why})" for row, why in defects.items()]
    note = f"{len(broken):,} of {int(found.present.sum()):,} pictures do not decode, so that their items have none: "
    items = items.with_columns(image=pl.when(~pl.int_range(pl.len()).is_in(list(defects))).then("image"))
    return items, pictures(folder, items), (note + some(broken),)


def pictures(folder: Path, items: pl.DataFrame) -> ImageSource:
    """The pictures that the `image` column of an item table speaks of."""
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
