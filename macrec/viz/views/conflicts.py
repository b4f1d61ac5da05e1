"""Conflicts seen: which items share an ID, side by side, and what resolving made of them."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.quantization.codewords import check_quantized
from macrec.quantization.health import conflict_groups
from macrec.quantization.semantic_ids import SemanticIds, common_rows
from macrec.quantization.tuples import errors
from macrec.viz.coded_items import Rows, item_cards, item_rows, spelled
from macrec.viz.pictures import labelled
from macrec.viz.theme import CONFLICT, FONT


def conflict_explorer(
    ids: SemanticIds,
    resolved: SemanticIds | None = None,
    data: Dataset | None = None,
    *,
    latents: NDArray[np.floating] | None = None,
    codebooks: Sequence[NDArray[np.floating]] | None = None,
    groups: int = 6,
    most: int = 8,
    size: int = 96,
) -> str:
    """The `groups` largest groups of items with one ID as HTML, at most `most` items of each.

    `resolved`: the IDs after `resolve_conflicts` (items are matched by id), for what became of each item; `latents`
    `[N, d]` and `codebooks` for the distortion that a move added, and for whether a group are exact duplicates.
    """
    conflicts = conflict_groups(ids)
    style = f'style="font:13px {html.escape(FONT, quote=True)};color:#222;background:#fff"'
    if not conflicts:
        summary = f"No conflict: each of the {len(ids):,} items has an ID of its own."
        return f"<div {labelled(summary)} {style}><p>{summary}</p></div>"
    if latents is not None and codebooks is not None:
        check_quantized(latents, codebooks, ids.codes)
    after = None
    if resolved is not None:
        after = np.full(len(ids), -1, np.int64)
        here, there = common_rows(ids, resolved)
        after[here] = there
    rows = item_rows(ids, data) if data is not None else None

    summary = _summary(ids, resolved, after, conflicts)
    parts = [f"<div {labelled(summary)} {style}>", f"<p>{html.escape(summary)}</p>"]
    for members in conflicts[:groups]:
        shown = members[:most]
        added = None
        if resolved is not None and after is not None and latents is not None and codebooks is not None:
            added = _added(ids, resolved, after, shown, latents, codebooks)
        notes = [
            _fate(ids, resolved, after, int(row), None if added is None else float(added[place]))
            for place, row in enumerate(shown)
        ]
        alike = ""
        if latents is not None:
            distinct = len(np.unique(latents[members], axis=0))
            alike = ": exact duplicates, no codebook can separate them" if distinct == 1 else (
                f": {distinct} different vectors")  # fmt: skip
        more = f", {len(shown)} of them shown" if len(shown) < len(members) else ""
        title = f"{spelled(ids, int(members[0]))} · {len(members)} items{alike}{more}"
        parts.append(
            f'<section style="border-left:5px solid {CONFLICT};padding-left:8px;margin:10px 0">'
            f"<b>{html.escape(title)}</b>{item_cards(ids, shown.tolist(), data, rows, notes, size)}</section>"
        )
    return "".join([*parts, "</div>"])


def _summary(ids: SemanticIds, resolved: SemanticIds | None, after: Rows | None, conflicts: list[Rows]) -> str:
    """How many groups of which size, and how many items resolving moved."""
    sizes, counts = np.unique([len(members) for members in conflicts], return_counts=True)
    listed = ", ".join(f"{count:,} of {size}" for size, count in zip(sizes[:6], counts[:6], strict=True))
    larger = f", {counts[6:].sum():,} larger (up to {sizes[-1]})" if len(sizes) > 6 else ""
    involved = int(sizes @ counts)
    text = (
        f"{involved:,} of {len(ids):,} items ({involved / len(ids):.1%}) share their ID, in {len(conflicts):,} groups: "
        f"{listed}{larger}."
    )
    if resolved is None or after is None:
        return text
    known = after >= 0
    levels = min(ids.num_levels, resolved.num_levels)
    moved = int((ids.codes[known, :levels] != resolved.codes[after[known], :levels]).any(1).sum())
    left = sum(len(members) for members in conflict_groups(resolved))
    longer = " and added a level" if resolved.num_levels > ids.num_levels else ""
    return f"{text} Resolving moved {moved:,} items{longer}; {left:,} still share an ID."


def _added(
    ids: SemanticIds,
    resolved: SemanticIds,
    after: Rows,
    shown: Rows,
    latents: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
) -> NDArray[np.float64]:
    """Growth of the squared reconstruction error of some items `[n]`; nan where an item is not among the resolved."""
    books = [np.asarray(codewords, np.float64) for codewords in codebooks]
    vectors = np.asarray(latents[shown], np.float64)
    new = resolved.codes[after[shown], : len(books)]
    growth = errors(new, vectors, books) - errors(ids.codes[shown], vectors, books)
    return np.where(after[shown] >= 0, growth, np.nan)


def _fate(ids: SemanticIds, resolved: SemanticIds | None, after: Rows | None, row: int, added: float | None) -> str:
    """What resolving did to an item: kept its ID, or moved it, at which levels, for how much distortion."""
    if resolved is None or after is None:
        return ""
    there = int(after[row])
    if there < 0:
        return "not among the resolved"
    levels = min(ids.num_levels, resolved.num_levels)
    changed = np.flatnonzero(ids.codes[row, :levels] != resolved.codes[there, :levels])
    extra = f"; extra code {spelled(resolved, there).split()[-1]}" if resolved.num_levels > levels else ""
    if not len(changed):
        return f"kept its ID{extra}"
    where = ", ".join(str(level) for level in changed)
    cost = "" if added is None else f", distortion {added:+.3g}"
    return f"→ {spelled(resolved, there)} (level {where}{cost}){extra}"
