"""Item pictures in pages: thumbnails, a sprite sheet for hovers, and the small script that shows them."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from macrec.data.dataset import Dataset
from macrec.viz.assets import script_tag
from macrec.viz.labels import item_label, item_labels

SHEET_PIXELS = 4_600_000
"""Pixels of a sprite sheet, about 0.8 MB in a page: 2,000 pictures of 48 pixels, or fewer larger ones."""


def script_json(value: Any) -> str:
    """JSON that is safe inside a <script> element, whatever text it carries."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "").replace("\u2029", "")


def data_uri(picture: Image.Image, quality: int = 75) -> str:
    """A picture as a WebP data URI."""
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=quality, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def thumbnail(dataset: Dataset, row: int, size: int) -> Image.Image | None:
    """The picture of an item, whole, inside a white square of `size` pixels; None when it has none."""
    if not dataset.images.present[row]:
        return None
    return ImageOps.pad(dataset.images.open(row), (size, size), Image.Resampling.LANCZOS, color="white")


class Gallery:
    """The pictures and cards of some items, sent to a page once and shown wherever a point of a figure names the item.

    `rows` `[n]` are items (default: all); `lines` gives further lines of each card, by label (`[n]` values each, at
    most four).
    """

    def __init__(
        self,
        dataset: Dataset,
        rows: NDArray[np.integer] | None = None,
        lines: dict[str, Sequence[Any]] | None = None,
    ) -> None:
        rows = np.arange(dataset.num_items) if rows is None else rows
        self.dataset, self.rows, self.lines = dataset, rows, lines or {}
        shown = {label: [str(value) for value in values] for label, values in self.lines.items()}
        named = json.dumps([dataset.fingerprint, rows.tolist(), shown])
        self.key = hashlib.blake2b(named.encode(), digest_size=6).hexdigest()

    @cached_property
    def sprite(self) -> tuple[str, int, int]:
        """All thumbnails as one image (data URI), its columns, and the pixels of a thumbnail; no picture, a gap."""
        columns = max(1, math.ceil(math.sqrt(len(self.rows))))
        size = min(64, max(24, math.isqrt(SHEET_PIXELS // max(1, len(self.rows)))))
        sheet = Image.new("RGB", (columns * size, -(-len(self.rows) // columns) * size), "white")
        for place, row in enumerate(self.rows):
            picture = thumbnail(self.dataset, int(row), size)
            if picture is not None:
                sheet.paste(picture, (place % columns * size, place // columns * size))
        return data_uri(sheet, quality=55), columns, size

    def script(self) -> str:
        """A <script> that hands pictures and cards to the page and shows them under the pointer."""
        uri, columns, _ = self.sprite
        pictured = self.dataset.images.present[self.rows]
        gallery = {
            "uri": uri,
            "columns": columns,
            "rows": self.rows.tolist(),
            "pictured": pictured.astype(int).tolist(),
            "titles": item_labels(self.dataset, self.rows),
            "lines": {label: [str(value) for value in values] for label, values in self.lines.items()},
        }
        call = f"showGallery({script_json(self.key)}, {script_json(gallery)});"
        return script_tag(call, Path(__file__).with_name("gallery.js"))


def labelled(label: str) -> str:
    """The attributes of an HTML view for screen readers: one sentence that describes it."""
    return f'role="group" aria-label="{html.escape(label, quote=True)}"'


def picture_grid(
    dataset: Dataset, rows: Sequence[int], notes: Sequence[str] | None = None, size: int = 112, label: str = ""
) -> str:
    """A grid of items as HTML: pictures with titles below (and a note each); an item without picture shows a frame.

    `label`: a sentence that describes a grid that stands alone.
    """
    cells = []
    for place, row in enumerate(rows):
        note = f'<div style="color:#666">{html.escape(notes[place])}</div>' if notes else ""
        cells.append(
            f'<figure style="width:{size}px;margin:0">{picture_tag(dataset, int(row), size)}'
            f'<figcaption style="line-height:1.25;margin-top:4px">{html.escape(item_label(dataset, int(row)))}{note}'
            "</figcaption></figure>"
        )
    style = "display:flex;flex-wrap:wrap;gap:14px;font:12px system-ui,sans-serif;color:#222;background:#fff;padding:8px"
    return f'<div {labelled(label) if label else ""} style="{style}">{"".join(cells)}</div>'


def picture_tag(dataset: Dataset, row: int, size: int) -> str:
    """One picture as an <img> with alternative text, or an empty frame with that text."""
    picture = thumbnail(dataset, row, size)
    if picture is None:
        return (
            f'<div style="width:{size}px;max-width:100%;height:{size}px;border:1px dashed #bbb;border-radius:6px;'
            'color:#666;display:flex;align-items:center;justify-content:center;box-sizing:border-box">no picture</div>'
        )
    alt = html.escape(item_label(dataset, row), quote=True)
    style = "border-radius:6px;max-width:100%;height:auto"
    return f'<img src="{data_uri(picture)}" alt="{alt}" width="{size}" height="{size}" style="{style}">'
