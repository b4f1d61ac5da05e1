"""The tree of prefixes of semantic IDs: its largest nodes, and what the items of a node have in common."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.quantization.semantic_ids import SemanticIds

Ints = NDArray[np.int64]

LIMIT = 1_000
"""Nodes of a tree at most: browsers draw an icicle of more of them slowly."""

APART = 1.5
"""What sets a prefix apart is so many times as common among its items as among all."""

SAMPLE = 100_000
"""Items whose titles are read for the words of a node, at most."""


@dataclass(frozen=True, eq=False)
class PrefixTree:
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


def prefix_tree(
    ids: SemanticIds, limit: int = LIMIT, depth: int = 4, preferred: NDArray[np.bool_] | None = None
) -> PrefixTree:
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
    return PrefixTree(
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


def most_common_values(tree: PrefixTree, values: pl.Series) -> pl.DataFrame:
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


def title_words(tree: PrefixTree, titles: pl.Series, top: int = 3) -> pl.DataFrame:
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


def majority_accuracy(codes: NDArray[np.integer], values: pl.Series) -> tuple[float, float]:
    """The share of items whose value `[N]` is the most common one of their code `[N]`; and of all items.

    Empty values are never right.
    """
    known = pl.DataFrame({"code": codes, "value": values.cast(pl.String).fill_null("")}).filter(pl.col("value") != "")
    right = known.group_by("code", "value").len("n").group_by("code").agg(pl.col("n").max())["n"].to_numpy().sum()
    blind = known["value"].value_counts(name="n")["n"].to_numpy().max(initial=0)
    return float(right) / len(codes), float(blind) / len(codes)


def _by_node(tree: PrefixTree, values: pl.Series) -> pl.DataFrame:
    """`node` and the value of each of its items, for the root and all depths."""
    parts = [pl.DataFrame({"node": np.zeros(len(values), np.int32), values.name: values})]
    for column in tree.node_of.T:
        parts.append(pl.DataFrame({"node": column, values.name: values}).filter(pl.col("node") >= 0))
    return pl.concat(parts)
