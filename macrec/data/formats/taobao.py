"""Alibaba's user behavior on Taobao (Tianchi data set 649)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.format import Format, existing, unpacked
from macrec.data.reading.delimited import read_csv
from macrec.data.reading.ordering import chronological
from macrec.data.reading.text_files import existing_file

FILE = "UserBehavior.csv"
COLUMNS = {
    "user_id": pl.String,
    "item_id": pl.String,
    "category": pl.String,
    "behavior": pl.String,
    "timestamp": pl.Int64,
}


def find(path: Path) -> Path | None:
    """The file, alone or in a folder."""
    if path.is_dir():
        return existing(path, FILE)
    return path if path.is_file() and unpacked(path) == FILE else None


def load(path: Path | str, *, name: str | None = None) -> Dataset:
    """Load `UserBehavior.csv`: user, item, category, behavior (pv, cart, fav, buy), time in seconds; no header.

    Every line is an event, whatever its behavior, which is kept beside it; the order is by time, ties in file order.
    Items are those of the events; their categories, which are numbers, read "category 2520377", in the order in which
    they occur.
    """
    file = Path(path) if not Path(path).is_dir() else existing(Path(path), FILE) or Path(path) / FILE
    events = pl.concat(read_csv(existing_file(file), COLUMNS, header=False, quoted=False))
    categories = pl.format("category {}", "category").unique(maintain_order=True)
    items = events.group_by("item_id", maintain_order=True).agg(categories=categories)
    events = events.drop("category")
    ordered = chronological(events, items["item_id"], by="timestamp", events_file=file, items_file=file)
    notes = ("every line counts as an event, whatever its behavior",)
    return from_events(
        name or "Taobao", ordered, items, events_file=file, items_file=file, source=file.name, notes=notes
    )


FORMAT = Format(
    name="taobao",
    title="Taobao user behavior",
    files="`UserBehavior.csv[.gz]`: user, item, category, behavior, time",
    find=find,
    load=load,
)
