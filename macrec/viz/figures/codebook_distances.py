"""Which codewords are nearly the same: the distances inside a codebook, and across the books of two modalities."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from macrec.errors import DataError
from macrec.quantization.codewords import REDUNDANT, Codebooks, clustered, cosines, shared_space
from macrec.quantization.semantic_ids import SemanticIds, common_rows
from macrec.viz.coded_items import level_names
from macrec.viz.theme import CONFLICT, DIVERGING, SEQUENTIAL

Floats = NDArray[np.float64]

MOST = 256
"""Codewords drawn per book at most, the most used ones."""


def codebook_distances(
    codebooks: Codebooks, ids: Mapping[str, SemanticIds] | None = None, *, most: int = MOST
) -> tuple[go.Figure, str]:
    """Distances between the codewords of each level, a level from a menu; and a sentence.

    `codebooks`: modality → one `[K_l, d]` per level. A square per modality: Euclidean distances in percent of the
    median of its level, codewords in the order of a hierarchical clustering, crosses on pairs that are nearer than
    `REDUNDANT` of the median. Of the first two modalities, if their codewords are equally wide, one square more: the
    cosine between their codewords, in the same orders. `ids`: modality → its IDs. With them, `most` keeps the most used
    codewords (else the first), pointing shows how many items have a code, and the sentence says whether the two
    modalities share a space at all: whether the codewords of one item are more alike than those of two. Raises
    DataError for codebooks that are no matrices or differ in their levels, and for IDs of other sizes.
    """
    _check(codebooks, ids)
    levels = len(next(iter(codebooks.values())))
    pair = list(codebooks)[:2]
    crossed = len(pair) == 2 and all(
        codebooks[pair[0]][level].shape[1] == codebooks[pair[1]][level].shape[1] for level in range(levels)
    )
    titles = [*codebooks, *([f"{pair[0]} × {pair[1]}, cosine"] if crossed else [])]
    figure = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, horizontal_spacing=0.05)
    owner: list[int] = []
    redundant: dict[str, list[int]] = {name: [] for name in codebooks}
    nearest: dict[str, list[int | None]] = {name: [] for name in codebooks}
    for level in range(levels):
        drawn = []
        for column, (name, books) in enumerate(codebooks.items(), 1):
            use = np.bincount(ids[name].codes[:, level], minlength=len(books[level])) if ids is not None else None
            kept = np.arange(len(books[level])) if use is None else np.argsort(-use, kind="stable")
            kept = np.sort(kept[:most])
            order, percent, pairs = clustered(books[level][kept])
            codes, letter = kept[order], level_names(ids[name])[level] if ids is not None else f"level {level} code"
            labels = [
                f"{letter}_{code}" + ("" if use is None else f" ({use[code]:,} items)") for code in codes.tolist()
            ]
            drawn.append((books[level][codes], labels))
            redundant[name].append(len(np.unique(pairs)))
            apart = percent[~np.eye(len(percent), dtype=bool)]
            nearest[name].append(int(apart.min()) if len(apart) else None)  # None: the only codeword of its level
            figure.add_trace(
                go.Heatmap(
                    x=labels, y=labels, z=percent, colorscale=SEQUENTIAL, zmin=0, zmax=150, showscale=column == 1,
                    colorbar=_bar("distance", x=-0.02, xanchor="right"), visible=level == 0,
                    hovertemplate=f"{name} %{{y}}<br>{name} %{{x}}<br>distance %{{z}}% of the median<extra></extra>",
                ),
                row=1, col=column,
            )  # fmt: skip
            marked = np.concatenate([pairs, pairs[:, ::-1]])
            figure.add_scatter(
                x=[labels[place] for place in marked[:, 0]], y=[labels[place] for place in marked[:, 1]],
                mode="markers", marker={"symbol": "x-thin", "size": 6, "line": {"width": 1.5, "color": CONFLICT}},
                hoverinfo="skip", visible=level == 0, showlegend=False, row=1, col=column,
            )  # fmt: skip
            owner += [level, level]
        if crossed:
            (rows, row_labels), (columns, column_labels) = drawn[:2]
            figure.add_trace(
                go.Heatmap(
                    x=column_labels, y=row_labels, z=np.round(100 * cosines(rows, columns)).astype(np.int8),
                    colorscale=DIVERGING, zmin=-100, zmax=100, colorbar=_bar("cosine"), visible=level == 0,
                    hovertemplate=f"{pair[0]} %{{y}}<br>{pair[1]} %{{x}}<br>cosine %{{z}}%<extra></extra>",
                ),
                row=1, col=len(titles),
            )  # fmt: skip
            owner.append(level)
    figure.update_xaxes(showticklabels=False, ticks="", showgrid=False)
    figure.update_yaxes(showticklabels=False, ticks="", showgrid=False, autorange="reversed")
    buttons = [
        {"label": f"level {level}", "method": "update",
         "args": [{"visible": [of == level for of in owner]}, {"title.text": _title(level, nearest)}]}
        for level in range(levels)
    ]  # fmt: skip
    figure.update_layout(
        height=140 + 900 // max(2, len(titles)),
        title=_title(0, nearest),
        margin={"t": 108, "b": 20},
        updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.34, "yanchor": "top"}]
        if levels > 1
        else [],
    )
    cut = any(len(words) > most for books in codebooks.values() for words in books)
    among = f" (of the {'first' if ids is None else 'most used'} {most:,} per level)" if cut else ""
    return figure, _sentence(codebooks, ids, among, redundant, nearest, pair if crossed else None)


def _sentence(
    codebooks: Codebooks,
    ids: Mapping[str, SemanticIds] | None,
    among: str,
    redundant: dict[str, list[int]],
    nearest: dict[str, list[int | None]],
    pair: list[str] | None,
) -> str:
    """The results with their numbers, and which codewords can be compared."""
    counts = "; ".join(f"{name} {', '.join(map(str, per_level))}" for name, per_level in redundant.items())
    near = "; ".join(f"{name} {', '.join(map(_percent, per_level))}" for name, per_level in nearest.items())
    text = (
        f"Codewords{among} that another one makes redundant, being nearer than {REDUNDANT:.0%} of their level's median "
        f"distance, level by level: {counts}; the distance of the nearest two: {near}."
    )
    if pair is None:
        return text + (
            " The codewords of the modalities differ in width and cannot be compared." if len(codebooks) > 1 else ""
        )
    text += " Compare distances only within a codebook: each modality has its own encoder and space."
    if ids is None or len(common_rows(ids[pair[0]], ids[pair[1]])[0]) < 2:
        return text + " Cosines across modalities are meaningful only if training aligned the two spaces."
    levels = range(len(codebooks[pair[0]]))
    each = ", ".join(_compared(shared_space(codebooks, ids, [level])) for level in levels)
    whole = _compared(shared_space(codebooks, ids, levels))
    return (
        f"{text} How far they are aligned: the {pair[0]} and the {pair[1]} codeword of one item have a mean cosine "
        f"of {each}, level by level (in parentheses: of two items), and their sums over all levels, which alignment "
        f"draws together, {whole}."
    )


def _bar(quantity: str, **place: object) -> dict[str, object]:
    return {"title": {"text": quantity + ", %"}, "thickness": 10, "len": 0.9, **place}


def _compared(cosines: tuple[float, float]) -> str:
    own, chance = (round(value, 2) + 0.0 for value in cosines)  # + 0.0: no minus before a zero
    return f"{own:.2f} ({chance:.2f})"


def _percent(of_median: int | None) -> str:
    return "–" if of_median is None else f"{of_median}%"


def _title(level: int, nearest: dict[str, list[int | None]]) -> str:
    listed = ", ".join(f"{_percent(percent[level])} ({name})" for name, percent in nearest.items())
    return f"Level {level}: nearest codewords at {listed} of the median"


def _check(codebooks: Codebooks, ids: Mapping[str, SemanticIds] | None) -> None:
    """Raise DataError for codebooks that cannot be drawn, and for IDs that are not theirs."""
    shapes = {name: [np.shape(words) for words in books] for name, books in codebooks.items()}
    whole = all(len(shape) == 2 and min(shape) > 0 for of_levels in shapes.values() for shape in of_levels)
    if not all([shapes, whole, *shapes.values()]) or len({len(of_levels) for of_levels in shapes.values()}) > 1:
        raise DataError(f"the codebooks have the shapes {shapes}", fix="give one matrix of codewords per level")
    if ids is None:
        return
    for name, of_levels in shapes.items():
        if name not in ids:
            raise DataError(
                f'there are no IDs for the modality "{name}"', fix="give IDs for all codebooks, or for none"
            )
        sizes = tuple(shape[0] for shape in of_levels)
        if ids[name].sizes != sizes:
            what = f"the {name} IDs have {ids[name].sizes} codes per level, the codebooks {sizes}"
            raise DataError(what, fix="take IDs and codebooks from the same quantizer")
