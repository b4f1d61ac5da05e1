"""One search seen: which prefixes a beam search kept at every level, which died, and where the true item went."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.cards import TARGET, Cards
from macrec.viz.coded_items import level_names
from macrec.viz.labels import item_label
from macrec.viz.pictures import Gallery

if TYPE_CHECKING:  # torch comes with them, and drawing needs none
    from macrec.generation.beam import Trace
    from macrec.generation.trie import CodeTrie

ROW = 46
"""Pixels from one beam to the next."""
MOST = 24
"""Beams drawn at every level; wider searches say how many more there were."""


@dataclass(frozen=True, eq=False)
class Level:
    """The W beams of one user at one level, best first; those that do not exist are left out.

    `parents`, `codes`, `nodes` `[W]`; `p` `[W]` probability so far, `step` `[W]` that of the last code alone;
    `children` `[W]` codes that exist after each (0 at the last level); `alive` `[W]`: whether a beam of the next level
    continues it (at the last level: all). `width`: places there were.
    """

    parents: NDArray[np.int64]
    codes: NDArray[np.int64]
    nodes: NDArray[np.int64]
    p: NDArray[np.float64]
    step: NDArray[np.float64]
    children: NDArray[np.int64]
    alive: NDArray[np.bool_]
    width: int

    def place_of(self, node: int) -> int | None:
        """The rank of a node of the trie among the beams, from 0; None when it is not there."""
        places = np.flatnonzero(self.nodes == node)
        return int(places[0]) if len(places) else None


def levels_of(trace: Trace, user: int) -> list[Level]:
    """What a trace holds of one user, a row of the histories that were traced. Raises DataError for no such row."""
    users = len(trace.steps[0].nodes) if trace.steps else 0
    if not 0 <= user < users:
        raise DataError(f"the trace holds {users} users and no row {user}", field="user", fix="choose a row it holds")
    levels: list[Level] = []
    before = np.zeros(1)
    for number, step in enumerate(trace.steps):
        scores = step.scores[user].double().cpu().numpy()
        nodes, parents, codes = (part[user].cpu().numpy() for part in (step.nodes, step.parents, step.codes))
        there = nodes >= 0  # the best come first, so places stay what they are
        children, alive = np.zeros(len(nodes), np.int64), there.copy()
        if number + 1 < len(trace.steps):
            after = trace.steps[number + 1]
            children = after.allowed[user].cpu().numpy()
            alive = np.isin(np.arange(len(nodes)), after.parents[user][after.nodes[user] >= 0].cpu().numpy())
        levels.append(
            Level(
                parents[there], codes[there], nodes[there], np.exp(scores[there]),
                np.exp(scores[there] - before[parents[there]]), children[there], alive[there], len(nodes),
            )
        )  # fmt: skip
        before = scores
    return levels


@dataclass(frozen=True)
class TargetPath:
    """How far a target came: its place at every level that kept it, from 0, and what happened, in words."""

    places: tuple[int, ...]
    words: str


def target_path(target: int, levels: list[Level], trie: CodeTrie, ids: SemanticIds) -> TargetPath:
    """Follow a target (an item row) through the levels of a search."""
    nodes = [int(node) for node in trie.ancestors(trie.leaf[target : target + 1].long())]
    names = level_names(ids)
    places: list[int] = []
    codes = [f"{name}_{code}" for name, code in zip(names, ids.codes[target].tolist(), strict=True)]
    for number, level in enumerate(levels):
        place = level.place_of(nodes[number + 1])
        if place is None:
            prefix, kept = " ".join(codes[: number + 1]), len(level.nodes)
            if kept < level.width:
                reason = "it exists and places were free, so the search was set to leave it out"
            else:
                after = f" after rank {places[-1] + 1} at level {number - 1}" if places else ""
                reason = f"all {kept} places went to prefixes of {percent(level.p[-1])} or more{after}"
            return TargetPath(tuple(places), f"Its prefix {prefix} fell out at level {number}: {reason}.")
        places.append(place)
    last = levels[-1]
    words = f"Its ID {' '.join(codes)} came out with rank {places[-1] + 1} of {len(last.nodes)}, at "
    words += percent(last.p[places[-1]])
    before = ", ".join(f"rank {place + 1} at level {number}" for number, place in enumerate(places[:-1]))
    return TargetPath(tuple(places), words + (f"; on the way its prefixes had {before}." if before else "."))


def beam_trace(
    trace: Trace,
    trie: CodeTrie,
    ids: SemanticIds,
    user: int,
    gallery: Gallery,
    target: int | None = None,
    path_name: str = "",
    target_name: str = "the true next item",
    target_color: str = TARGET,
) -> str:
    """One user's beam search as HTML: a column of beams per level, best first, and the items that came out.

    `trace` of `PathDecoder.trace`, `trie` and `ids` of the modality it generated (row i is item i of the gallery's
    dataset), `user` a row of the histories that were traced. `target`: an item whose way is drawn in `target_color`
    and told in words that call it `target_name`. A beam tells its code, its probability so far and how many codes may
    follow; grey ones have no successor among the next beams. Pointing at a beam, or reaching it with Tab and the arrow
    keys, shows the way through it. Raises DataError for IDs of other items.
    """
    if len(ids) != gallery.dataset.num_items:
        raise DataError(
            f"there are {len(ids):,} IDs for {gallery.dataset.num_items:,} items", field="ids",
            fix="give the IDs that the search generated and a gallery of their dataset",
        )  # fmt: skip
    levels = levels_of(trace, user)
    way = None if target is None else target_path(target, levels, trie, ids)
    drawn = [_drawn(level, way, number) for number, level in enumerate(levels)]
    outcome = [trie.items[int(trie.first[node]) : int(trie.first[node + 1])].tolist() for node in levels[-1].nodes]
    shown = [outcome[place][0] for place in drawn[-1]]
    cards = Cards(gallery, [*shown, *([] if target is None else [target])])

    columns = []
    for number in range(len(levels)):
        on_way = way.places[number] if way and number < len(way.places) else None
        if number:
            columns.append(_lines(levels, drawn, number, on_way))
        columns.append(_column(levels, drawn[number], number, trie, ids, cards, outcome, on_way))
    columns.append(_items(cards, drawn[-1], outcome, levels[-1], target, target_name))
    widths = "minmax(100px,1fr) " + "minmax(18px,.45fr) minmax(100px,1fr) " * (len(levels) - 1) + "minmax(160px,1.9fr)"

    name = f"Beam search{f' {path_name}' if path_name else ''}: {len(levels[-1].nodes)} beams, {len(levels)} levels"
    words = [f"{name}."]
    if target is not None and way is not None:
        called = f"{target_name[:1].upper()}{target_name[1:]}"
        words += [f"{called} is “{item_label(gallery.dataset, target)}”.", way.words]
    dead = sum(int((~level.alive).sum()) for level in levels)
    words.append(f"{dead} beams have no successor among the next ones (grey).")
    head = f'<p class="says"><b>{html.escape(words[0])}</b> {html.escape(" ".join(words[1:]))}</p>'
    truth = ""
    if target is not None:
        lost = "" if way and len(way.places) == len(levels) else " lost"
        truth = (
            f'<div class="truth{lost}"><div class="thumb">{cards.picture(target)}</div>'
            f"<div><b>{html.escape(target_name)}</b><br>{html.escape(item_label(gallery.dataset, target))}</div></div>"
        )
    body = f'{head}{truth}<div class="grid" style="grid-template-columns:{widths}">{"".join(columns)}</div>'
    return cards.view(body, Path(__file__), " ".join(words), f"--target:{target_color}")


def _drawn(level: Level, way: TargetPath | None, number: int) -> list[int]:
    """Places of the beams to draw: the first ones, and the target's wherever it stands."""
    places = list(range(min(MOST, len(level.nodes))))
    if way and number < len(way.places) and way.places[number] >= MOST:
        places.append(way.places[number])
    return places


def _column(
    levels: list[Level], drawn: list[int], number: int, trie: CodeTrie, ids: SemanticIds, cards: Cards,
    outcome: list[list[int]], on_way: int | None,
) -> str:  # fmt: skip
    """The beams of one level as a list, under what they are."""
    level, name = levels[number], level_names(ids)[number]
    size = ids.sizes[number + 1] if number + 1 < len(levels) else 0
    most = float(level.p.max(initial=0)) or 1.0
    cells = []
    for place in drawn:
        code = f"{name}_{level.codes[place]}"
        follow = f"{level.children[place]} of {size} exist" if size else ""
        kind = " target" if place == on_way else "" if level.alive[place] else " dead"
        best = _best(levels, number, place)
        row = outcome[best][0] if best is not None else None
        known = f' data-row="{row}"' if row is not None else ""
        cells.append(
            f'<li class="beam{kind}" tabindex="-1" data-at="{number}-{place}" data-from="{level.parents[place]}"{known}'
            f' title="{html.escape(_note(levels, number, place, trie, ids, cards, row), quote=True)}">'
            f"<b>{html.escape(code)}</b> <span>{percent(level.p[place])}</span><small>{follow}</small>"
            f'<i style="width:{100 * level.p[place] / most:.3g}%"></i></li>'
        )
    more = len(level.nodes) - len(drawn)
    after = f'<p class="more">{more} more</p>' if more else ""
    free = level.width - len(level.nodes)
    held = f"{len(level.nodes)} kept: {percent(level.p.sum())}" + (f", {free} places free" if free else "")
    head = f"<header><b>level {number}: {html.escape(name)}</b><br>{held}</header>"
    return f"<div>{head}<ol>{''.join(cells)}</ol>{after}</div>"


def _note(
    levels: list[Level], number: int, place: int, trie: CodeTrie, ids: SemanticIds, cards: Cards, row: int | None
) -> str:
    """The hover text of a beam, line by line."""
    level = levels[number]
    first, items = _below(trie, number + 1, int(level.nodes[place]))
    prefix = " ".join(
        f"{name}_{code}" for name, code in zip(level_names(ids), ids.codes[first, : number + 1].tolist(), strict=False)
    )
    lines = [
        prefix,
        f"rank {place + 1} of {len(level.nodes)} at level {number}",
        f"{percent(level.p[place])} so far, {percent(level.step[place])} for the last code",
    ]
    if number + 1 < len(levels):
        lines.append(f"{level.children[place]} of {ids.sizes[number + 1]} codes exist after it")
    lines.append(f"{items:,} {'item has' if items == 1 else 'items have'} this prefix")
    if row is not None and number + 1 < len(levels):
        lines.append(f"best in the end: {item_label(cards.dataset, row)}")
    else:
        lines.append(f"{'item' if items == 1 else 'for example'}: {item_label(cards.dataset, first)}")
    return "\n".join(lines)


def _below(trie: CodeTrie, depth: int, node: int) -> tuple[int, int]:
    """An item under a node of the trie, and how many there are."""
    begin, end = node, node + 1
    for level in range(depth, trie.levels):
        begin, end = int(trie.start[level][begin]), int(trie.start[level][end])
    return int(trie.items[trie.first[begin]]), int(trie.first[end] - trie.first[begin])


def _best(levels: list[Level], number: int, place: int) -> int | None:
    """The best beam of the last level that continues a beam; None when there is none."""
    places = np.arange(len(levels[-1].nodes))
    at = places
    for level in reversed(levels[number + 1 :]):
        at = level.parents[at]
    best = places[at == place]
    return int(best[0]) if len(best) else None


def _lines(levels: list[Level], drawn: list[list[int]], number: int, on_way: int | None) -> str:
    """The lines from the beams of one level to those of the next, as an SVG as high as both columns."""
    height = ROW * max(len(places) for places in drawn)
    before = {place: line for line, place in enumerate(drawn[number - 1])}
    paths = []
    # The target's line is drawn last: over the others.
    for line, place in sorted(enumerate(drawn[number]), key=lambda entry: entry[1] == on_way):
        parent = int(levels[number].parents[place])
        if parent not in before:
            continue
        begin, end = (ROW * (at + 0.5) - 3 for at in (before[parent], line))
        kind = ' class="target"' if place == on_way else ""
        paths.append(f'<path{kind} data-to="{number}-{place}" d="M0 {begin:g}C50 {begin:g} 50 {end:g} 100 {end:g}"/>')
    return (
        f'<svg viewBox="0 0 100 {height}" preserveAspectRatio="none" style="height:{height}px" aria-hidden="true">'
        f"{''.join(paths)}</svg>"
    )


def _items(
    cards: Cards, drawn: list[int], outcome: list[list[int]], last: Level, target: int | None, target_name: str
) -> str:
    """The items that the beams of the last level lead to."""
    cells = []
    for place in drawn:
        items = outcome[place]
        hit = target in items
        row = items[0]
        more = f" (+{len(items) - 1} with this ID)" if len(items) > 1 else ""
        title = item_label(cards.dataset, row)
        truth = f", {target_name}" if hit else ""
        note = html.escape(f"rank {place + 1}, {percent(last.p[place])}{more}{truth}", quote=True)
        cells.append(
            f'<li class="item{" target" * hit}" data-leaf="{place}" title="{note}">'
            f'<div class="thumb">{cards.picture(row)}</div><div class="words">{"✓ " * hit}{html.escape(title + more)}'
            "</div></li>"
        )
    return f"<div><header><b>items</b><br>best first</header><ol>{''.join(cells)}</ol></div>"


def percent(p: float) -> str:
    """A probability in percent, to two digits or so.

    >>> percent(0.256), percent(0.00213), percent(0.00001)
    ('25.6%', '0.21%', '<0.01%')
    """
    if 0 < p < 0.00005:
        return "<0.01%"
    return f"{p:.1%}" if p >= 0.00995 else f"{p:.2%}"
