"""A dataset: items, histories, pictures. Validation happens here, once, so that nothing after it has to check again."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.histories import Histories
from macrec.data.images import ImageSource, NoImages
from macrec.data.reading.columns import check_id_column, kind_name, list_column, says_nothing, text_column
from macrec.data.split import Split, published_split, split_histories
from macrec.errors import DataError

ITEM_COLUMNS: Mapping[str, pl.DataType | type[pl.DataType]] = {
    "item_id": pl.String,
    "title": pl.String,
    "brand": pl.String,
    "categories": pl.List(pl.String),
    "description": pl.String,
    "image": pl.String,
}
"""The columns of every item table. Absent text is "", an absent image is null; other columns may follow."""

TEXT_COLUMNS = ("title", "brand", "categories", "description")

LATEST = 100_000_000_000
"""A number of seconds that no event reaches (the year 5138), and that milliseconds since 1970 pass in 1973."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N items, the histories of U users and where the pictures are.

    `items`: a frame whose row i is item i, with `ITEM_COLUMNS` first; `user_ids` `[U]`: the source's own ids;
    `source`: one line that says where the data came from; `notes`: a line for each thing that was left out or chosen
    while loading, for the card. Build one with `from_events`, a loader or `curio`.
    """

    name: str
    items: pl.DataFrame
    histories: Histories
    user_ids: pl.Series
    images: ImageSource
    source: str = field(default="")
    notes: tuple[str, ...] = ()

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.items)

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.histories)

    @property
    def num_events(self) -> int:
        """Interactions of all users together."""
        return len(self.histories.items)

    def split(self, max_history: int | None = None) -> Split:
        """Training, validation and test samples: by the published split where there is one, else leave-one-out.

        Histories hold at most `max_history` items; default: all that came before, which
        is what systems are trained and evaluated with, as each cuts them to what it reads.
        """
        return split_histories(self.histories, max_history)

    @cached_property
    def text_fingerprint(self) -> str:
        """Digest of the input of a text encoder: item ids and texts, in row order."""
        buffer = io.BytesIO()
        self.items.select("item_id", *TEXT_COLUMNS).write_ndjson(buffer)
        return hashlib.blake2b(buffer.getbuffer(), digest_size=16).hexdigest()

    def modality_fingerprint(self, modality: str) -> str:
        """Digest of the input of an encoder of `modality`: texts or images alone, or else everything in the dataset."""
        match modality:
            case "text":
                return self.text_fingerprint
            case "image":
                return self.images.fingerprint
        return self.fingerprint

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything a model could learn from: texts, pictures and histories. The name does not count."""
        digest = hashlib.blake2b((self.text_fingerprint + self.images.fingerprint).encode(), digest_size=16)
        histories = self.histories
        for column in (histories.offsets, histories.items, histories.timestamps, histories.behaviors):
            digest.update(b"none" if column is None else np.ascontiguousarray(column).data)
        digest.update("\x1f".join(histories.behavior_names).encode())
        if histories.parts is not None:
            digest.update(b"split" + np.ascontiguousarray(histories.parts).data)
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"Dataset {self.name}: {self.num_items:,} items ({int(self.images.present.sum()):,} with a picture), "
            f"{self.num_users:,} users, {self.num_events:,} events"
        )


def item_table(frame: pl.DataFrame, *, file: Path | str) -> pl.DataFrame:
    """Bring an item frame into the standard form: `ITEM_COLUMNS` first, texts clean, extra columns kept.

    Only `item_id` must be there. Texts may be lists, nested ones, too; categories may also be one text that holds
    several. Raises DataError for an empty or repeated id and for a column of the wrong type.
    """
    if "item_id" not in frame.columns:
        raise DataError(
            "the column is missing", file=file, field="item_id", fix=f"add it (found: {', '.join(frame.columns)})"
        )
    check_id_column(frame["item_id"], file)
    columns = [frame["item_id"].cast(pl.String)]
    for name in (*TEXT_COLUMNS, "image"):
        if name not in frame.columns or says_nothing(frame[name]):
            absent = pl.lit([] if name == "categories" else None if name == "image" else "", ITEM_COLUMNS[name])
            columns.append(pl.select(absent.alias(name)).to_series().new_from_index(0, len(frame)))
        elif name == "image":
            columns.append(image_column(frame[name], file))
        else:
            columns.append((list_column if name == "categories" else text_column)(frame[name], file))
    items = pl.DataFrame(columns).hstack(frame.select(pl.exclude(list(ITEM_COLUMNS))))
    repeated = ~items["item_id"].is_first_distinct()
    if repeated.any():
        row = first_true(repeated)
        raise DataError(
            f'the id "{items["item_id"][row]}" occurs again',
            file=file,
            row=row + 1,
            field="item_id",
            fix="keep one row per item",
        )
    return items


def from_events(
    name: str,
    events: pl.DataFrame,
    items: pl.DataFrame,
    *,
    events_file: Path | str,
    items_file: Path | str,
    images: ImageSource | None = None,
    source: str = "",
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Build a Dataset from events **already in each user's chronological order** and an item frame.

    `events`: one row per interaction with `user_id` and `item_id` (strings, categories or integers), optional
    `timestamp` (integer seconds since 1970 UTC), `behavior` (string) and `part` (a published split: "train", "valid",
    "test" or "context"); users are numbered by first appearance, the order within a user is kept. `items`: see
    `item_table`; item i is its row i. The `_file` names appear in errors. Raises DataError for a missing column, a
    wrong type, a null, an unknown item, no events at all, and a split that `published_split` refuses.
    """
    items = item_table(items, file=items_file)
    check_ids(events, events_file)
    keys = items.select(pl.col("item_id").alias("id")).with_row_index("item")
    item_ids = events["item_id"]
    rows = number_of(item_ids if isinstance(item_ids.dtype, pl.Categorical) else item_ids.cast(pl.String), keys)
    if rows.null_count():
        row = first_true(rows.is_null())
        raise DataError(
            f'the item "{events["item_id"][row]}" of user "{events["user_id"][row]}" is not in the item table',
            file=events_file,
            row=row + 1,
            field="item_id",
            fix=f"add it to {items_file} or drop the event",
        )

    # Users are numbered by first appearance; a stable sort on that number groups them and keeps their own order.
    users = events.select(pl.col("user_id").alias("id")).unique(maintain_order=True).with_row_index("user")
    user = number_of(events["user_id"], users).to_numpy()
    order = np.argsort(user, kind="stable")
    offsets = np.zeros(len(users) + 1, np.int64)
    np.cumsum(np.bincount(user), out=offsets[1:])
    behavior_names, behaviors = behaviors_of(events, events_file)
    timestamps = timestamps_of(events, events_file)
    histories = Histories(
        offsets,
        rows.to_numpy()[order].astype(np.int32),
        None if timestamps is None else timestamps[order],
        None if behaviors is None else behaviors[order],
        behavior_names,
    )
    user_ids = users["id"].cast(pl.String)
    if "part" in events.columns:
        histories, about = published_split(histories, events["part"].gather(order), user_ids, events_file)
        notes = (*notes, about)
    images = images if images is not None else NoImages(len(items))
    return Dataset(name, items, histories, user_ids, images, source, notes)


def image_column(column: pl.Series, file: Path | str) -> pl.Series:
    """File names of pictures, null where there is none."""
    if column.dtype != pl.String:
        what = f"the column holds {kind_name(column.dtype)} where names of files are needed"
        raise DataError(what, file=file, field="image", fix="convert it, or leave the column out")
    return column.replace("", None)


def first_true(mask: pl.Series) -> int:
    """The first row where a boolean column holds (there must be one)."""
    return int(mask.arg_true()[0])


def number_of(ids: pl.Series, keys: pl.DataFrame) -> pl.Series:
    """Look ids up in `keys` (columns: a row number, then `id`), in order; null where unknown."""
    number = keys.columns[0]
    keys = keys.with_columns(pl.col("id").cast(ids.dtype))
    return ids.to_frame("id").join(keys, on="id", how="left", maintain_order="left")[number]


def check_ids(events: pl.DataFrame, file: Path | str, first_row: int = 1) -> None:
    """Raise DataError unless both id columns are there and hold an id in every row, of which there is one at least."""
    for column in ("user_id", "item_id"):
        if column not in events.columns:
            names = ", ".join(events.columns)
            raise DataError("the column is missing", file=file, field=column, fix=f"add it (found: {names})")
        check_id_column(events[column], file, first_row)
    if len(events) == 0:
        raise DataError("there are no events", file=file, fix="give at least one user with one item")


def timestamps_of(events: pl.DataFrame, file: Path | str, first_row: int = 1) -> NDArray[np.int64] | None:
    """The times of all events, or None when the column is absent or all null.

    Raises DataError for times that are missing on some rows only, and for such as cannot be seconds.
    """
    if "timestamp" not in events.columns or says_nothing(events["timestamp"]):
        return None
    times = events["timestamp"]
    advice = "give every event a time in whole seconds since 1970, or leave the column out"
    if not times.dtype.is_integer():
        raise DataError(f"the column holds {kind_name(times.dtype)}", file=file, field="timestamp", fix=advice)
    if times.null_count():
        row = first_row + first_true(times.is_null())
        raise DataError("the time is missing", file=file, row=row, field="timestamp", fix=advice)
    seconds = times.cast(pl.Int64, strict=False)  # polars compares unsigned numbers with none below 0
    late = ~seconds.is_between(1 - LATEST, LATEST - 1).fill_null(False)
    if late.any():
        row = first_true(late)
        what = f"the time {times[row]} is not in seconds (in milliseconds it would be)"
        fix = "divide milliseconds by 1000, microseconds by 1000000"
        raise DataError(what, file=file, row=first_row + row, field="timestamp", fix=fix)
    return seconds.to_numpy()


def behaviors_of(events: pl.DataFrame, file: Path | str) -> tuple[tuple[str, ...], NDArray[np.int8] | None]:
    """The names of the behaviors and the index of each event's, or no names and None when there is no such column."""
    if "behavior" not in events.columns or events["behavior"].null_count() == len(events):
        return (), None
    column = events["behavior"].cast(pl.String)
    if column.null_count():
        row = first_true(column.is_null()) + 1
        raise DataError("the behavior is missing", file=file, row=row, field="behavior", fix="fill it in")
    names = column.unique().sort()
    if len(names) > 127:
        raise DataError(f"there are {len(names)} different behaviors", file=file, field="behavior", fix="merge some")
    return tuple(names), column.cast(pl.Enum(names)).to_physical().cast(pl.Int8).to_numpy()
