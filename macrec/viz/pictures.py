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
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from macrec.data.dataset import Dataset

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


def item_label(dataset: Dataset, row: int) -> str:
    """The title of an item, or its id where it has none."""
    title: str = dataset.items["title"][row] or f"item {dataset.items['item_id'][row]}"
    return title if len(title) <= 70 else title[:67].rstrip() + "…"


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
            "titles": [item_label(self.dataset, int(row)) for row in self.rows],
            "lines": {label: [str(value) for value in values] for label, values in self.lines.items()},
        }
        return f"<script>({HOVER_JS})({script_json(self.key)}, {script_json(gallery)});</script>"


# Plotly's own hover labels cannot hold pictures. This moves one card with the pointer over every figure of the page
# (`figures.js` finds them, and must come first) whose layout.meta names the gallery. The customdata of a point is an
# item row, or [row, note]: lines divided by <br> that the card shows above the item.
HOVER_JS = """(key, gallery) => {
  const macrec = window.macrec;
  gallery.place = new Map(gallery.rows.map((row, i) => [row, i]));
  (macrec.galleries ??= {})[key] = gallery;
  if (macrec.watching) return;
  macrec.watching = true;
  const card = document.createElement("div");
  card.className = "macrec-card";
  card.style.cssText = "position:fixed;z-index:9999;display:none;pointer-events:none;background:#fff;color:#222;" +
    "border:1px solid #bbb;border-radius:6px;padding:6px 8px;font:12px system-ui,sans-serif;max-width:240px;" +
    "box-shadow:0 2px 8px rgba(0,0,0,.2)";
  document.body.append(card);
  const fill = (g, i, note) => {
    card.replaceChildren();
    for (const [n, text] of note ? note.split("<br>").entries() : []) {
      card.append(Object.assign(document.createElement(n ? "div" : "b"), {textContent: text}));
    }
    if (i === undefined) return;
    if (note) {
      const example = Object.assign(document.createElement("div"), {textContent: "for example"});
      example.style.cssText = "color:#666;margin:4px 0";
      card.append(example);
    }
    if (g.pictured[i]) {
      const picture = document.createElement("div"), side = 96;
      const x = -(i % g.columns) * side, y = -Math.floor(i / g.columns) * side;
      picture.style.cssText = `width:${side}px;height:${side}px;margin:0 auto 4px;` +
        `background:url(${g.uri}) ${x}px ${y}px / ${g.columns * side}px auto`;
      card.append(picture);
    }
    const title = document.createElement("b");
    title.textContent = g.titles[i];
    card.append(title);
    for (const [label, values] of Object.entries(g.lines)) {
      const line = document.createElement("div");
      line.textContent = `${label}: ${values[i]}`;
      card.append(line);
    }
    if (!g.pictured[i]) card.append(Object.assign(document.createElement("i"), {textContent: "no picture"}));
  };
  const place = event => {
    const gap = 14, box = card.getBoundingClientRect();
    const left = event.clientX + gap + box.width > innerWidth ? event.clientX - gap - box.width : event.clientX + gap;
    const top = Math.min(event.clientY + gap, innerHeight - box.height - 4);
    card.style.left = `${Math.max(4, left)}px`;
    card.style.top = `${Math.max(4, top)}px`;
  };
  const attach = plot => {
    const meta = plot.layout?.meta;
    if (!meta?.macrec || plot.macrecAttached === meta.macrec || !plot.on) return;
    plot.macrecAttached = meta.macrec;
    plot.on("plotly_hover", ({points, event}) => {
      const g = macrec.galleries[plot.layout.meta.gallery];
      const [row, note] = [points[0].customdata].flat();
      if (!g || !event || !(g.place.has(row) || note)) return;
      fill(g, g.place.get(row), note);
      card.style.display = "block";
      place(event);
    });
    plot.on("plotly_unhover", () => { card.style.display = "none"; });
  };
  macrec.eachFigure(attach);
}"""


def labelled(label: str) -> str:
    """The attributes of an HTML view that tell a screen reader what it is: one sentence."""
    return f'role="group" aria-label="{html.escape(label, quote=True)}"'


def picture_grid(
    dataset: Dataset, rows: Sequence[int], notes: Sequence[str] | None = None, size: int = 112, label: str = ""
) -> str:
    """A shop window as HTML: pictures with titles below (and a note each); an item without picture shows a frame.

    `label`: the sentence that says what is shown, where the grid stands on its own.
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
    """One picture as an <img> with alternative text, or an empty frame that says so."""
    picture = thumbnail(dataset, row, size)
    if picture is None:
        return (
            f'<div style="width:{size}px;max-width:100%;height:{size}px;border:1px dashed #bbb;border-radius:6px;'
            'color:#666;display:flex;align-items:center;justify-content:center;box-sizing:border-box">no picture</div>'
        )
    alt = html.escape(item_label(dataset, row), quote=True)
    style = "border-radius:6px;max-width:100%;height:auto"
    return f'<img src="{data_uri(picture)}" alt="{alt}" width="{size}" height="{size}" style="{style}">'
