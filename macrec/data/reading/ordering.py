"""Bringing events into each user's order, with their problems found while the rows still stand as in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset, check_ids, first_true, number_of, timestamps_of
from macrec.errors import DataError


def chronological(
    events: pl.DataFrame,
    item_ids: pl.Series,
    *,
    by: str | None,
    events_file: Path,
    items_file: Path,
    first_row: int = 1,
) -> pl.DataFrame:
    """Group events by user (users by first appearance), each user's sorted by the column `by`, ties in file order.

    `by=None` keeps the file's order within a user. `item_ids` are the known items as strings; `first_row` is the number
    of the first event as an editor shows it. Raises DataError for a missing id column, an empty id, an event whose
    item is unknown and a time that is missing on some rows only.
    """
    check_ids(events, events_file, first_row)
    timestamps_of(events, events_file, first_row)
    unknown = ~events["item_id"].cast(pl.String).is_in(item_ids.implode())
    if unknown.any():
        row = first_true(unknown)
        raise DataError(
            f'the item "{events["item_id"][row]}" of user "{events["user_id"][row]}" is not in the item table',
            file=events_file,
            row=first_row + row,
            field="item_id",
            fix=f"add it to {items_file} or drop the event",
        )
    if by is None:
        return events
    users = events.select(pl.col("user_id").alias("id")).unique(maintain_order=True).with_row_index("user")
    user = number_of(events["user_id"], users).to_numpy()
    order = np.lexsort((events[by].to_numpy(), user))
    return events if (np.diff(order) == 1).all() else events[order]


def check_histories(dataset: Dataset) -> None:
    """Raise DataError for a user without events: no file format of ours can hold one."""
    empty = np.flatnonzero(dataset.histories.lengths == 0)
    if len(empty):
        user = f"user {dataset.user_ids[int(empty[0])]}"
        raise DataError("the history is empty", row=user, fix="drop the user before saving")
