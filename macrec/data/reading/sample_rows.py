"""From published samples (history, next item) back to whole histories, with the part that each event is a target of.

Published benchmarks list samples rather than events: one row per target, its history often cut to the newest 10 or 50.
The rows of one user overlap, so his sequence can be put together again, and each event bears the part of the row that
asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.histories import PARTS
from macrec.errors import DataError


def events_of_rows(rows: pl.DataFrame, files: Mapping[str, Path]) -> pl.DataFrame:
    """Put together the histories of sample rows: `user_id`, `item_id`, `part` (and `timestamp`), each user in order.

    `rows`: `user_id`, `part` ("train", "valid" or "test"), `row` (its number in the file of that part), `history` (a
    list of ids, oldest first), `item_id` (the target) and optional `history_timestamp` and `timestamp`. A user's rows
    of one part may run from old to new or from new to old. Events that are no target belong to training when a
    training row holds them, and are context else. Raises DataError for a row that does not continue the one before.
    """
    rows = chronological_rows(rows)
    timed = {"history_timestamp", "timestamp"} <= set(rows.columns)
    length = rows["history"].list.len().to_numpy().astype(np.int64)
    begin = np.concatenate([[0], np.cumsum(length + 1)])
    flat = rows.select(item_id=pl.concat_list("history", "item_id")).explode("item_id")["item_id"]
    code = flat.rank("dense").to_numpy()
    same_user = np.concatenate([[False], (rows["user_id"] == rows["user_id"].shift(1))[1:].to_numpy()])

    # A row repeats what stands in the row before (history and target), or the newest part of it, and adds what is new.
    before = np.concatenate([[0], length[:-1]])
    overlap = np.where(same_user, np.minimum(before + 1, length), 0)
    shift = np.where(length > before, 0, before + 1 - length)
    position = np.arange(int(overlap.sum())) - np.repeat(np.cumsum(overlap) - overlap, overlap)
    ours = np.repeat(begin[:-1], overlap) + position
    theirs = np.repeat(np.concatenate([[0], begin[:-2]]) + shift, overlap) + position
    differs = np.flatnonzero(code[ours] != code[theirs])
    if len(differs):
        raise not_continued(rows, int(np.repeat(np.arange(len(rows)), overlap)[differs[0]]), files)

    owner = np.repeat(np.arange(len(rows)), length + 1)
    place = np.arange(len(flat)) - begin[owner]
    new = place >= overlap[owner]
    is_target = place == length[owner]
    row_part = rows["part"].cast(pl.Enum(PARTS)).to_physical().to_numpy()[owner]
    part = np.where(is_target | (row_part == 0), row_part, PARTS.index("context"))
    events = {
        "user_id": rows["user_id"].gather(owner[new]),
        "item_id": flat.filter(pl.Series(new)),
        "part": pl.Series(PARTS, dtype=pl.Enum(PARTS)).gather(part[new]).cast(pl.String),
    }
    if timed:
        times = rows.select(time=pl.concat_list("history_timestamp", "timestamp")).explode("time")["time"]
        events["timestamp"] = times.filter(pl.Series(new))
    return pl.DataFrame(events)


def chronological_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows by user (in the order of appearance), part, length of the history, and at equal lengths in their order."""
    rows = rows.with_columns(
        length=pl.col("history").list.len().cast(pl.Int64), rank=pl.col("part").cast(pl.Enum(PARTS)).to_physical()
    )
    step = pl.col("length").diff().over("user_id", "part")
    # MQL4GRec lists a user's training rows from the newest to the oldest; histories at the cap do not tell which way.
    ways = rows.group_by("part").agg(back=(step < 0).sum() > (step > 0).sum())
    users = rows.select(pl.col("user_id").unique(maintain_order=True)).with_row_index("user")
    rows = rows.join(users, on="user_id", maintain_order="left").join(ways, on="part", maintain_order="left")
    row = pl.col("row").cast(pl.Int64)
    order = pl.when("back").then(-row).otherwise(row)
    return rows.sort("user", "rank", "length", order)


def not_continued(rows: pl.DataFrame, number: int, files: Mapping[str, Path]) -> DataError:
    """The error for a row whose history does not continue the row before it."""
    row, before = rows.row(number, named=True), rows.row(number - 1, named=True)
    place = "" if before["part"] == row["part"] else f" of {files[before['part']].name}"
    return DataError(
        f'the history of user "{row["user_id"]}" does not continue that of row {before["row"]}{place}',
        file=files[row["part"]],
        row=row["row"],
        fix="give rows whose histories overlap, or one file of whole histories",
    )


def aligned_parts(
    events: pl.DataFrame, user_ids: pl.Series, lengths: NDArray[np.int64], items: pl.Series, file: Path
) -> pl.Series:
    """The part of every event of whole histories, from `events` of `events_of_rows`, which may begin later.

    `user_ids` `[U]`, `lengths` `[U]` and `items` `[nnz]`, ids as in `events`: the whole histories, users after one
    another. What stands before the first event known is for training, and so are users without samples. Raises
    DataError where the two disagree; `file` is that of the samples.
    """
    known = events.with_columns(place=pl.int_range(pl.len()).over("user_id"), count=pl.len().over("user_id"))
    whole = pl.DataFrame({"user_id": user_ids.gather(np.repeat(np.arange(len(user_ids)), lengths)), "item_id": items})
    whole = whole.with_columns(place=pl.int_range(pl.len()).over("user_id"), length=pl.len().over("user_id"))
    counts = events.group_by("user_id", maintain_order=True).len("count")
    strangers = counts.join(whole, on="user_id", how="anti", maintain_order="left")
    if len(strangers):
        what = "the user has no history in the .inter.json file"
        raise DataError(what, file=file, row=f'user "{strangers["user_id"][0]}"', fix="make the files agree")
    whole = whole.join(counts, on="user_id", how="left", maintain_order="left")
    known = known.select("user_id", known="item_id", part="part", place="place")
    whole = whole.with_columns(place=pl.col("place").cast(pl.Int64) - pl.col("length") + pl.col("count"))
    both = whole.join(known, on=["user_id", "place"], how="left", maintain_order="left")
    wrong = both.filter(
        (pl.col("place") >= 0) & (pl.col("known") != pl.col("item_id")) | (pl.col("count") > pl.col("length"))
    )
    if len(wrong):
        what = "the samples do not agree with the history in the .inter.json file"
        raise DataError(what, file=file, row=f'user "{wrong["user_id"][0]}"', fix="make the files agree")
    return both["part"].fill_null("train")
