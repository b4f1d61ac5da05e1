"""Why an item has its codes: at every level the nearest codewords, and items that have them."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.codebook_figures import check_quantized
from macrec.viz.coded_items import Rows, item_cards, item_rows, level_names, spelled
from macrec.viz.pictures import item_label, picture_tag
from macrec.viz.theme import FONT, FUSED

Floats = NDArray[np.float64]


def codeword_distances(
    latent: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]], codes: NDArray[np.integer]
) -> list[Floats]:
    """Distances of one item's residual to all codewords, one array `[K_l]` per level.

    `latent` `[d]`; the residual of a level is what the item's own `codes` `[L]` of the levels before leave.
    """
    rest = np.asarray(latent, np.float64)
    distances = []
    for codewords, code in zip(codebooks, codes, strict=True):
        distances.append(np.linalg.norm(codewords - rest, axis=1))
        rest = rest - codewords[code]
    return distances


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
    if not 0 <= item < len(ids):
        fix = f"choose a row from 0 to {len(ids) - 1}"
        raise DataError(f"there is no row {item} among the IDs", field="item", fix=fix)
    check_quantized(latents, codebooks, ids.codes)
    rows = item_rows(ids, data) if data is not None else None
    own = ids.codes[item]
    name = f"item {ids.item_ids[item]}" if data is None or rows is None else item_label(data, int(rows[item]))
    parts = [
        f'<div style="font:12px {html.escape(FONT, quote=True)};color:#222;background:#fff">',
        f'<h4 style="margin:8px 0 4px">{html.escape(f"{name}: {spelled(ids, item)}")}</h4>',
        item_cards(ids, [item], data, rows, [""], 84),
    ]
    for level, distances in enumerate(codeword_distances(latents[item], codebooks, own)):
        order = np.argsort(distances, kind="stable")
        near = order[:k].tolist()
        chosen = int(own[level])
        if chosen not in near:
            near.append(chosen)
        cells = []
        for code in near:
            is_own = code == chosen
            rank = "" if not is_own or chosen in order[:k] else f", rank {int(np.flatnonzero(order == code)[0]) + 1}"
            mark = f"border:3px solid {FUSED}" if is_own else "border:1px solid #ddd;padding:2px"
            words = f"{level_names(ids)[level]}_{code}" + (f" ✓ chosen{rank}" if is_own else "")
            others = _examples(ids, latents, codebooks, item, level, code, examples)
            cells.append(
                f'<div style="{mark};border-radius:6px"><div style="padding:4px 6px 0"><b>{html.escape(words)}</b>'
                f'<div style="color:#555">distance {distances[code]:.3g}</div></div>'
                f"{_pictures(ids, others, data, rows, size)}</div>"
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
    how_many: int,
) -> Rows:
    """Other items with `code` at `level`: first those with its longest prefix, then the nearest to the codeword."""
    others = np.flatnonzero(ids.codes[:, level] == code)
    others = others[others != item]
    common = np.cumprod(ids.codes[others, :level] == ids.codes[item, :level], axis=1).sum(1)
    rest = np.asarray(latents[others], np.float64)
    for before in range(level):
        rest = rest - codebooks[before][ids.codes[others, before]]
    distance = np.linalg.norm(rest - codebooks[level][code], axis=1)
    best: Rows = others[np.lexsort((distance, -common))[:how_many]]
    return best


def _pictures(ids: SemanticIds, members: Rows, data: Dataset | None, rows: Rows | None, size: int) -> str:
    """A few small pictures in a line; titles or ids where there are none."""
    if not len(members):
        return '<div style="padding:4px 6px;color:#666">no other item has it</div>'
    if data is None or rows is None or not data.images.present.any():
        return item_cards(ids, members.tolist(), data, rows, [""] * len(members), 150)
    shown = [(html.escape(item_label(data, row), quote=True), row) for row in rows[members].tolist()]
    pictures = "".join(f'<span title="{title}">{picture_tag(data, row, size)}</span>' for title, row in shown)
    return f'<div style="display:flex;gap:4px;padding:4px 6px">{pictures}</div>'
