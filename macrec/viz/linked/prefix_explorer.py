"""Walking down the tree of codes of a large catalog, with a kernel that cuts it anew at every step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.prefix_tree import prefix_tree
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import counted, item_cards, item_rows, level_names, spelled
from macrec.viz.linked.explorers import Status, drawn, item_frame
from macrec.viz.linked.linked import THEME, page_view, tree_about


class PrefixExplorer:
    """The tree below any prefix, of a million items too: each step is cut anew to at most `nodes` boxes.

    `selection` are the items below the prefix.
    """

    EXAMPLES = 12
    CHOICES = 1_000
    """Codes in the menu at most: the browser gets them with every step."""

    def __init__(
        self,
        ids: SemanticIds,
        data: Dataset | None = None,
        nodes: int = 1_500,
        depth: int = 3,
        prefix: Sequence[int] = (),
    ) -> None:
        if len(ids) == 0:
            raise DataError("there are no items", field="ids", fix="give IDs of at least one item")
        self.ids, self.data, self.nodes, self.depth = ids, data, nodes, depth
        self._rows = item_rows(ids, data) if data is not None else None
        # In lexical order the items below any prefix stand together.
        self._order = np.lexsort(ids.codes.T[::-1])
        self._sorted = ids.codes[self._order]
        new = np.concatenate(([True], (self._sorted[1:] != self._sorted[:-1]).any(1)))
        run = np.cumsum(new) - 1
        self._same_id = np.empty(len(ids), np.int64)
        self._same_id[self._order] = np.bincount(run)[run]
        self._go(prefix)

    def go(self, prefix: Sequence[int]) -> None:
        """Look below a prefix, `()` for the whole tree. Raises DataError where no item begins with it."""
        self._go(prefix)
        if "widget" in self.__dict__:
            self._update()

    def _go(self, prefix: Sequence[int]) -> None:
        begin, end = 0, len(self._sorted)
        for level, code in enumerate(prefix):
            column = self._sorted[begin:end, level] if level < self.ids.num_levels else np.empty(0)
            begin, end = begin + int(np.searchsorted(column, code)), begin + int(np.searchsorted(column, code, "right"))
            if begin == end:
                codes = ", ".join(map(str, prefix))
                raise DataError(f"no item has an ID that begins with {codes}", field="prefix", fix="choose another")
        self.prefix: tuple[int, ...] = tuple(int(code) for code in prefix)
        self._range = slice(begin, end)

    @property
    def selection(self) -> pl.DataFrame:
        """The items below the prefix: `row`, `item_id`, `title`, `codes`, `same_id`, `conflict`."""
        return item_frame(self.ids, np.sort(self._order[self._range]), self._same_id, self.data)

    def about(self) -> dict[str, Any]:
        """The tree below the prefix, as the script draws it; below a whole ID there are only its items."""
        members = self._order[self._range]
        done = min(len(self.prefix), self.ids.num_levels - 1)
        names = tuple(level_names(self.ids))
        below = SemanticIds(
            self._sorted[self._range, done:], names[done:], self.ids.sizes[done:], self.ids.item_ids.gather(members)
        )
        tree = prefix_tree(below, self.nodes, self.depth)
        shared = int((self._same_id[members] > 1).sum())
        name = " ".join(f"{names[level]}_{code}" for level, code in enumerate(self.prefix)) or "all items"
        sentence = (
            f"{name}: {counted(len(members), 'item')}, {shared:,} of them share their ID. "
            "The more purple a box, the more of its items do. Click a box, or press Enter on it, to go in."
        )
        drawn = tree_about(below, tree) | {"root": name}
        return {"tree": drawn, "theme": THEME, "label": f"Codes below {name}", "sentence": sentence}

    def figure(self) -> str:
        """The tree below the prefix and some of its items, without a kernel."""
        about = self.about()
        return page_view("codeTree", about, about["sentence"]) + self._cards()

    def _cards(self) -> str:
        """Some items below the prefix, evenly spread over their IDs."""
        members = self._order[self._range]
        at = np.unique(np.linspace(0, len(members) - 1, min(self.EXAMPLES, len(members))).astype(np.int64))
        shown = members[at].tolist()
        return item_cards(self.ids, shown, self.data, self._rows, [spelled(self.ids, row) for row in shown], 84)

    def _next(self) -> list[tuple[str, int]]:
        """What may follow the prefix: (words, code), the codes of most items, at most `CHOICES`, first."""
        level = len(self.prefix)
        if level == self.ids.num_levels:
            return []
        codes, counts = np.unique(self._sorted[self._range, level], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        name, listed = level_names(self.ids)[level], order[: self.CHOICES].tolist()
        return [(f"{name}_{codes[at]} ({counts[at]:,})", int(codes[at])) for at in listed]

    @cached_property
    def _panel(self) -> Any:
        import traitlets

        return drawn("tree_widget.js", self.about(), chosen=traitlets.List([]))

    @cached_property
    def widget(self) -> Any:
        """Back, the next code, the tree, some items, and the line for errors."""
        import ipywidgets

        self._status = Status()
        self._back = ipywidgets.Button(description="← back", tooltip="one code back", layout={"width": "90px"})
        self._choice = ipywidgets.Dropdown(
            description="next code", options=[("choose one", -1)], style={"description_width": "initial"}
        )
        self._examples = ipywidgets.HTML()

        def clicked(change: Any) -> None:
            node = change["new"][0]
            if node < 0:
                self.go(self.prefix[:-1])
                return
            tree = self._panel.about["tree"]
            path: list[int] = []
            while node > 0:
                path.insert(0, int(tree["names"][node].rsplit("_", 1)[1]))
                node = tree["parents"][node]
            self.go((*self.prefix, *path)[: self.ids.num_levels])

        def chose(change: Any) -> None:
            if change["new"] >= 0 and not self._updating:
                self.go((*self.prefix, change["new"]))

        self._panel.observe(self._status.reporting(clicked), names=["chosen"])
        self._choice.observe(self._status.reporting(chose), names=["value"])
        self._back.on_click(self._status.reporting(lambda _: self.go(self.prefix[:-1])))
        controls = ipywidgets.HBox([self._back, self._choice])
        self._update()
        return ipywidgets.VBox([controls, self._status.line, self._panel, self._examples])

    def _update(self) -> None:
        """Bring the widget to the prefix."""
        self._updating = True
        try:
            self._back.disabled = not self.prefix
            following = self._next()
            self._choice.options = [("choose one", -1), *following]
            self._choice.disabled = not following
            self._choice.value = -1
        finally:
            self._updating = False
        self._panel.about = self.about()
        self._examples.value = self._cards()
