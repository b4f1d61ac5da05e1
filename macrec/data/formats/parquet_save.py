"""Saving a dataset as a folder of parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from macrec.data.dataset import Dataset
from macrec.data.histories import PARTS
from macrec.data.images import FolderImages, ImageSource, PackedImages
from macrec.data.reading.ordering import check_histories
from macrec.data.split import parts_of
from macrec.files import check_replaceable, replacing, write_json

BATCH_BYTES = 4 << 20
"""Picture bytes handed to the parquet writer at a time while saving; it keeps some such batches."""


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
