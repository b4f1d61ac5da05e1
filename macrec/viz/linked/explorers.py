"""Explorers with a kernel behind them: what is chosen on the screen is a DataFrame in the notebook.

Every explorer has a static twin, `figure()`, that needs no kernel. Widgets are made only when they are shown live: a
notebook that runs headless keeps none.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import polars as pl
from IPython.display import display
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.assets import script
from macrec.viz.coded_items import Rows, counted, item_rows, spelled
from macrec.viz.linked.linked import HERE, STYLE, Layouts, linked
from macrec.viz.theme import show_html
from macrec.viz.views.nearest_codewords import nearest_codewords


class Explorer(Protocol):
    """Something to explore: a DataFrame of what is chosen, a widget, and a picture of both without a kernel."""

    @property
    def selection(self) -> pl.DataFrame:
        """The chosen items."""

    @property
    def widget(self) -> Any:
        """What is shown live."""

    def figure(self) -> str:
        """The static twin, as HTML."""


def explore(view: Explorer, live: bool) -> None:
    """Show an explorer: its widget when a person and a kernel are there (`live`), else its static twin.

    The widget's output carries the twin too, for exports and reports, which have no kernel.
    """
    if live:
        display({**view.widget._repr_mimebundle_(), "text/html": view.figure()}, raw=True)
    else:
        show_html(view.figure())


def item_frame(ids: SemanticIds, rows: Rows, same_id: NDArray[np.integer], data: Dataset | None) -> pl.DataFrame:
    """Some items as a table: `row` (of the IDs), `item_id`, `title`, `codes`, `same_id`, `conflict`.

    `same_id` `[N]`: how many items have the very ID of each; an item is in conflict where these are several.
    """
    titles = pl.Series([""]).new_from_index(0, len(rows))
    if data is not None:
        titles = data.items["title"].gather(item_rows(ids, data)[rows])
    return pl.DataFrame(
        {
            "row": rows,
            "item_id": ids.item_ids.gather(rows),
            "title": titles,
            "codes": pl.Series(ids.codes[rows]).arr.to_list(),
            "same_id": same_id[rows],
            "conflict": same_id[rows] > 1,
        }
    )


def sharing(ids: SemanticIds) -> NDArray[np.int64]:
    """How many items `[N]` have the very ID of each item, itself included."""
    group = ids.prefix_groups()[:, -1]
    counts: NDArray[np.int64] = np.bincount(group)[group]
    return counts


class Status:
    """A line below the controls for errors: Jupyter drops what an observer raises."""

    def __init__(self) -> None:
        import ipywidgets

        self.line = ipywidgets.HTML()

    def reporting(self, step: Callable[[Any], None]) -> Callable[[Any], None]:
        """An observer that shows the error of `step` instead of losing it, and clears the line when it goes well."""

        def observer(change: Any) -> None:
            try:
                step(change)
            except Exception as error:
                said = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
                self.line.value = f'<span role="alert"><b>That did not work:</b> {html.escape(said)}</span>'
            else:
                self.line.value = ""

        return observer


def drawn(module: str, about: dict[str, Any], **traits: Any) -> Any:
    """An anywidget that a script `module` of this folder draws from `about`, with further synced `traits`."""
    import anywidget
    import traitlets

    synced = {name: trait.tag(sync=True) for name, trait in traits.items()}
    body = {"_esm": script(HERE / module), "_css": STYLE, "about": traitlets.Dict().tag(sync=True), **synced}
    return type("Panels", (anywidget.AnyWidget,), body)(about=about)


class LinkedItems:
    """`linked_items` with a kernel: what is lassoed, or chosen by its code, is `selection`.

    Takes what `linked_items` takes.
    """

    def __init__(self, ids: SemanticIds, layouts: Layouts, data: Dataset | None = None, **options: Any) -> None:
        self.ids, self.data = ids, data
        self._linked = linked(ids, layouts, data, **options)
        self._same_id = sharing(ids)
        self._selected: Rows = np.empty(0, np.int64)

    def figure(self) -> str:
        """The linked view without a kernel."""
        return self._linked.html()

    @property
    def selection(self) -> pl.DataFrame:
        """The selected items: `row`, `item_id`, `title`, `codes`, `same_id`, `conflict`."""
        return item_frame(self.ids, self._selected, self._same_id, self.data)

    def select(self, rows: Sequence[int] | NDArray[np.integer]) -> None:
        """Select items by their rows in the IDs. Raises DataError for a row that the view does not show."""
        wanted = np.unique(np.asarray(rows, np.int64))
        unknown = wanted[~np.isin(wanted, self._linked.members)]
        if len(unknown):
            raise DataError(
                f"the view shows no item of row {unknown[0]}", field="rows", fix="choose rows that it shows"
            )
        self._selected = wanted
        if "widget" in self.__dict__:
            places = np.searchsorted(self._linked.members, wanted).astype("<i4")
            self._panels.selected = places.tobytes()

    @cached_property
    def _panels(self) -> Any:
        import traitlets

        # What the browser sends arrives as a memoryview, which the trait would refuse without a word.
        selected = traitlets.Bytes(b"").tag(from_json=lambda value, widget: bytes(value))
        return drawn("linked_widget.js", self._linked.about, selected=selected)

    @cached_property
    def widget(self) -> Any:
        """The panels, and the line for errors."""
        import ipywidgets

        status = Status()

        def selected(change: Any) -> None:
            self._selected = self._linked.members[np.frombuffer(change["new"], "<i4")]

        self._panels.selected = np.searchsorted(self._linked.members, self._selected).astype("<i4").tobytes()
        self._panels.observe(status.reporting(selected), names=["selected"])
        return ipywidgets.VBox([self._panels, status.line])


class ItemExplorer:
    """`nearest_codewords` of any item: search it by title or id, choose how many codewords to see.

    `selection` are the items that share the item's first codes, as many of them as the second slider says, the item
    first.
    """

    MATCHES = 50
    """Items that a search lists at most: the browser gets them with every letter."""

    def __init__(
        self,
        ids: SemanticIds,
        latents: NDArray[np.floating],
        codebooks: Sequence[NDArray[np.floating]],
        data: Dataset | None = None,
        item: int = 0,
        k: int = 5,
    ) -> None:
        self.ids, self.latents, self.codebooks, self.data = ids, latents, codebooks, data
        self.item, self.k, self.shared_codes = item, k, 1
        self._same_id = sharing(ids)
        names = pl.Series("name", ids.item_ids)
        if data is not None:
            titles = data.items["title"].gather(item_rows(ids, data))
            names = pl.select(pl.when(titles == "").then(names).otherwise(titles + " · " + names).alias("name"))["name"]
        self._names = names
        self._words = names.str.to_lowercase()
        self.figure()  # an item or arrays that do not fit are refused here, not in an observer

    def figure(self) -> str:
        """The card of the chosen item."""
        return nearest_codewords(self.item, self.ids, self.latents, self.codebooks, self.data, k=self.k)

    @property
    def selection(self) -> pl.DataFrame:
        """Items with the same first `shared_codes` codes: `row`, `item_id`, `title`, `codes`, `same_id`, `conflict`."""
        first = slice(self.shared_codes)
        rows = np.flatnonzero((self.ids.codes[:, first] == self.ids.codes[self.item, first]).all(1))
        rows = np.concatenate(([self.item], rows[rows != self.item]))
        return item_frame(self.ids, rows, self._same_id, self.data)

    def search(self, words: str) -> list[int]:
        """The rows of the first `MATCHES` items whose title or id has all these words, in any case."""
        matches = pl.repeat(True, len(self._words), eager=True)
        for word in words.lower().split():
            matches &= self._words.str.contains(word, literal=True)
        return matches.arg_true().head(self.MATCHES).to_list()

    @cached_property
    def widget(self) -> Any:
        """Search box, two sliders, the card, what is selected, and the line for errors."""
        import ipywidgets

        status = Status()
        wide = {"description_width": "initial"}
        box = ipywidgets.Combobox(
            description="item", placeholder="words of a title, or an id", style=wide, layout={"width": "auto"},
            options=[self._names[row] for row in self.search("")],
        )  # fmt: skip
        nearest = ipywidgets.IntSlider(self.k, 1, max(12, self.k), description="codewords per level", style=wide)
        shared = ipywidgets.IntSlider(
            self.shared_codes,
            1,
            self.ids.num_levels,
            description="codes in common with the selection",
            style=wide,
            layout={"width": "420px"},
        )
        card, told = ipywidgets.HTML(), ipywidgets.HTML()

        def draw() -> None:
            card.value = self.figure()
            items = self.selection.height
            prefix = spelled(self.ids, self.item, self.shared_codes)
            told.value = html.escape(f"{counted(items, 'item')} {'begins' if items == 1 else 'begin'} with {prefix}")

        def typed(change: Any) -> None:
            exact = (self._names == change["new"]).arg_true()
            if len(exact):
                self.item = exact[0]
                draw()
                return
            rows = self.search(change["new"])
            box.options = [self._names[row] for row in rows]
            if not rows:
                raise DataError(f'no title or id has "{change["new"]}"', fix="type other words")

        def slid(change: Any) -> None:
            self.k, self.shared_codes = nearest.value, shared.value
            draw()

        box.observe(status.reporting(typed), names=["value"])
        for slider in (nearest, shared):
            slider.observe(status.reporting(slid), names=["value"])
        draw()
        return ipywidgets.VBox(
            [box, ipywidgets.HBox([nearest, shared], layout={"flex_flow": "row wrap"}), status.line, told, card]
        )
