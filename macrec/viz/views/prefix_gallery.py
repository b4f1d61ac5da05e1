"""What is inside a prefix: the tree of codes as nested lists that open and close, with examples in each."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.factors import factors_of
from macrec.quantization.prefix_tree import APART, PrefixTree, most_common_values, prefix_tree, title_words
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.assets import style
from macrec.viz.coded_items import Rows, counted, item_rows, spelled
from macrec.viz.labels import member_labels
from macrec.viz.pictures import Gallery
from macrec.viz.theme import VARIABLES

PICTURES = 2_000
"""Different pictures in one view at most: one sheet of about 0.8 MB."""

SIDE = 64
"""Pixels of a picture on the page, as in prefix_gallery.css."""


def prefix_gallery(
    ids: SemanticIds,
    data: Dataset | None = None,
    *,
    limit: int = 1_200,
    depth: int = 4,
    examples: int = 6,
    pictures: int = PICTURES,
) -> str:
    """The tree of the first `depth` codes as HTML lists to open and close, by mouse or keyboard, without any script.

    Each prefix shows its number of items, how many codes follow, the share of items without an ID of their own, with a
    dataset what its items have in common, and shows up to `examples` of them (half as many below the first code):
    pictures where there are any, else titles, else ids. At most `limit` prefixes, the largest (`prefix_tree`), and
    `pictures` different pictures; what is left out is said in words. Raises DataError for items that the dataset does
    not have.
    """
    rows = item_rows(ids, data) if data is not None else None
    pictured = None if data is None or rows is None else data.images.present[rows]
    with_pictures = pictured is not None and bool(pictured.any())
    tree = prefix_tree(ids, limit, depth, pictured)
    # Shuffled, that examples are not what happens to stand first in the catalog; those with a picture come first.
    order = np.random.default_rng(0).permutation(len(ids))
    if pictured is not None and with_pictures:
        order = order[np.argsort(~pictured[order], kind="stable")]
    wanted = [examples] + [max(1, examples // 2)] * (tree.node_of.shape[1] - 1)
    if with_pictures:
        order = pool(tree, order, wanted, pictures)
    shown = examples_of(tree, order, wanted)
    sheet = None
    if data is not None and rows is not None and with_pictures:
        sheet = Sheet.of(data, np.unique(rows[np.concatenate([*shown.values()])]))
    view = _View(ids, data, rows, tree, shown, sheet)
    sentence = view.sentence()
    rules = (
        VARIABLES
        + style(Path(__file__).with_suffix(".css"))
        + (f".{sheet.name} i{{background-image:url({sheet.uri})}}" if sheet else "")
    )
    name = f"macrec-prefixes {sheet.name if sheet else 'macrec-titles'}"
    return (
        f'<section class="{name}" role="group" aria-label="{html.escape(sentence, quote=True)}"><style>{rules}</style>'
        f"<p>{html.escape(sentence)}</p>{view.inside(0)}</section>"
    )


def pool(tree: PrefixTree, order: Rows, wanted: list[int], limit: int) -> Rows:
    """At most `limit` items whose pictures a page carries, in `order` `[N]`: one per prefix, then the first of each
    prefix, level by level, until each has as many as `wanted` `[depth]` or the pool is full."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    single = np.unique(tree.examples)
    chosen = [single[np.argsort(place[single], kind="stable")]]
    for column, k in zip(tree.node_of.T, wanted, strict=True):
        chosen += [members for node, members in _first(column, order, k) if not tree.merged[node]]
    every = np.concatenate(chosen)
    _, first = np.unique(every, return_index=True)
    kept = every[np.sort(first)[:limit]]
    return kept[np.argsort(place[kept])]


def examples_of(tree: PrefixTree, order: Rows, wanted: list[int]) -> dict[int, Rows]:
    """The first items of each node among those in `order` `[n]`, as many as `wanted` `[depth]` at its depth."""
    return {
        node: members
        for column, k in zip(tree.node_of.T, wanted, strict=True)
        for node, members in _first(column, order, k)
        if not tree.merged[node]
    }


def _first(column: NDArray[np.integer], order: Rows, k: int) -> list[tuple[int, Rows]]:
    """Of every node in `column` `[N]`, its first `k` items among those in `order` `[n]`."""
    order = order[column[order] >= 0]
    if not len(order):
        return []
    members = order[np.argsort(column[order], kind="stable")]
    nodes, begin = np.unique(column[members], return_index=True)
    groups = np.split(members, begin[1:])
    return [(int(node), group[:k]) for node, group in zip(nodes, groups, strict=True)]


def common_words(tree: PrefixTree, data: Dataset | None, rows: Rows | None, most: int = 2) -> dict[int, str]:
    """What the items of each node have in common: levels of factors that most of them share and that are less common
    elsewhere, and the words that set their titles apart."""
    if data is None or rows is None:
        return {}
    parts: dict[int, list[tuple[float, str]]] = {}
    for name, values in factors_of(data).items():
        of_items = values.gather(rows).cast(pl.String).fill_null("")
        overall = dict(of_items.value_counts(name="n").select(pl.first(), pl.col("n") / len(of_items)).iter_rows())
        for node, value, share in most_common_values(tree, of_items).iter_rows():
            if node and share >= 0.5 and share >= APART * overall[value]:
                parts.setdefault(node, []).append((overall[value] - share, f"{name}: {value} ({share:.0%})"))
    words = {node: [text for _, text in sorted(common)[:most]] for node, common in parts.items()}
    for node, listed in title_words(tree, data.items["title"].gather(rows)).iter_rows():
        if node:
            words.setdefault(node, []).append(f"title words: {listed}")
    return {node: " · ".join(common) for node, common in words.items()}


@dataclass(frozen=True)
class Sheet:
    """The pictures of a view as one sprite sheet (`uri`) of `columns`; `place` is where an item of the dataset lies."""

    name: str
    uri: str
    columns: int
    place: dict[int, int]

    @classmethod
    def of(cls, data: Dataset, rows: Rows) -> Sheet:
        """A sheet of the pictures of some items of a dataset."""
        gallery = Gallery(data, rows[data.images.present[rows]])
        uri, columns, _ = gallery.sprite
        name = "macrec-sheet-" + hashlib.blake2b(gallery.key.encode(), digest_size=6).hexdigest()
        return cls(name, uri, columns, {row: place for place, row in enumerate(gallery.rows.tolist())})

    def tag(self, row: int) -> str:
        """One picture; a frame that says so where there is none. The words below it name the item."""
        if row not in self.place:
            return "<s>no picture</s>"
        y, x = divmod(self.place[row], self.columns)
        return (
            f'<i style="background-position:-{x * SIDE}px -{y * SIDE}px;background-size:{self.columns * SIDE}px"></i>'
        )


class _View:
    def __init__(
        self, ids: SemanticIds, data: Dataset | None, rows: Rows | None, tree: PrefixTree, shown: dict[int, Rows],
        sheet: Sheet | None,
    ) -> None:  # fmt: skip
        self.ids, self.data, self.rows, self.tree, self.shown, self.sheet = ids, data, rows, tree, shown, sheet
        self.words = common_words(tree, data, rows)
        self.children: dict[int, list[int]] = {}
        for node, parent in enumerate(tree.parents.tolist()):
            self.children.setdefault(parent, []).append(node)

    def inside(self, node: int) -> str:
        """What opens under a node: its examples, then its codes, the largest first, the small ones together."""
        return self.examples(node) + "".join(
            self.merged(child) if self.tree.merged[child] else self.entry(child)
            for child in self.children.get(node, [])
        )

    def entry(self, node: int) -> str:
        """One prefix, closed."""
        tree = self.tree
        depth, items, below = int(tree.depths[node]), int(tree.counts[node]), int(tree.below[node])
        share = items / int(tree.counts[tree.parents[node]])
        follow = f", {below:,} {'code follows' if below == 1 else 'codes follow'}" if below else ""
        conflicts = f", <em>{tree.conflicts[node]:.0%} share their ID</em>" if tree.conflicts[node] else ""
        words = f" <small>{html.escape(self.words[node])}</small>" if node in self.words else ""
        code = spelled(self.ids, int(tree.examples[node]), depth).split(" ")[-1]
        return (
            f'<details><summary><b>{html.escape(code)}</b> <u><q style="width:{100 * share:.3g}%"></q></u> '
            f"{counted(items, 'item')}{follow}{conflicts}{words}</summary>{self.inside(node)}</details>"
        )

    def merged(self, node: int) -> str:
        """The codes that are too small to be shown, in words."""
        codes = counted(int(self.tree.merged[node]), "more code")
        return f"<p>and {codes} with {counted(int(self.tree.counts[node]), 'item')} in all</p>"

    def examples(self, node: int) -> str:
        """Some items of a prefix, and in words how many more there are and what does not open further."""
        if node not in self.shown:
            return ""
        cells = []
        members = self.shown[node]
        names = member_labels(self.ids, members, self.data, self.rows)
        for row, label in zip(members.tolist(), names, strict=True):
            picture = self.sheet.tag(int(self.rows[row])) if self.sheet and self.rows is not None else ""
            cells.append(f"<li>{picture}{html.escape(label)}</li>")
        left = int(self.tree.counts[node]) - len(cells)
        cut = self.tree.below[node] and node not in self.children
        closed = f"; its {counted(int(self.tree.below[node]), 'code')} are not opened here" if cut else ""
        more = f"<p>and {counted(left, 'more item')}{closed}</p>" if left else ""
        return f"<ul>{''.join(cells)}</ul>{more}"

    def sentence(self) -> str:
        """What the view shows, with numbers."""
        tree, ids = self.tree, self.ids
        prefixes = int((tree.merged == 0).sum()) - 1
        levels = tree.node_of.shape[1]
        part = f" (the first {levels} of {ids.num_levels})" if levels < ids.num_levels else ""
        closed = any(
            node not in self.children for node in np.flatnonzero((tree.below > 0) & (tree.depths < levels)).tolist()
        )
        room = f"the {prefixes:,} largest" if closed or tree.merged.any() else f"all {prefixes:,}"
        share = np.unique_counts(ids.codes[:, 0]).counts.max() / len(ids)
        return (
            f"{counted(len(ids), 'item')} by their codes{part}, {room} prefixes: "
            f"{counted(int(tree.below[0]), 'first code')}, the largest with {share:.1%} of the items; "
            f"{tree.conflicts[0]:.1%} of all items share their ID with another. "
            "Open a code for examples and for the codes that follow it."
        )
