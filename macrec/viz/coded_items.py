"""The items behind semantic IDs: which rows of a dataset they are, and how to show them with or without one."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset, first_true, number_of
from macrec.errors import DataError
from macrec.quantization.id_matching import match_items
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.labels import member_labels
from macrec.viz.pictures import picture_grid

Rows = NDArray[np.int64]


def item_rows(ids: SemanticIds, data: Dataset) -> Rows:
    """The row `[N]` in the dataset of every item that has a semantic ID: `match_items` says how they are found.

    Raises DataError for an item that the dataset does not have.
    """
    names = match_items(ids.item_ids, data.items["item_id"]).names
    rows = number_of(ids.item_ids, names.to_frame("id").with_row_index("row"))
    if not rows.null_count():
        return rows.cast(pl.Int64).to_numpy()
    lost = ids.item_ids[first_true(rows.is_null())]
    raise DataError(
        f'the item "{lost}" has a semantic ID and is not among the {data.num_items:,} items of {data.name} '
        f"({rows.null_count():,} of {len(ids):,} are not)",
        fix="open the dataset that the IDs were made for, or view the IDs without one",
    )


def level_names(ids: SemanticIds) -> list[str]:
    """A short name per level: of codebooks "text_a", "text_b" only "a", "b", unless that mixes levels up."""
    short = [name.rsplit("_", 1)[-1] for name in ids.codebooks]
    return short if len(set(short)) == len(short) else list(ids.codebooks)


def spelled(ids: SemanticIds, row: int, levels: int | None = None) -> str:
    """The first `levels` codes of an item as words (all by default): "a_12 b_7 c_0"."""
    codes = ids.codes[row, :levels].tolist()
    return " ".join(f"{name}_{code}" for name, code in zip(level_names(ids), codes, strict=False))


def counted(number: int, thing: str) -> str:
    """A number of things: "1 item", "2,000 items"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def items_in(figure: go.Figure) -> Rows:
    """The items that a figure's customdata names, each once: the rows its `Gallery` needs."""
    named = {row for trace in figure.data if trace.customdata is not None for row in _named(trace.customdata)}
    return np.array(sorted(row for row in named if row >= 0), np.int64)


def _named(points: Iterable[Any]) -> Iterator[int]:
    """The item of every point: a row, or [row, note]; the points of a heat map stand in lists of their own."""
    for point in points:
        if not isinstance(point, list | tuple | np.ndarray):
            yield int(point)
        elif len(point) and isinstance(point[0], list | tuple | np.ndarray):
            yield from _named(point)
        else:
            yield int(point[0])


def item_cards(
    ids: SemanticIds, members: Sequence[int], data: Dataset | None, rows: Rows | None, notes: Sequence[str], size: int
) -> str:
    """Some items with a note each as HTML: pictures where the dataset has any, else titles, else ids.

    `members` are rows of the IDs, `rows` `[N]` their rows in the dataset.
    """
    if data is not None and rows is not None and data.images.present.any():
        return picture_grid(data, rows[list(members)].tolist(), notes, size)
    cells = []
    for name, note in zip(member_labels(ids, members, data, rows), notes, strict=True):
        cells.append(
            f'<div style="width:{max(size, 150)}px;border-left:2px solid #bbb;padding-left:6px;line-height:1.25">'
            f'{html.escape(name)}<div style="color:#666">{html.escape(note)}</div></div>'
        )
    style = "display:flex;flex-wrap:wrap;gap:14px;font:12px system-ui,sans-serif;color:#222;background:#fff;padding:8px"
    return f'<div style="{style}">{"".join(cells)}</div>'
