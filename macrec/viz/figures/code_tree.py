"""The tree of codes: what a prefix means, seen in the items that share it."""

from __future__ import annotations

import html
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import item_rows, spelled
from macrec.viz.figures.embeddings import OTHER, top_levels
from macrec.viz.theme import CATEGORICAL, CONFLICT, MUTED
from macrec.viz.views.neighborhoods import factors_of

Ints = NDArray[np.int64]

LIMIT = 1_000
"""Nodes of a tree at most: browsers draw an icicle of more of them slowly."""

APART = 1.5
"""What sets a prefix apart is so many times as common among its items as among all."""

SAMPLE = 100_000
"""Items whose titles are read for the words of a node, at most."""


@dataclass(frozen=True, eq=False)
class CodeTree:
    """The largest nodes of the tree of prefixes, M in all; node 0 is the root, parents come before children.

    `parents` `[M]` (the root's is -1), `counts` `[M]` items, `conflicts` `[M]` the share of them that do not have their
    ID alone; `depths` `[M]` codes in the prefix; `merged` `[M]`: 0 for a prefix, else how many small siblings this node
    stands for; `below` `[M]` prefixes one code longer; `examples` `[M]` a row of the IDs each; `node_of` `[N, depth]`
    the node of every item at every depth, -1 where none is shown.
    """

    parents: Ints
    counts: Ints
    conflicts: NDArray[np.float64]
    depths: Ints
    merged: Ints
    below: Ints
    examples: Ints
    node_of: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.parents)


def code_tree(
    ids: SemanticIds, limit: int = LIMIT, depth: int = 4, preferred: NDArray[np.bool_] | None = None
) -> CodeTree:
    """The tree of the first `depth` codes of N items, cut to `limit` nodes: the largest, small siblings merged.

    A node is shown only with its parent; children of which none is among the largest are left out. `preferred` `[N]`:
    items that make better examples, such as those with a picture. Raises ValueError for fewer than 2 nodes or no item.
    """
    if limit < 2 or len(ids) == 0:
        raise ValueError(f"a tree needs an item and a limit of at least 2 nodes, got {len(ids)} and {limit}")
    depth = min(depth, ids.num_levels)
    all_groups = ids.prefix_groups()
    groups, last = all_groups[:, :depth], all_groups[:, -1]
    shared = np.bincount(last)[last] > 1

    # All prefixes in one numbering, depth by depth; the root is 0.
    numbers = groups.max(0) + 1
    offsets = 1 + np.concatenate(([0], np.cumsum(numbers)))
    counts, parents = np.empty(offsets[-1], np.int64), np.zeros(offsets[-1], np.int64)
    counts[0], parents[0] = len(ids), -1
    for level, (begin, end) in enumerate(pairwise(offsets)):
        counts[begin:end] = np.bincount(groups[:, level])
        if level:
            parents[begin + groups[:, level]] = offsets[level - 1] + groups[:, level - 1]
    children = np.bincount(parents[1:], minlength=len(counts))

    shown = _largest(counts, parents, children, limit)
    place = np.full(len(counts), -1, np.int64)
    place[shown] = np.arange(len(shown))
    visible = np.bincount(parents[shown[1:]], minlength=len(counts))
    cut = np.flatnonzero((visible > 0) & (visible < children))  # their other children become one node each
    merged_node = np.full(len(counts), -1, np.int64)
    merged_node[cut] = len(shown) + np.arange(len(cut))
    hidden = place < 0
    place[hidden] = merged_node[parents[hidden]]

    node_of = np.empty((len(ids), depth), np.int32)
    examples = np.zeros(len(shown) + len(cut), np.int64)
    order = np.arange(len(ids)) if preferred is None else np.argsort(~preferred, kind="stable")
    backwards = order[::-1]  # of several items of a node the last assignment stays: the first of the order
    for level in range(depth):
        node_of[:, level] = place[offsets[level] + groups[:, level]]
        kept = backwards[node_of[backwards, level] >= 0]
        examples[node_of[kept, level]] = kept
    examples[0] = order[0]
    flat, in_conflict = node_of[node_of >= 0], np.broadcast_to(shared[:, None], node_of.shape)[node_of >= 0]
    items = np.bincount(flat, minlength=len(examples))
    involved = np.bincount(flat, in_conflict, minlength=len(examples))
    items[0], involved[0] = len(ids), shared.sum()
    depths = np.searchsorted(offsets, shown, side="right")
    return CodeTree(
        parents=np.concatenate((place[parents[shown]] * (shown > 0) - (shown == 0), place[cut])),
        counts=items,
        conflicts=involved / items,
        depths=np.concatenate((depths, depths[place[cut]] + 1)),
        merged=np.concatenate((np.zeros(len(shown), np.int64), (children - visible)[cut])),
        below=np.concatenate((children[shown], np.zeros(len(cut), np.int64))),
        examples=examples,
        node_of=node_of,
    )


def _largest(counts: Ints, parents: Ints, children: Ints, limit: int) -> Ints:
    """The prefixes to show, root first, largest first: with the nodes for their merged siblings at most `limit`."""
    rank = -counts * len(counts) + np.arange(len(counts))  # ties: the shorter prefix, then the lower code
    if limit < len(rank):
        rank = np.partition(rank, limit)[:limit]
    order = np.sort(rank) % len(counts)
    siblings = children[parents[order[1:]]]
    by_parent = np.argsort(parents[order[1:]], kind="stable")
    sorted_parents = parents[order[1:]][by_parent]
    seen = np.empty(len(order) - 1, np.int64)  # how many siblings came before
    seen[by_parent] = np.arange(len(by_parent)) - np.searchsorted(sorted_parents, sorted_parents)
    several = siblings > 1
    opened, complete = several & (seen == 0), several & (seen + 1 == siblings)
    nodes = 1 + np.cumsum(1 + opened.astype(np.int64) - complete)  # never falls: a shown sibling at most replaces one
    return order[: 1 + int(np.searchsorted(nodes, limit, side="right"))]


def code_tree_figure(
    ids: SemanticIds, data: Dataset | None = None, limit: int = LIMIT, depth: int = 4
) -> tuple[go.Figure, str]:
    """The tree of codes as an icicle, from the first code at the left to the last at the right; and its sentence.

    Heights are items. Colors, chosen from a menu: the share of items without an ID of their own, or, with a dataset,
    the most common level of one of its factors, paler where fewer items share it. Pointing at a node tells its prefix,
    items and, with a dataset, what its items have in common, and shows one of them (`Gallery(data, items_in(figure))`).
    """
    rows = item_rows(ids, data) if data is not None else None
    tree = code_tree(ids, limit, depth, None if data is None or rows is None else data.images.present[rows])
    notes = [_note(ids, tree, node) for node in range(len(tree))]
    words = [""] * len(tree)
    colorings = [("conflicts", *_conflict_colors(tree))]
    meaning = ""
    if data is not None and rows is not None:
        factors = _ranked({name: values.gather(rows) for name, values in factors_of(data).items()}, ids.codes[:, 0])
        common = {name: commonest(tree, values) for name, values in factors.items()}
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
            right, blind = told(ids.codes[:, 0], values)
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


def _note(ids: SemanticIds, tree: CodeTree, node: int) -> str:
    """What a node says under the pointer: its prefix, its items, the share in conflict, what follows."""
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


def commonest(tree: CodeTree, values: pl.Series) -> pl.DataFrame:
    """The most common value `[N]` among the items of each node, and its share of them: `node`, `value`, `share`.

    Empty values do not count; a node of nothing else is left out. Ties: the value that sorts first.
    """
    named = values.cast(pl.String).fill_null("")
    return (
        _by_node(tree, named.alias("value"))
        .filter(pl.col("value") != "")
        .group_by("node", "value").len("n")
        .sort("node", "n", "value", descending=[False, True, False])
        .group_by("node", maintain_order=True).first()
        .select("node", "value", share=pl.col("n") / pl.lit(pl.Series(tree.counts)).gather(pl.col("node")))
    )  # fmt: skip


def title_words(tree: CodeTree, titles: pl.Series, top: int = 3) -> pl.DataFrame:
    """The words that set each node's titles `[N]` apart, by items of the node with the word · ln(lift).

    The lift is the share of the node's items that have the word over that of all items. It must be `APART` at least,
    and the items more by two standard deviations than a draw of as many items would have (hypergeometric): so neither
    what is everywhere nor what a few items have by chance. Where titles capitalize their words, those that they leave
    small, such as "for" and "the", do not count. Columns `node` and `words` (joined by commas). At most `SAMPLE`
    titles, evenly spaced, are read.
    """
    step = -(-len(titles) // SAMPLE)
    read = pl.DataFrame({"item": np.arange(0, len(titles), step), "title": titles.gather_every(step)})
    written = read.select("item", written=pl.col("title").str.extract_all(r"\p{L}{3,}")).explode(
        "written", empty_as_null=False
    )
    words = written.with_columns(
        word=pl.col("written").str.to_lowercase(), capital=pl.col("written").str.contains(r"^\p{Lu}")
    ).unique(["item", "word"], keep="first", maintain_order=True)
    small = (pl.col("capital").mean() < 0.5) & words.select(pl.col("capital").mean() >= 0.5).item()
    words = words.join(words.group_by("word").agg(share=pl.len() / len(read), small=small), on="word")
    words = words.filter(pl.col("share") < 1, ~pl.col("small"))
    nodes = _by_node(tree, pl.int_range(len(titles), eager=True).alias("item")).join(read.select("item"), on="item")
    nodes = nodes.with_columns(size=pl.len().over("node"))
    expected, size, share = pl.col("share") * pl.col("size"), pl.col("size"), pl.col("share")
    deviation = (expected * (1 - share) * (len(read) - size) / max(1, len(read) - 1)).sqrt()
    return (
        nodes.join(words, on="item")
        .group_by("node", "word").agg(pl.first("size", "share"), having=pl.len())
        .filter(pl.col("having") >= APART * expected, pl.col("having") > expected + 2 * deviation)
        .with_columns(score=pl.col("having") * (pl.col("having") / expected).log())
        .sort("node", "score", "word", descending=[False, True, False])
        .group_by("node", maintain_order=True).head(top)
        .group_by("node", maintain_order=True).agg(words=pl.col("word").str.join(", "))
    )  # fmt: skip


def _by_node(tree: CodeTree, values: pl.Series) -> pl.DataFrame:
    """`node` and the value of each of its items, for the root and all depths."""
    parts = [pl.DataFrame({"node": np.zeros(len(values), np.int32), values.name: values})]
    for column in tree.node_of.T:
        parts.append(pl.DataFrame({"node": column, values.name: values}).filter(pl.col("node") >= 0))
    return pl.concat(parts)


Key = list[tuple[str, str]]


def _conflict_colors(tree: CodeTree) -> tuple[list[str], Key]:
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
    """Factors, first the one that the codes tell best."""
    gain = {name: float(np.subtract(*told(codes, values))) for name, values in factors.items()}
    return {name: factors[name] for name in sorted(factors, key=lambda name: -gain[name])}


def told(codes: NDArray[np.integer], values: pl.Series) -> tuple[float, float]:
    """The share of items whose value `[N]` is the most common one of their code `[N]`; and of all items.

    Empty values are never right.
    """
    known = pl.DataFrame({"code": codes, "value": values.cast(pl.String).fill_null("")}).filter(pl.col("value") != "")
    right = known.group_by("code", "value").len("n").group_by("code").agg(pl.col("n").max())["n"].to_numpy().sum()
    blind = known["value"].value_counts(name="n")["n"].to_numpy().max(initial=0)
    return float(right) / len(codes), float(blind) / len(codes)


def faded(color: str, share: float) -> str:
    """A color mixed with white: as it is for a share of 1, nearly white for 0."""
    weight = 0.06 + 0.94 * float(share)
    parts = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * weight):02x}" for part in parts)


def _key(entries: Key) -> dict[str, object]:
    """An annotation above the tree that says what the colors mean."""
    shown = [f'<span style="color:{color}">■</span> {_clean(name)}' for color, name in entries]
    long = sum(len(name) + 4 for _, name in entries) > 90
    text = "<br>".join("   ".join(part) for part in ([shown[:4], shown[4:]] if long else [shown]))
    return {"text": text, "x": 0, "y": 1.01, "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom",
            "showarrow": False, "align": "left", "font": {"size": 12}, "yshift": 24}  # fmt: skip


def _clean(text: str) -> str:
    """Text that plotly shows as it is and never reads as markup, not too long."""
    return html.escape(text if len(text) <= 60 else text[:57].rstrip() + "…", quote=False)
