"""Pictures and hover cards for views that are plain HTML: each picture is sent once, however often it is shown."""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image

from macrec.viz.pictures import Gallery, data_uri, item_label, script_json, thumbnail
from macrec.viz.theme import FONT, IMAGE, INK

TARGET = IMAGE
"""The color of the item that came next in truth, the test target of `history_strip`."""


class Cards:
    """The pictures of some items, as one image that the elements of a page refer to, and the script that enlarges them.

    `gallery` gives the items' dataset and the further lines of their cards; `rows` are the items shown here, each
    counted once; `pixels` limits the image: 1,400,000 are 200 to 400 KB, and 340 pictures of 64 pixels or more and
    smaller ones.
    """

    def __init__(self, gallery: Gallery, rows: Iterable[int], pixels: int = 1_400_000) -> None:
        self.gallery, self.dataset = gallery, gallery.dataset
        self.place = {row: place for place, row in enumerate(dict.fromkeys(int(row) for row in rows))}
        self.columns = max(1, math.ceil(math.sqrt(len(self.place))))
        self.lines = max(1, -(-len(self.place) // self.columns))
        self.size = min(64, math.isqrt(pixels // max(1, len(self.place))))

    def uri(self) -> str:
        """All pictures as one image, a data URI."""
        sheet = Image.new("RGB", (self.columns * self.size, self.lines * self.size), "white")
        for row, place in self.place.items():
            picture = thumbnail(self.dataset, row, self.size)
            if picture is not None:
                sheet.paste(picture, (place % self.columns * self.size, place // self.columns * self.size))
        return data_uri(sheet, quality=55)

    def picture(self, row: int) -> str:
        """The picture of an item, as wide as what it stands in; or a frame that says there is none."""
        alt = html.escape(item_label(self.dataset, row), quote=True)
        named = f'data-row="{row}" role="img" aria-label="{alt}"'
        if not self.dataset.images.present[row]:
            return f'<span class="pic none" {named}>no picture</span>'
        place = self.place[row]
        x, y = place % self.columns / max(1, self.columns - 1), place // self.columns / max(1, self.lines - 1)
        return f'<span class="pic" {named} style="background-position:{100 * x:.4g}% {100 * y:.4g}%"></span>'

    def view(self, body: str, style: str, script: str, label: str) -> str:
        """A whole view: `body` with its pictures, its own `style` rules and `script`, and the hover cards.

        Rules are nested in the view and cannot touch the page; `script` is a JavaScript function of the view's element
        that runs once. Pointing at, or focusing, an element with a `title` shows it as a card, below the name of the
        picture it holds and with that picture, or the one that its `data-row` names.
        """
        rules = CSS % {"font": FONT, "ink": INK, "uri": self.uri(), "columns": self.columns, "lines": self.lines}
        key = hashlib.blake2b((body + style + rules).encode(), digest_size=6).hexdigest()
        shown = (
            f'<div class="macrec-view" data-view="{key}" role="group" aria-label="{html.escape(label, quote=True)}">'
        )
        nested = f'<style>.macrec-view[data-view="{key}"]{{{rules}{style}}}</style>'
        about = script_json(self._about())
        run = f'<script>({CARD_JS})("{key}", {about}, {script});</script>'
        return f"{nested}{shown}{body}</div>{run}"

    def _about(self) -> dict[str, list[str]]:
        """The further lines of every item's card, by row; nothing for items that the gallery does not hold."""
        lines: dict[str, Any] = self.gallery.lines
        held = np.flatnonzero(np.isin(self.gallery.rows, list(self.place))) if lines else ()
        return {
            str(self.gallery.rows[place]): [f"{name}: {values[place]}" for name, values in lines.items()]
            for place in held
        }


CSS = """
font:12px %(font)s;color:%(ink)s;background:#fff;padding:8px;position:relative;
.pic{display:block;width:100%%;aspect-ratio:1;border-radius:4px;
background:url(%(uri)s) 0 0 / %(columns)d00%% %(lines)d00%%}
.pic.none{background:none;border:1px dashed #999;box-sizing:border-box;color:#595959;display:flex;
align-items:center;justify-content:center;text-align:center;font-size:10px;line-height:1.1}
.card{position:fixed;z-index:9999;pointer-events:none;background:#fff;border:1px solid #bbb;border-radius:6px;
padding:6px 8px;max-width:250px;box-shadow:0 2px 8px rgba(0,0,0,.2);white-space:pre-line}
.card .pic{width:96px;margin:0 auto 4px}
:focus{outline:none}
:focus-visible{outline:3px solid %(ink)s;outline-offset:2px;border-radius:4px}
"""

# Titles become cards: the browser's own tooltip would come late, without a picture, and not for the keyboard.
CARD_JS = """(key, about, start) => document.querySelectorAll(`[data-view="${key}"]`).forEach(view => {
  if (view.macrec) return;
  view.macrec = true;
  const card = Object.assign(document.createElement("div"), {className: "card", hidden: true});
  card.setAttribute("aria-hidden", "true");
  view.append(card);
  // The name of an element's own picture comes first.
  const lines = cell => {
    const own = cell.querySelector(".pic");
    return [...(own ? [own.getAttribute("aria-label")] : []), ...cell.dataset.note.split("\\n")];
  };
  view.querySelectorAll("[title]").forEach(cell => {
    cell.dataset.note = cell.title;
    cell.setAttribute("aria-label", lines(cell).join(", "));
    cell.removeAttribute("title");
  });
  const show = (cell, x, y) => {
    const row = cell.dataset.row ?? cell.querySelector(".pic")?.dataset.row;
    const picture = row && view.querySelector(`.pic[data-row="${row}"]`);
    card.replaceChildren(...(picture ? [picture.cloneNode(true)] : []));
    const [first, ...rest] = lines(cell);
    card.append(Object.assign(document.createElement("b"), {textContent: first}));
    card.append(["", ...rest, ...(about[row] ?? [])].join("\\n"));
    card.hidden = false;
    const box = card.getBoundingClientRect(), gap = 14;
    card.style.left = `${Math.max(4, x + gap + box.width > innerWidth ? x - gap - box.width : x + gap)}px`;
    card.style.top = `${Math.max(4, Math.min(y + gap, innerHeight - box.height - 4))}px`;
  };
  const noted = event => event.target.closest?.("[data-note]");
  view.addEventListener("pointermove", event => {
    const cell = noted(event);
    if (cell) show(cell, event.clientX, event.clientY); else card.hidden = true;
  });
  view.addEventListener("pointerleave", () => { card.hidden = true; });
  view.addEventListener("focusin", event => {
    const cell = noted(event), box = cell?.getBoundingClientRect();
    if (cell?.matches(":focus-visible")) show(cell, box.right - 10, box.bottom - 10);
  });
  view.addEventListener("focusout", () => { card.hidden = true; });
  start(view);
})"""
