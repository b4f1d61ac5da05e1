"""A person's history as a strip of pictures, with what the split makes of it."""

from __future__ import annotations

import html

import numpy as np

from macrec.data.dataset import Dataset
from macrec.data.histories import Histories
from macrec.viz.labels import item_label
from macrec.viz.pictures import labelled, picture_tag
from macrec.viz.theme import FONT, FUSED, IMAGE, MUTED


def personas(histories: Histories) -> dict[str, int]:
    """Three users picked by rule: the first with the shortest, the median and the longest history."""
    lengths = histories.lengths
    median = np.sort(lengths)[len(lengths) // 2]
    return {
        "a newcomer": int(lengths.argmin()),
        "a typical user": int(np.flatnonzero(lengths == median)[0]),
        "a heavy user": int(lengths.argmax()),
    }


def history_strip(dataset: Dataset, user: int, label: str = "", limit: int = 10, size: int = 84) -> str:
    """One history as HTML, oldest first; the last item is the test target, the one before it the validation target.

    A long history shows its last `limit` items and says how many came before.
    """
    items = dataset.histories[user]
    hidden = max(0, len(items) - limit)
    roles = ["train"] * len(items)
    if len(items) >= 3:
        roles[-2:] = ["validation target", "test target"]
    colors = {"train": MUTED, "validation target": FUSED, "test target": IMAGE}
    cells = []
    for item, role in zip(items[hidden:], roles[hidden:], strict=True):
        color = colors[role]
        cells.append(
            f'<figure style="max-width:{size}px;margin:0;overflow-wrap:anywhere">'
            f'<div style="border-top:4px solid {color};padding-top:4px">{picture_tag(dataset, int(item), size)}</div>'
            f'<figcaption style="line-height:1.2">{html.escape(item_label(dataset, int(item)))}'
            f'<div style="color:#555"><i>{role}</i></div></figcaption></figure>'
        )
    name = f"{label or 'user'}: {dataset.user_ids[user]}, {len(items)} events"
    before = f'<div style="align-self:center;color:#666">… {hidden} before</div>' if hidden else ""
    # Columns become narrower, down to four fifths, before a picture goes into a second row, as it did at 980 pixels.
    columns = f"repeat(auto-fit,minmax({size * 4 // 5}px,1fr));max-width:{(len(cells) + bool(hidden)) * (size + 10)}px"
    style = f"font:12px {html.escape(FONT, quote=True)};color:#222;background:#fff;padding:6px 8px"
    return (
        f'<section {labelled(f"{name}, oldest first.")} style="{style}">'
        f'<b>{html.escape(name)}</b><div style="display:grid;grid-template-columns:{columns};gap:10px;margin-top:4px">'
        f"{before}{''.join(cells)}</div></section>"
    )
