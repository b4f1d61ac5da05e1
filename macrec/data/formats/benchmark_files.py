"""Benchmarks in RecBole's form: `<D>.train.inter`, `<D>.valid.inter`, `<D>.test.inter`, a split that is kept."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset, from_events
from macrec.data.histories import CONTEXT, Histories
from macrec.data.reading.atomic_files import read_columns, read_header, read_items
from macrec.data.reading.ordering import chronological
from macrec.data.reading.sample_rows import events_of_rows
from macrec.data.reading.text_files import existing_file, is_given
from macrec.data.split import split_histories
from macrec.errors import DataError

PART_FILE = re.compile(r"\.(train|valid|test)$")
HELD_OUT = ("train", "valid", "test")

CAP = 50
"""Items in the longest history of a published sample file (MQL4GRec, MACRec)."""


def part_files(prefix: Path) -> dict[str, Path]:
    """The file of each part, plain or gzipped; raises DataError for one that is missing."""
    by_part = {}
    for part in HELD_OUT:
        file = prefix.with_name(f"{prefix.name}.{part}.inter")
        packed = file.with_name(f"{file.name}.gz")
        by_part[part] = packed if is_given(packed) else existing_file(file)
    return by_part


def load_benchmark(
    prefix: Path | str,
    *,
    user: str | None = None,
    item: str = "item_id",
    time: str = "timestamp",
    name: str | None = None,
) -> Dataset:
    """Load `<D>.train.inter`, `<D>.valid.inter` and `<D>.test.inter`, and `<D>.item` where it is there.

    `prefix`: `folder/<D>`; the columns as for `load_recbole`. Rows are samples (`user`, `<item>_list:token_seq`,
    `item`) or events (`user`, `item` and, if there, `time`). Histories come from all three files, and what each file
    asks for stays in its part. Raises DataError for rows that do not fit together, and for a split that puts an event
    for training behind one that is held out.
    """
    prefix = Path(prefix)
    files = part_files(prefix)
    kinds = read_header(files["train"])
    user = user or ("session_id" if "session_id" in kinds and "user_id" not in kinds else "user_id")
    in_samples = f"{item}_list" in kinds
    events = (
        events_of_rows(sample_rows(files, user, item), files) if in_samples else event_rows(files, user, item, time)
    )
    items_file = prefix.with_name(f"{prefix.name}.item")
    if is_given(items_file):
        items = read_items(items_file, item)
    else:
        items_file, items = files["train"], events.select("item_id").unique(maintain_order=True)
    by = "timestamp" if "timestamp" in events.columns and not in_samples else None
    ordered = chronological(events, items["item_id"], by=by, events_file=files["train"], items_file=items_file)
    source = ", ".join(file.name for file in files.values())
    return from_events(
        name or prefix.name, ordered, items, events_file=files["train"], items_file=items_file, source=source
    )


def write_benchmark(histories: Histories, prefix: Path) -> None:
    """Write the published split of `histories` as three files of samples; users and items go by their numbers.

    Histories are cut to the newest 50 items, as published ones are, unless they hold events that are no target,
    which would then not be seen to belong between two rows. Of a user without a sample in training the files do not say
    that his first event is for training: it comes back as context.
    """
    whole = histories.parts is not None and (histories.parts == CONTEXT).any()
    for part, samples in zip(HELD_OUT, split_histories(histories, None if whole else CAP), strict=True):
        rows = pl.DataFrame({"row": np.repeat(np.arange(len(samples)), samples.lengths), "item": samples.flat()[0]})
        lists = rows.group_by("row", maintain_order=True).agg(pl.col("item").cast(pl.String).str.join(" "))
        columns = {
            "user_id:token": samples.user,
            "item_id_list:token_seq": lists["item"],
            "item_id:token": samples.targets,
        }
        table = pl.DataFrame(columns)
        table.write_csv(prefix.with_name(f"{prefix.name}.{part}.inter"), separator="\t", quote_style="never")


def sample_rows(files: dict[str, Path], user: str, item: str) -> pl.DataFrame:
    """The rows of all three files, as `events_of_rows` takes them."""
    wanted = {user: pl.String, f"{item}_list": pl.String, item: pl.String}
    frames = []
    for part, file in files.items():
        frame = read_columns(file, read_header(file), wanted).select(
            user_id=user,
            history=pl.col(f"{item}_list").str.strip_chars(" ").str.split(" "),
            item_id=item,
            part=pl.lit(part),
        )
        frames.append(frame.with_row_index("row", 2))
    return pl.concat(frames)


def event_rows(files: dict[str, Path], user: str, item: str, time: str) -> pl.DataFrame:
    """The events of all three files, training first, so that equal times keep that order."""
    frames = []
    for part, file in files.items():
        kinds = read_header(file)
        timed = {time: pl.Float64} if time in kinds else {}
        frame = read_columns(file, kinds, {user: pl.String, item: pl.String, **timed})
        columns = {"user_id": pl.col(user), "item_id": pl.col(item), "part": pl.lit(part)}
        if timed:
            columns["timestamp"] = pl.col(time).floor().cast(pl.Int64, strict=False)
        frames.append(frame.select(**columns))
    if len({tuple(frame.columns) for frame in frames}) > 1:
        what, fix = "the column is in some of the three files only", "add it to all, or leave it out"
        raise DataError(what, file=files["train"], field=time, fix=fix)
    return pl.concat(frames)
