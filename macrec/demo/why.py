"""Why an item was recommended, as HTML: scores of each path, codes shared with the history, prefixes in the beam."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from macrec.data.dataset import Dataset
from macrec.data.ranking import NOT_RANKED
from macrec.demo.explain import Answer, PathScores, Step, shared_codes
from macrec.generation.batches import CodeTables
from macrec.viz.coded_items import counted, level_names
from macrec.viz.figures.code_tree import faded
from macrec.viz.labels import item_label
from macrec.viz.pictures import picture_tag
from macrec.viz.theme import FUSED, modality_colors
from macrec.viz.views.beam_trace import percent

MOST = 8
"""Items of a history whose codes are shown: those with the longest shared prefixes."""


def why_html(
    answer: Answer, place: int, data: Dataset, tables: CodeTables, ways: Sequence[tuple[PathScores, list[Step]]]
) -> str:
    """The recommendation at `place`, from 0, in detail; `ways`: its prefixes in the beams of the decoded paths."""
    item = int(answer.items[place])
    return (
        f'<section class="macrec-why" aria-label="Why {escaped(item_label(data, item))}">'
        f"{about_html(answer, place, data)}"
        "<h3>The scores of each path</h3>"
        f"{paths_html(answer, place)}"
        "<h3>What its IDs share with the history</h3>"
        f"{codes_html(answer, item, data, tables)}"
        "<h3>Its way through the beam search</h3>"
        f"{ways_html(ways, tables)}</section>"
    )


def about_html(answer: Answer, place: int, data: Dataset) -> str:
    """The item, and its true probability on the built-in catalog."""
    item = int(answer.items[place])
    about = data.items.row(item, named=True)
    facts = [about["brand"], " › ".join(about["categories"]), about["description"]]
    lines = "".join(f"<div>{escaped(fact)}</div>" for fact in facts if fact)
    mixed = f"Mixed probability {percent(math.exp(answer.scores[place]))}, place {place + 1} of {len(answer.items)}."
    truth = ""
    if answer.true_p is not None and answer.true_ranks is not None:
        truth = (
            f" Its true probability is {percent(float(answer.true_p[place]))}: "
            f"rank {answer.true_ranks[place]:,} of {data.num_items:,} by the oracle."
        )
    return (
        f'<div class="macrec-item">{picture_tag(data, item, 96)}<div><b>{escaped(item_label(data, item))}</b>{lines}'
        f'<div class="macrec-say">{mixed}{truth}</div></div></div>'
    )


def paths_html(answer: Answer, place: int) -> str:
    """One row per path: probability, place in its beam, weight in the mix and how far it lifts or lowers the item."""
    longest = max(0.1, max(float(np.abs(path.pushes).max()) for path in answer.paths))
    colors, rows = colors_of(answer.paths), []
    for path in answer.paths:
        color = colors[path.task.target]
        rank = int(path.places[place])
        where = f"{rank} of {path.beams}" if rank != NOT_RANKED else f"not in its {path.beams}"
        push = float(path.pushes[place])
        rows.append(
            f'<tr><th scope="row">{arrow(path, colors)}</th><td>{percent(math.exp(path.scores[place]))}</td>'
            f"<td>{where}</td>"
            + (
                f"<td>{path.weight:.2f}</td><td>{bar(push / longest, color)} ×{math.exp(push):.2f}</td></tr>"
                if path.weight
                else '<td colspan="2" class="macrec-quiet">not decoded: shown for comparison</td></tr>'
            )
        )
    total = float(answer.scores[place] - answer.scores.mean())
    rows.append(
        f'<tr><th scope="row">mixed</th><td>{percent(math.exp(answer.scores[place]))}</td><td>place {place + 1}</td>'
        f"<td>{sum(path.weight for path in answer.paths):.2f}</td>"
        f"<td>{bar(total / longest, FUSED)} ×{math.exp(total):.2f}</td></tr>"
    )
    caption = (
        "A path reads the modalities before its arrow and writes the ID of the one after it. Lift: how much more (or "
        f"less) probable than the {counted(len(answer.items), 'item')} shown on average; the paths' lifts multiply to "
        "that of the mix, whose probability is the geometric mean of theirs by their weights."
    )
    return table(("path", "probability", "place in its beam", "weight", "lift"), rows, caption)


def codes_html(answer: Answer, item: int, data: Dataset, tables: CodeTables) -> str:
    """The semantic IDs of the item and of the items of the history that share the longest prefixes with it."""
    shared = {name: shared_codes(ids, item, answer.history) for name, ids in tables.ids.items()}
    prefixes = np.stack([prefix for _, prefix in shared.values()])
    order = np.lexsort((-np.arange(len(answer.history)), -prefixes.sum(0), -prefixes.max(0)))[:MOST]
    none = int((prefixes.max(0) == 0).sum())

    def row(head: str, which: int, at: int | None) -> str:
        cells = []
        for name in tables.ids:
            levels = len(level_names(tables.ids[name]))
            same, prefix = (np.ones((1, levels), bool), np.array([levels])) if at is None else shared[name]
            cells.append(f"<td>{id_boxes(tables, name, which, same[at or 0], int(prefix[at or 0]), at is None)}</td>")
        return f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>'

    rows = [row(small(data, item, "this item"), item, None)]
    rows += [
        row(small(data, int(answer.history[at]), ago(len(answer.history) - int(at))), int(answer.history[at]), int(at))
        for at in order
    ]
    n = len(answer.history)
    more = f" Those with the longest prefixes are shown, {n - len(order)} are not." if n > len(order) else ""
    caption = (
        f"Filled ✓: the same prefix as this item. Underlined: the same code after other ones. {n - none} of the "
        f"{counted(n, 'item')} in the history {'shares' if n - none == 1 else 'share'} a prefix with it.{more}"
    )
    return table(("item", *(f"{name} ID" for name in tables.ids)), rows, caption)


def ways_html(ways: Sequence[tuple[PathScores, list[Step]]], tables: CodeTables) -> str:
    """The beams of the decoded paths, level by level: the rank of the item's prefix."""
    colors, parts = colors_of([path for path, _ in ways]), []
    for path, steps in ways:
        names = level_names(tables.table(path.task.target))
        rows = []
        for number, (name, step) in enumerate(zip(names, steps, strict=True)):
            code = f'<th scope="row">{number}</th><td><b>{escaped(name)}_{step.code}</b></td>'
            if step.place is None or step.p is None or step.step is None:
                out = f"out: {step.kept} other prefixes were more probable"
                rows.append(f'<tr>{code}<td colspan="3" class="macrec-wide">{out}</td></tr>')
                break
            cells = (percent(step.step), percent(step.p), f"{step.place} of {step.kept}")
            rows.append(f"<tr>{code}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
        parts.append(table(("level", "code", "by itself", "so far", "rank"), rows, arrow(path, colors)))
    note = "By itself: the probability of the code after those before it. So far: of the whole prefix, with its rank."
    return f'<div class="macrec-ways">{"".join(parts)}</div><p>{note}</p>'


def id_boxes(tables: CodeTables, modality: str, item: int, same: Sequence[bool], prefix: int, own: bool) -> str:
    """A semantic ID as boxes: `own` in its color, else the shared `prefix` filled and further `same` codes marked."""
    ids, color = tables.ids[modality], modality_colors(tables.ids)[modality]
    boxes = []
    for level, (name, code) in enumerate(zip(level_names(ids), ids.codes[item].tolist(), strict=True)):
        word = f"{name}_{code}"
        if own:
            style = f"border-color:{color};font-weight:bold"
        elif level < prefix:
            word, style = f"{word} ✓", f"background:{faded(color, 0.3)};border-color:{color};font-weight:bold"
        elif same[level]:
            style = f"border-color:{color};text-decoration:underline {color} 2px"
        else:
            style = "border-color:#ccc;color:#666"
        boxes.append(f'<span style="{style}">{escaped(word)}</span>')
    return f'<span class="macrec-id">{"".join(boxes)}</span>'


def table(head: Sequence[str], rows: Sequence[str], caption: str) -> str:
    """An HTML table of ready rows, under or over a ready caption."""
    cells = "".join(f'<th scope="col">{escaped(name)}</th>' for name in head)
    words = f"<caption>{caption}</caption>" if caption else ""
    return f"<table>{words}<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def bar(share: float, color: str) -> str:
    """A bar from the middle to the right for `share` up to 1, to the left below 0."""
    width = 50 * min(1.0, abs(share))
    left = 50 if share >= 0 else 50 - width
    style = f"left:{left:.1f}%;width:{width:.1f}%;background:{color}"
    return f'<span class="macrec-bar" aria-hidden="true"><i style="{style}"></i></span>'


def arrow(path: PathScores, colors: Mapping[str, str]) -> str:
    """The name of a path, its ends underlined in the colors of their modalities."""

    def underlined(modality: str) -> str:
        return f'<span style="border-bottom:3px solid {colors[modality]}">{escaped(modality)}</span>'

    return f"{' + '.join(map(underlined, path.task.sources))} → {underlined(path.task.target)}"


def colors_of(paths: Sequence[PathScores]) -> dict[str, str]:
    """The colors of the modalities that the paths read and write."""
    return modality_colors(end for path in paths for end in (*path.task.sources, path.task.target))


def small(data: Dataset, item: int, note: str) -> str:
    """An item beside its picture in a table."""
    return (
        f'<span class="macrec-small">{picture_tag(data, item, 32)}<span>{escaped(item_label(data, item))}'
        f"<small>{escaped(note)}</small></span></span>"
    )


def ago(steps: int) -> str:
    """How far back an item lies."""
    return "the newest" if steps == 1 else f"{steps} back"


def escaped(words: str) -> str:
    """Words for HTML."""
    return html.escape(words, quote=True)
