"""Pictures and hover cards for views that are plain HTML: each picture is sent once, however often it is shown."""

from __future__ import annotations

import hashlib
import html
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from macrec.viz.assets import script_tag, style
from macrec.viz.labels import item_label
from macrec.viz.pictures import Gallery, data_uri, script_json, thumbnail
from macrec.viz.theme import IMAGE, VARIABLES

HERE = Path(__file__).parent

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

    def view(self, body: str, module: Path, label: str, variables: str = "") -> str:
        """A whole view: `body` with its pictures and cards, styled and run by the .css and .js beside a `module`.

        The style holds the rules of one class, "macrec-" and the module's name, and may use the `variables` (CSS); the
        script exports `start(view)`, which runs once. Pointing at, or focusing, an element with a `title` shows it as a
        card, below the name of the picture it holds and with that picture, or the one that its `data-row` names.
        """
        rules = style(HERE / "view.css", module.with_suffix(".css"))
        name = f"macrec-{module.stem.replace('_', '-')}"
        key = hashlib.blake2b((body + variables + rules).encode(), digest_size=6).hexdigest()
        attributes = f'class="macrec-view {name}" data-view="{key}"'
        if variables:
            attributes += f' style="{html.escape(variables, quote=True)}"'
        call = f'startViews("{key}", {script_json(self._about())}, start);'
        return (
            f"<style>{VARIABLES}{rules}{self.sheet_rule(key)}</style>"
            f'<div {attributes} role="group" aria-label="{html.escape(label, quote=True)}">{body}</div>'
            f"{script_tag(call, HERE / 'view.js', module.with_suffix('.js'))}"
        )

    def sheet_rule(self, key: str) -> str:
        """The one rule that a style sheet cannot hold: where the pictures of the view `key` lie."""
        size = f"{self.columns}00% {self.lines}00%"
        return f'[data-view="{key}"] .pic:not(.none){{background-image:url({self.uri()});background-size:{size}}}'

    def _about(self) -> dict[str, list[str]]:
        """The further lines of every item's card, by row; nothing for items that the gallery does not hold."""
        lines: dict[str, Any] = self.gallery.lines
        held = np.flatnonzero(np.isin(self.gallery.rows, list(self.place))) if lines else ()
        return {
            str(self.gallery.rows[place]): [f"{name}: {values[place]}" for name, values in lines.items()]
            for place in held
        }
