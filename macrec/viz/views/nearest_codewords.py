"""Why an item has its codes: at every level the nearest codewords, and items that have them."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.codewords import check_quantized, codeword_distances
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import Rows, item_cards, item_rows, level_names, spelled
from macrec.viz.labels import item_label
from macrec.viz.pictures import labelled, picture_tag
from macrec.viz.theme import FONT, FUSED

Floats = NDArray[np.float64]


def nearest_codewords(
    item: int,
    ids: SemanticIds,
    latents: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    data: Dataset | None = None,
    k: int = 5,
    examples: int = 3,
    size: int = 52,
) -> str:
    """One item (a row of `ids`), and at every level its `k` nearest codewords with their distances, as HTML.

    The chosen codeword is marked, and added where it is not among the k nearest (a conflict was resolved, or codes were
    balanced). Below each are `examples` other items that have it, those with the longest common prefix first, then the
    ones nearest to the codeword. `latents` `[N, d]`, `codebooks` one `[K_l, d]` per level. Raises DataError for arrays
    that do not fit each other, and for an item that is not there.
    """
    check_item(item, ids)
    check_quantized(latents, codebooks, ids.codes)
    rows = item_rows(ids, data) if data is not None else None
    shown = [
        (distances, np.arange(len(distances)), partial(_examples, ids, latents, codebooks, item, level))
        for level, distances in enumerate(codeword_distances(latents[item], codebooks, ids.codes[item]))
    ]
    return card(item, ids, data, rows, shown, k, examples, size)


Level = tuple[Floats, NDArray[np.integer], Callable[[int], Rows]]
"""What a card shows of a level: distances `[C]`, the codes they belong to `[C]`, and other items with a code, the best
examples first."""


def card(
    item: int, ids: SemanticIds, data: Dataset | None, rows: Rows | None, levels: Sequence[Level], k: int,
    examples: int, size: int,
) -> str:  # fmt: skip
    """An item, and at every level the `k` nearest of some codes; its own is marked, and added where it is not among
    them."""
    name = f"item {ids.item_ids[item]}" if data is None or rows is None else item_label(data, int(rows[item]))
    label = f"{name}: why it has the codes {spelled(ids, item)}, level by level."
    parts = [
        f'<div {labelled(label)} style="font:12px {html.escape(FONT, quote=True)};color:#222;background:#fff">',
        f'<h4 style="margin:8px 0 4px">{html.escape(f"{name}: {spelled(ids, item)}")}</h4>',
        item_cards(ids, [item], data, rows, [""], 84) if has_pictures(data, rows) else "",
    ]
    for level, (distances, codes, others) in enumerate(levels):
        order = np.argsort(distances, kind="stable")
        ranked, chosen = codes[order].tolist(), int(ids.codes[item, level])
        rank = ranked.index(chosen)
        cells = []
        for place in [*range(min(k, len(ranked))), *([rank] if rank >= k else [])]:
            code, distance = ranked[place], distances[order[place]]
            mark = f"border:3px solid {FUSED}" if code == chosen else "border:1px solid #ddd;padding:2px"
            words = f"{level_names(ids)[level]}_{code}"
            if code == chosen:
                words += " ✓ chosen" + (f", rank {rank + 1}" if rank >= k and np.isfinite(distance) else "")
            far = f"distance {distance:.3g}" if np.isfinite(distance) else "no distance"
            members = others(code)[:examples]
            cells.append(
                f'<div style="{mark};border-radius:6px"><div style="padding:4px 6px 0"><b>{html.escape(words)}</b>'
                f'<div style="color:#555">{far}</div></div>{_pictures(ids, members, data, rows, size)}</div>'
            )
        parts.append(
            f'<div style="margin:6px 0 2px"><b>level {level}</b></div>'
            f'<div style="display:flex;flex-wrap:wrap;gap:8px">{"".join(cells)}</div>'
        )
    return "".join([*parts, "</div>"])


def _examples(
    ids: SemanticIds,
    latents: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    item: int,
    level: int,
    code: int,
) -> Rows:
    """All other items with `code` at `level`: first those with its longest prefix, then the nearest to the codeword."""
    others = np.flatnonzero(ids.codes[:, level] == code)
    others = others[others != item]
    common = np.cumprod(ids.codes[others, :level] == ids.codes[item, :level], axis=1).sum(1)
    rest = np.asarray(latents[others], np.float64)
    for before in range(level):
        rest = rest - codebooks[before][ids.codes[others, before]]
    distance = np.linalg.norm(rest - codebooks[level][code], axis=1)
    best: Rows = others[np.lexsort((distance, -common))]
    return best


def _pictures(ids: SemanticIds, members: Rows, data: Dataset | None, rows: Rows | None, size: int) -> str:
    """A few small pictures in a line; titles or ids where there are none."""
    if not len(members):
        return '<div style="padding:4px 6px;color:#666">no other item has it</div>'
    if not has_pictures(data, rows) or data is None or rows is None:
        return item_cards(ids, members.tolist(), data, rows, [""] * len(members), 150)
    shown = [(html.escape(item_label(data, row), quote=True), row) for row in rows[members].tolist()]
    pictures = "".join(f'<span title="{title}">{picture_tag(data, row, size)}</span>' for title, row in shown)
    return f'<div style="display:flex;gap:4px;padding:4px 6px">{pictures}</div>'


def check_item(item: int, ids: SemanticIds) -> None:
    """Raise DataError for an item that is not there."""
    if not 0 <= item < len(ids):
        fix = f"choose a row from 0 to {len(ids) - 1}"
        raise DataError(f"there is no row {item} among the IDs", field="item", fix=fix)


def has_pictures(data: Dataset | None, rows: Rows | None) -> bool:
    """Whether items can be shown by their pictures."""
    return data is not None and rows is not None and bool(data.images.present.any())
