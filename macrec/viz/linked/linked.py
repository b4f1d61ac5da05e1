"""Linked views: a map, the tree of codes and the table of conflicts that show one selection of items together.

The map is drawn on a canvas of our own. plotly's would have the lasso too, but JupyterLab keeps its plotly to itself,
so that a script of ours finds none without a network, and the page would weigh 5 MB more.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.factors import factors_of
from macrec.errors import DataError
from macrec.quantization.health import conflict_groups
from macrec.quantization.prefix_tree import PrefixTree, majority_accuracy, prefix_tree
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.assets import script_tag, style
from macrec.viz.cards import Cards
from macrec.viz.coded_items import Rows, counted, item_rows, level_names, spelled
from macrec.viz.figures.embeddings import OTHER, on_grid, top_levels
from macrec.viz.labels import member_labels
from macrec.viz.pictures import Gallery, script_json
from macrec.viz.theme import CATEGORICAL, CONFLICT, FONT, INK, MUTED, OUTLINE, SKY, SYMBOLS, TEXT, modality_colors

Layouts = Mapping[str, tuple[NDArray[np.integer], NDArray[np.floating]]]

THEME = {"font": FONT, "ink": INK, "text": TEXT, "conflict": CONFLICT, "selected": SKY, "pale": "#e3f1fa"}
HERE = Path(__file__).parent
STYLE = style(HERE / "linked.css")
MOST_NODES = 1_500
"""Boxes of a tree at most; the tree that a page carries names each by a number of 16 bits, the table by its label."""


@dataclass(frozen=True, eq=False)
class Linked:
    """What the linked panels show: `members` `[n]` rows of the IDs, and `about` all that the script draws from."""

    members: Rows
    about: dict[str, Any]

    def html(self) -> str:
        """The view as HTML; without scripts a description of it."""
        return page_view("linkedItems", self.about, self.about["sentence"])


def page_view(function: str, about: dict[str, Any], sentence: str) -> str:
    """A page fragment that a `function` of the script draws from `about`; without scripts it is the `sentence`."""
    content = script_json(about)
    key = hashlib.blake2b(content.encode(), digest_size=6).hexdigest()
    label = html.escape(about["label"], quote=True)
    call = (
        f"const about = {content};\ndocument.querySelectorAll('[data-linked=\"{key}\"]').forEach(root => {{\n"
        f"  if (root.dataset.drawn) return;\n  root.dataset.drawn = true;\n  {function}(root, about);\n}});"
    )
    return (
        f'<style>{STYLE}</style><div data-linked="{key}" role="group" aria-label="{label}"><p>{html.escape(sentence)} '
        f"(Trust this notebook to see it.)</p></div>{script_tag(call, HERE / 'linked.js')}"
    )


def linked_items(
    ids: SemanticIds,
    layouts: Layouts,
    data: Dataset | None = None,
    *,
    factors: Mapping[str, pl.Series] | None = None,
    nodes: int = 600,
    depth: int = 3,
    pictures: int = 500,
    most: int = 100_000,
) -> str:
    """The same items in three linked panels, as HTML: on the map, in the tree of codes, and in the conflict table.

    A lasso or box on a map shows how its items spread over the codes and lists them, those that share an ID first; a
    click on a code shows its items on the map and in the table; a click on a row marks the item everywhere. All of it
    by keyboard too, and without a kernel. `layouts`, as `umap_layouts` gives them: modality → (item rows `[m]`,
    positions `[m, 2]`); rows of `data`, or of `ids` without one; items without a place are in the tree and the table
    only. `factors`: name → value per item of `data`, for colors (default: the first four of `factors_of`). `nodes` and
    `depth` bound the tree, `pictures` the thumbnails (they go to items in conflict first). Of more than `most` items a
    fixed sample is shown, which the sentence says. Raises DataError for layouts that do not fit the items.
    """
    return linked(
        ids, layouts, data, factors=factors, nodes=nodes, depth=depth, pictures=pictures, most=most
    ).html()  # fmt: skip


def linked(
    ids: SemanticIds,
    layouts: Layouts,
    data: Dataset | None = None,
    *,
    factors: Mapping[str, pl.Series] | None = None,
    nodes: int = 600,
    depth: int = 3,
    pictures: int = 500,
    most: int = 100_000,
) -> Linked:
    """What `linked_items` shows, before it becomes HTML: for a page and for a widget alike."""
    if len(ids) == 0:
        raise DataError("there are no items", field="ids", fix="give IDs of at least one item")
    if not 2 <= nodes <= MOST_NODES:
        raise DataError(f"a tree of {nodes:,} boxes is out of range", field="nodes", fix=f"choose 2 to {MOST_NODES:,}")
    rows = item_rows(ids, data) if data is not None else np.arange(len(ids))
    places = {name: _places(name, layout, rows, data) for name, layout in layouts.items()}
    members = _members(len(ids), places, most)
    shown = SemanticIds(ids.codes[members], ids.codebooks, ids.sizes, ids.item_ids.gather(members))
    of_member = np.full(len(ids), -1, np.int64)
    of_member[members] = np.arange(len(members))

    groups = [of_member[group] for group in conflict_groups(ids)]  # who shares an ID is asked of all items
    sharing = np.repeat([len(group) for group in groups], [len(group) for group in groups]).astype(np.int32)
    conflicted = np.concatenate([*groups, np.empty(0, np.int64)]).astype(np.int32)
    sharing, conflicted = sharing[conflicted >= 0], conflicted[conflicted >= 0]
    in_conflict = np.zeros(len(members), bool)
    in_conflict[conflicted] = True

    pictured = np.empty(0, np.int64) if data is None else _pictured(data, rows[members], conflicted, pictures)
    tree = prefix_tree(shown, nodes, depth, np.isin(np.arange(len(shown)), pictured))
    narrow = np.uint8 if max(ids.sizes) <= 2**8 else np.uint16 if max(ids.sizes) <= 2**16 else np.uint32
    sample = "" if len(members) == len(ids) else f", a sample of {len(ids):,}"
    sentence = (
        f"{counted(len(members), 'item')}{sample}: {len(conflicted):,} of them share their ID with another. "
        f"{'Draw around dots, or click' if layouts else 'Click'} a code or a row: the other panels follow."
    )
    colors = modality_colors(places)
    about = {
        "label": f"Linked views of {counted(len(members), 'item')}: "
        + ", ".join([*(f"the map by {name}" for name in layouts), "the tree of codes", "the table of conflicts"]),
        "sentence": sentence,
        "count": len(members),
        "levels": level_names(ids),
        "width": np.dtype(narrow).itemsize,
        "codes": _packed(shown.codes.astype(narrow)),
        "node": _packed(_deepest(tree).astype(np.uint16)),
        "tree": tree_about(shown, tree),
        "titles": "\n".join(member_labels(shown, np.arange(len(shown)), data, rows[members])),
        "conflicted": _packed(conflicted),
        "sharing": _packed(sharing),
        "maps": [_map(name, colors[name], place, of_member) for name, place in places.items()],
        "factors": _colorings(shown, data, rows[members], factors, in_conflict),
        "sprite": None if data is None or not len(pictured) else _sprite(data, rows[members], pictured),
        "theme": THEME,
    }
    return Linked(members, about)


def tree_about(ids: SemanticIds, tree: PrefixTree) -> dict[str, Any]:
    """A tree as the script draws it: parent, items, name, depth and share of conflicts of every box."""
    names = ["all items"]
    nodes = zip(tree.merged.tolist(), tree.examples.tolist(), tree.depths.tolist(), strict=True)
    for merged, example, depth in list(nodes)[1:]:
        names.append(f"{merged:,} more" if merged else spelled(ids, example, depth).split(" ")[-1])
    return {
        "parents": tree.parents.tolist(),
        "counts": tree.counts.tolist(),
        "names": names,
        "depths": tree.depths.tolist(),
        "merged": tree.merged.tolist(),
        "conflicts": tree.conflicts.round(4).tolist(),
    }


Place = tuple[Rows, NDArray[np.int16]]


def _places(
    name: str, layout: tuple[NDArray[np.integer], NDArray[np.floating]], rows: Rows, data: Dataset | None
) -> Place:
    """Which rows of the IDs a map shows `[m]`, and where on a grid `[m, 2]`; items without an ID are left out."""
    where, positions = np.asarray(layout[0], np.int64), np.asarray(layout[1], np.float32)
    total = len(rows) if data is None else data.num_items
    if positions.shape != (len(where), 2) or not np.isfinite(positions).all():
        what = f'"{name}" has positions {positions.shape} for {len(where):,} items'
        raise DataError(what, field="layouts", fix="give two finite numbers per item")
    if len(where) and not 0 <= where.min() <= where.max() < total:
        what = f'"{name}" names rows from {where.min()} to {where.max()} of {total:,} items'
        raise DataError(what, field="layouts", fix="give the rows of the same dataset")
    own = np.full(total, -1, np.int64)
    own[rows] = np.arange(len(rows))
    place = own[where]
    known = place >= 0
    return place[known], on_grid(positions[known]) if known.any() else np.empty((0, 2), np.int16)


def _members(total: int, places: Mapping[str, Place], most: int) -> Rows:
    """The rows to show: all, or a sample of `most`, drawn among those on a map where that suffices."""
    if total <= most:
        return np.arange(total)
    placed = np.zeros(total, bool)
    for rows, _ in places.values():
        placed[rows] = True
    order = np.random.default_rng(0).permutation(total)
    first = np.concatenate((order[placed[order]], order[~placed[order]]))
    return np.sort(first[:most])


def _map(name: str, color: str, place: Place, of_member: Rows) -> dict[str, Any]:
    """One map for the script."""
    items, grid = of_member[place[0]], place[1]
    shown = items >= 0
    return {
        "name": name,
        "color": color,
        "items": _packed(items[shown].astype(np.int32)),
        "grid": _packed(grid[shown]),
    }


def _colorings(
    ids: SemanticIds,
    data: Dataset | None,
    rows: Rows,
    factors: Mapping[str, pl.Series] | None,
    in_conflict: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    """What the colors may mean: the factors, first the one that the first code predicts best, then conflicts."""
    own = ["alone under its ID", MUTED, "circle", 0], ["shares its ID", CONFLICT, "diamond", 0]
    conflicts = {"name": "conflict", "levels": own, "of": _packed(in_conflict.astype(np.uint8))}
    if data is None:
        return [conflicts]
    chosen = dict(factors) if factors is not None else dict(list(factors_of(data).items())[:4])
    for name, values in chosen.items():
        if len(values) != data.num_items:
            what = f'"{name}" has {len(values):,} values for {data.num_items:,} items'
            raise DataError(what, field="factors", fix="give one value per item of the dataset")
    here = {name: values.gather(rows) for name, values in chosen.items()}
    gain = {name: float(np.subtract(*majority_accuracy(ids.codes[:, 0], values))) for name, values in here.items()}
    colorings = []
    for name in sorted(here, key=lambda name: -gain[name]):
        kept, level_of = top_levels(here[name])
        levels: list[list[Any]] = [
            [level, color, symbol, OUTLINE.get(color, 0)]
            for level, color, symbol in zip(kept, CATEGORICAL, SYMBOLS, strict=False)
        ]
        if (level_of == len(kept)).any():
            levels.append([OTHER, MUTED, "circle-open", 0])
        colorings.append({"name": name, "levels": levels, "of": _packed(level_of.astype(np.uint8))})
    return [*colorings, conflicts]


def _pictured(data: Dataset, rows: Rows, conflicted: NDArray[np.int32], most: int) -> Rows:
    """Which of the items get a thumbnail: those in conflict first, largest groups first, then an even sample."""
    first = np.zeros(len(rows), np.int64)
    first[conflicted] = np.arange(len(conflicted), 0, -1)
    having = np.flatnonzero(data.images.present[rows])
    if len(having) <= most:
        return having
    spread = np.random.default_rng(0).permutation(len(having))
    return having[spread][np.argsort(-first[having[spread]], kind="stable")][:most]


def _sprite(data: Dataset, rows: Rows, pictured: Rows) -> dict[str, Any]:
    """The thumbnails as one image, and whose they are."""
    cards = Cards(Gallery(data, rows[pictured]), rows[pictured], pixels=min(48**2 * len(pictured), 1_400_000))
    return {"uri": cards.uri(), "columns": cards.columns, "items": _packed(pictured.astype(np.int32))}


def _deepest(tree: PrefixTree) -> NDArray[np.int32]:
    """The deepest box `[n]` that holds each item; the root where none does."""
    node = np.zeros(len(tree.node_of), np.int32)
    for level in tree.node_of.T:
        node = np.where(level >= 0, level, node)
    return node


def _packed(values: NDArray[Any]) -> str:
    """Numbers as base64 of their little-endian bytes."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()
