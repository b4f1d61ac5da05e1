"""A toy dataset format in one file: a text of lines "user item time"."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from macrec.data import Dataset, from_events
from macrec.data.formats.format import Format


def find(path: Path) -> Path | None:
    """The file itself."""
    return path if path.suffix == ".triples" else None


def load(path: Path | str) -> Dataset:
    """Users and items by first appearance, each history in the order of time."""
    rows = [line.split() for line in Path(path).read_text().splitlines()]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    events = events.with_columns(pl.col("timestamp").cast(pl.Int64)).sort("timestamp", maintain_order=True)
    items = events.select("item_id").unique(maintain_order=True)
    return from_events(Path(path).stem, events, items, events_file=path, items_file=path)


FORMAT = Format(name="triples", title="Triples", files="`<D>.triples`", find=find, load=load)
