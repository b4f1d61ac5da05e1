"""Items as buttons with pictures: a row that stays and changes what it shows, so that the focus stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import ipywidgets as widgets

from macrec.data.dataset import Dataset
from macrec.viz.labels import item_label
from macrec.viz.pictures import data_uri, thumbnail


def pictures(data: Dataset, size: int = 96) -> Callable[[int], str | None]:
    """A function that gives an item's picture as a data URI, None where it has none; the last thousands are kept."""

    @lru_cache(maxsize=4096)
    def uri(row: int) -> str | None:
        picture = thumbnail(data, row, size)
        return None if picture is None else data_uri(picture)

    return uri


class Tiles:
    """Up to `count` items side by side; `on_click` gets the place of the one that was clicked, from 0.

    A tile is a button: reached with Tab, pressed with Enter or Space, named by its item. `picture` gives the URI of an
    item's picture; `name` identifies these tiles on the page.
    """

    def __init__(
        self,
        name: str,
        count: int,
        data: Dataset,
        picture: Callable[[int], str | None],
        on_click: Callable[[int], None],
    ) -> None:
        self.name, self.data, self.picture = name, data, picture
        self.style = widgets.HTML()
        self.buttons = [widgets.Button(layout=widgets.Layout(display="none")) for _ in range(count)]
        for place, button in enumerate(self.buttons):
            button.add_class("macrec-tile").add_class(f"macrec-{name}-{place}")
            button.on_click(lambda _, place=place: on_click(place))
        row = widgets.Box(self.buttons).add_class("macrec-tiles").add_class(f"macrec-{name}")
        self.widget = widgets.VBox([self.style, row])

    def show(self, items: Sequence[int], notes: Sequence[str], marks: Sequence[str] = ()) -> None:
        """Show these items, at most `count`; `notes` `[n]` are their tips, `marks` `[n]` stand before their titles."""
        rules = []
        for place, item in enumerate(items):
            button, uri = self.buttons[place], self.picture(item)
            title = item_label(self.data, item)
            button.description = f"{marks[place]} {title}" if marks else title
            button.tooltip, button.layout.display = notes[place], None
            drawn = f"background-image:url({uri})" if uri else 'content:"no picture";border:1px dashed #999'
            rules.append(f".macrec-demo button.macrec-tile.macrec-{self.name}-{place}::before{{{drawn}}}")
        for button in self.buttons[len(items) :]:
            button.layout.display = "none"
        self.style.value = f"<style>{''.join(rules)}</style>"

    def choose(self, chosen: int | None) -> None:
        """Mark one tile as chosen, or none."""
        for place, button in enumerate(self.buttons):
            change = button.add_class if place == chosen else button.remove_class
            change("macrec-chosen")
