"""The tree of codes: what a prefix means, seen in the items that share it."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.factors import factors_of
from macrec.quantization.prefix_tree import (
    LIMIT,
    PrefixTree,
    majority_accuracy,
    most_common_values,
    prefix_tree,
    title_words,
)
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import item_rows, spelled
from macrec.viz.figures.embeddings import OTHER, top_levels
from macrec.viz.theme import CATEGORICAL, CONFLICT, MUTED


def code_tree_figure(
    ids: SemanticIds, data: Dataset | None = None, limit: int = LIMIT, depth: int = 4
) -> tuple[go.Figure, str]:
    """The tree of codes as an icicle, from the first code at the left to the last at the right; and its sentence.

    Heights are items. Colors, chosen from a menu: the share of items without an ID of their own, or, with a dataset,
    the most common level of one of its factors, paler where fewer items share it. Pointing at a node shows its prefix,
    items and, with a dataset, what its items have in common, and shows one of them (`Gallery(data, items_in(figure))`).
    """
    rows = item_rows(ids, data) if data is not None else None
    tree = prefix_tree(ids, limit, depth, None if data is None or rows is None else data.images.present[rows])
    notes = [_note(ids, tree, node) for node in range(len(tree))]
    words = [""] * len(tree)
    colorings = [("conflicts", *_conflict_colors(tree))]
    meaning = ""
    if data is not None and rows is not None:
        factors = _ranked({name: values.gather(rows) for name, values in factors_of(data).items()}, ids.codes[:, 0])
        common = {name: most_common_values(tree, values) for name, values in factors.items()}
        for name, table in common.items():
            for node, value, share in table.iter_rows():
                notes[node] += f"<br>{name}: {value} ({share:.0%})"
        for node, listed in title_words(tree, data.items["title"].gather(rows)).iter_rows():
            words[node] = _clean(listed)
            notes[node] += f"<br>title words: {listed}"
        words[0] = ""
        colorings = [
            (name, *_factor_colors(len(tree), table, factors[name])) for name, table in common.items()
        ] + colorings
        for name, values in [*factors.items()][:1]:
            right, blind = majority_accuracy(ids.codes[:, 0], values)
            meaning = (
                f"; the commonest {name} of its first code is right for {right:.0%} of the items, the commonest of all "
                f"for {blind:.0%}"
            )
            if right < blind + 0.01:  # no factor that the first code tells: begin with the conflicts
                colorings = colorings[-1:] + colorings[:-1]
    labels = [
        "all items" if not node else f"{merged:,} more" if merged else spelled(ids, example, depth).split(" ")[-1]
        for node, (merged, example, depth) in enumerate(
            zip(tree.merged.tolist(), tree.examples.tolist(), tree.depths.tolist(), strict=True)
        )
    ]
    shown = tree.examples if rows is None else rows[tree.examples]
    figure = go.Figure(
        go.Icicle(
            ids=[str(node) for node in range(len(tree))],
            parents=["", *map(str, tree.parents[1:].tolist())],
            labels=labels,
            text=words,
            values=tree.counts,
            customdata=list(zip(shown.tolist() if data is not None else [-1] * len(tree), notes, strict=True)),
            branchvalues="total",
            sort=True,
            texttemplate="%{label}  %{text}",
            hoverinfo="none" if data is not None else None,
            hovertemplate=None if data is not None else "%{customdata[1]}<extra></extra>",
            marker={"colors": colorings[0][1], "line": {"width": 0.5, "color": "white"}},
            tiling={"orientation": "h", "pad": 0},
            pathbar={"thickness": 22},
        )
    )
    keys = [[_key(key)] for _, _, key in colorings]
    buttons = [
        {"label": name, "method": "update", "args": [{"marker.colors": [colors]}, {"annotations": key}]}
        for (name, colors, _), key in zip(colorings, keys, strict=True)
    ]
    first_codes = int(tree.below[0])
    figure.update_layout(
        height=720,
        # At the very top: the key to the colors may need two lines below it.
        title={
            "text": f"{len(ids):,} items under {first_codes:,} first codes",
            "y": 1,
            "yanchor": "top",
            "pad": {"t": 14},
        },
        margin={"t": 118, "l": 12, "r": 12, "b": 16},
        uniformtext={"minsize": 8, "mode": "hide"},
        annotations=keys[0],
        updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.17, "yanchor": "top", "showactive": True}]
        if len(buttons) > 1
        else [],
    )
    largest = int(tree.counts[tree.depths == 1][tree.merged[tree.depths == 1] == 0].max())
    levels = f" (the first {min(depth, ids.num_levels)} of {ids.num_levels} levels)" if depth < ids.num_levels else ""
    return figure, (
        f"The tree of codes{levels}, its {int((tree.merged == 0).sum()) - 1:,} largest prefixes: the largest of "
        f"{first_codes:,} first codes holds {largest / len(ids):.1%} of the {len(ids):,} items; "
        f"{tree.conflicts[0]:.1%} of all items share their ID with another{meaning}. "
        "Click a prefix to go in, and the bar above to come back."
    )


def _note(ids: SemanticIds, tree: PrefixTree, node: int) -> str:
    """The hover text of a node: its prefix, its items, the share in conflict, what follows."""
    depth, merged = int(tree.depths[node]), int(tree.merged[node])
    if node == 0:
        name = "all items"
    elif merged:
        before = spelled(ids, int(tree.examples[node]), depth - 1) if depth > 1 else "no code"
        name = f"{merged:,} more after {before}"
    else:
        name = spelled(ids, int(tree.examples[node]), depth)
    conflicts = f"{tree.conflicts[node]:.0%} share their ID" if tree.conflicts[node] else "no conflict"
    below = int(tree.below[node])
    after = f", {below:,} {'code follows' if below == 1 else 'codes follow'}" if below else ""
    items = int(tree.counts[node])
    return f"{name}<br>{items:,} {'item' if items == 1 else 'items'}, {conflicts}{after}"


Key = list[tuple[str, str]]


def _conflict_colors(tree: PrefixTree) -> tuple[list[str], Key]:
    """White where every item has an ID of its own, purple where none has; and the key to it."""
    return [faded(CONFLICT, share) for share in tree.conflicts], [
        (CONFLICT, "every item shares its ID (white: none does)")
    ]


def _factor_colors(nodes: int, common: pl.DataFrame, values: pl.Series) -> tuple[list[str], Key]:
    """A color per node for its most common level, paler where fewer items share it; and the key to it."""
    kept, _ = top_levels(values)
    palette = dict(zip(kept, CATEGORICAL, strict=False))
    colors = [faded(MUTED, 0)] * nodes
    for node, value, share in common.iter_rows():
        colors[node] = faded(palette.get(value, MUTED), share)
    rest = [(MUTED, OTHER)] if not common["value"].is_in(kept).all() else []
    return colors, [(color, name) for name, color in palette.items()] + rest


def _ranked(factors: dict[str, pl.Series], codes: NDArray[np.integer]) -> dict[str, pl.Series]:
    """Factors, first the one that the codes predict best."""
    gain = {name: float(np.subtract(*majority_accuracy(codes, values))) for name, values in factors.items()}
    return {name: factors[name] for name in sorted(factors, key=lambda name: -gain[name])}


def faded(color: str, share: float) -> str:
    """A color mixed with white: as it is for a share of 1, nearly white for 0."""
    weight = 0.06 + 0.94 * float(share)
    parts = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * weight):02x}" for part in parts)


def _key(entries: Key) -> dict[str, object]:
    """An annotation above the tree: the meaning of the colors."""
    shown = [f'<span style="color:{color}">■</span> {_clean(name)}' for color, name in entries]
    long = sum(len(name) + 4 for _, name in entries) > 90
    text = "<br>".join("   ".join(part) for part in ([shown[:4], shown[4:]] if long else [shown]))
    return {"text": text, "x": 0, "y": 1.01, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom",
            "showarrow": False, "align": "left", "font": {"size": 12}, "yshift": 24}  # fmt: skip


def _clean(text: str) -> str:
    """Text that plotly shows as it is and never reads as markup, not too long."""
    return html.escape(text if len(text) <= 60 else text[:57].rstrip() + "…", quote=False)
