"""Figures of the alignment: an item's states in two modalities, at some moments of a training.

Moments come in order of time, as `StateSnapshots.load` gives them: moment → modality → states `[N, d]`, of two
modalities, row i being item i.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from macrec.encoders.layout import umap_layout
from macrec.evaluation.alignment import mean_distances, pair_distances
from macrec.viz.figures.embeddings import narrow, on_grid
from macrec.viz.pictures import Gallery
from macrec.viz.theme import FUSED, INK, MUTED, REFERENCE, SYMBOLS, empty_figure, modality_colors

States = NDArray[np.floating[Any]]
Moments = Mapping[str, Mapping[str, States]]

NOTHING = "No states of this training were kept, so there is nothing to show."


def alignment_map(
    moments: Moments, gallery: Gallery, sample: int = 400, joined: int = 100, seed: int = 0, cache: Path | None = None
) -> tuple[go.Figure, str]:
    """UMAP views of both modalities' states together, one per moment, the states of an item joined; and the sentence.

    Shows the items of `gallery`, or `sample` of them where there are more, and joins the two states of `joined` of
    those. Every moment has a view of its own: only what is near what can be compared. `cache`: the beginning of the
    names of the files that keep the layouts. Raises ValueError for fewer than 4 items and, as all figures here, for
    moments that do not have the same two modalities.
    """
    if not moments:
        return empty_figure("Nothing to show"), NOTHING
    names = _modalities(moments)
    colors = modality_colors(names)
    rng = np.random.default_rng(seed)
    rows = np.asarray(gallery.rows)
    if len(rows) > sample:
        rows = np.sort(rng.choice(rows, sample, replace=False))
    pairs = rng.permutation(len(rows))[:joined]
    columns = len(moments) if len(moments) <= 3 else -(-len(moments) // 2)
    rows_of_panels = -(-len(moments) // columns)
    distances = {label: mean_distances(*_pair(states)) for label, states in moments.items()}
    figure = make_subplots(
        rows=rows_of_panels, cols=columns, horizontal_spacing=0.03, vertical_spacing=0.08,
        subplot_titles=[f"<b>{label}</b><br>same item {same:.2f} apart, others {other:.2f}"
                        for label, (same, other) in distances.items()],
    )  # fmt: skip
    for place, states in enumerate(moments.values()):
        row, column = place // columns + 1, place % columns + 1
        file = cache.with_name(f"{cache.name}-{place}.npz") if cache else None
        both = np.concatenate([of_modality[rows] for of_modality in _pair(states)])
        points = on_grid(umap_layout(both, seed, file)).reshape(2, len(rows), 2)
        # One line for all pairs, with a gap after each.
        ends = np.full((len(pairs), 3, 2), np.nan, np.float32)
        ends[:, :2] = points[:, pairs].transpose(1, 0, 2)
        figure.add_trace(
            go.Scattergl(
                x=ends[..., 0].ravel(), y=ends[..., 1].ravel(), mode="lines", name="the same item", legendgroup="line",
                showlegend=not place, line={"color": MUTED, "width": 0.7}, opacity=0.6, hoverinfo="skip",
            ), row=row, col=column,
        )  # fmt: skip
        for number, name in enumerate(names):
            figure.add_trace(
                go.Scattergl(
                    x=points[number, :, 0], y=points[number, :, 1], customdata=narrow(rows), mode="markers", name=name,
                    legendgroup=name, showlegend=not place, hoverinfo="none",
                    marker={"size": 5, "color": colors[name], "symbol": SYMBOLS[number], "opacity": 0.8},
                ), row=row, col=column,
            )  # fmt: skip
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, showgrid=False)
    figure.update_annotations(font={"size": 12, "color": INK})
    figure.update_layout(
        height=144 + (400 if rows_of_panels == 1 else 320 * rows_of_panels),
        title=f"Where {names[0]} and {names[1]} states of items lie",
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom", "itemsizing": "constant"},
        margin={"t": 98, "l": 12, "r": 12, "b": 46},
    )
    said = "; ".join(f"{label} {same:.2f} and {other:.2f}" for label, (same, other) in distances.items())
    return figure, (
        f"UMAP of the {names[0]} and {names[1]} states of {len(rows):,} items, one view per moment; lines join the two "
        f"states of {len(pairs):,} of them. Mean cosine distance of an item's states, and of different items': {said}."
    )


def distance_figure(moments: Moments, seed: int = 0) -> tuple[go.Figure, str]:
    """How far apart the two states of an item are, and those of two random items, per moment; and the sentence.

    The middle half and the middle 90 % of the cosine distances, and their median.
    """
    if not moments:
        return empty_figure("Nothing to show"), NOTHING
    names = _modalities(moments)
    figure = go.Figure()
    distances = {label: pair_distances(*_pair(states), seed) for label, states in moments.items()}
    kinds = (("same item", FUSED, "diamond", -0.15), ("random items", REFERENCE, "circle", 0.15))
    for number, (kind, color, symbol, offset) in enumerate(kinds):
        low, quarter, middle, three_quarters, high = (
            np.quantile(np.stack([of_moment[number] for of_moment in distances.values()]), share, axis=1).round(5)
            for share in (0.05, 0.25, 0.5, 0.75, 0.95)
        )
        heights = np.arange(len(moments)) + offset
        for width, begin, end in ((1.5, low, high), (6, quarter, three_quarters)):
            figure.add_scatter(
                x=middle, y=heights, mode="markers", marker_opacity=0, showlegend=False, legendgroup=kind,
                hoverinfo="skip",
                error_x={"type": "data", "array": end - middle, "arrayminus": middle - begin, "width": 0,
                         "thickness": width, "color": color},
            )  # fmt: skip
        figure.add_scatter(
            x=middle, y=heights, mode="markers", name=kind, legendgroup=kind,
            marker={"size": 11, "color": "white", "symbol": symbol, "line": {"width": 2, "color": color}},
            customdata=np.stack([low, quarter, three_quarters, high], 1).tolist(), text=list(moments),
            hovertemplate="%{text}, " + kind + ": median %{x:.3f}<br>middle half %{customdata[1]:.3f} to "
            "%{customdata[2]:.3f}<br>middle 90 % %{customdata[0]:.3f} to %{customdata[3]:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(moments))), ticktext=list(moments), range=[len(moments) - 0.5, -0.5], showgrid=False
    )
    figure.update_xaxes(
        title=f"cosine distance between {names[0]} and {names[1]} state", rangemode="tozero", showgrid=True,
        gridcolor="#EEEEEE",
    )  # fmt: skip
    medians = {label: tuple(float(np.median(kind)) for kind in of_moment) for label, of_moment in distances.items()}
    same, other = medians[list(moments)[-1]]
    figure.update_layout(
        height=180 + 62 * len(moments),
        title=f"{list(moments)[-1].capitalize()}: same item {same:.2f} apart, random items {other:.2f}",
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        margin={"t": 88},
    )
    said = "; ".join(f"{label}: {same:.2f} against {other:.2f}" for label, (same, other) in medians.items())
    return figure, (
        f"Cosine distance between the {names[0]} and the {names[1]} state of one item, against those of two random "
        f"items: median (mark), middle half (thick) and middle 90 % (thin). Medians {said}."
    )


def retrieval_figure(
    measures: Mapping[str, Mapping[str, float]],
    reference: Mapping[str, Mapping[str, float]] | None = None,
    reference_name: str = "without alignment",
) -> tuple[go.Figure, str]:
    """How often an item's state finds its other state among all items, per moment and direction; and the sentence.

    `measures`: moment → what `alignment_measures` gives. `reference`: the same of another training, thin and dashed.
    """
    if not measures:
        return empty_figure("Nothing to show"), NOTHING
    moments = _merged(list(measures), list(reference or {}))
    last = measures[list(measures)[-1]]
    directions = [name.partition("/")[2] for name in last if name.startswith("recall@1/")]
    colors = modality_colors(direction.partition("→")[0] for direction in directions)
    trainings = [(measures, "", "solid", 2.2)]
    if reference:
        trainings.append((reference, f", {reference_name}", "dash", 1.2))
    chance = {k: min(1.0, k / last["items"]) for k in (1, 10)}
    figure = make_subplots(
        rows=1, cols=2, horizontal_spacing=0.12,
        subplot_titles=["found at once (recall@1)", "among the first 10 (recall@10)"],
    )  # fmt: skip
    for column, k in enumerate(chance, start=1):
        for course, suffix, dash, width in trainings:
            for number, direction in enumerate(directions):
                figure.add_scatter(
                    x=[moments.index(label) for label in course], text=list(course), cliponaxis=False,
                    y=[course[label][f"recall@{k}/{direction}"] for label in course], mode="lines+markers",
                    name=direction + suffix, legendgroup=direction + suffix, showlegend=column == 1, row=1, col=column,
                    line={"color": colors[direction.partition("→")[0]], "width": width, "dash": dash},
                    marker={"size": 9, "symbol": SYMBOLS[number] + ("-open" if suffix else "")},
                    hovertemplate="%{text}, " + direction + suffix + ": %{y:.2%}<extra></extra>",
                )  # fmt: skip
        figure.add_scatter(
            x=[-0.3, len(moments) - 0.7], y=[chance[k]] * 2, mode="lines", name="chance", legendgroup="chance",
            showlegend=column == 1, line={"color": REFERENCE, "dash": "dot", "width": 1.5}, row=1, col=column,
            hovertemplate="chance: %{y:.2%}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(tickvals=list(range(len(moments))), ticktext=moments, range=[-0.3, len(moments) - 0.7])
    figure.update_yaxes(rangemode="tozero", tickformat=".1~%")
    figure.update_yaxes(title="share of items", col=1)
    figure.update_annotations(font={"size": 13, "color": INK})

    def shares(course: Mapping[str, float]) -> str:
        return "; ".join(
            f"{direction} {course[f'recall@1/{direction}']:.1%} and {course[f'recall@10/{direction}']:.1%}"
            for direction in directions
        )

    best = max(directions, key=lambda direction: last[f"recall@10/{direction}"])
    figure.update_layout(
        height=420,
        title=f"{best}: {last[f'recall@10/{best}']:.1%} among the first 10, {chance[10]:.1%} by chance",
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
        margin={"t": 88, "b": 96},
    )
    said = [
        f"{list(course)[-1].capitalize()}{suffix}: {shares(course[list(course)[-1]])}"
        for course, suffix, _, _ in trainings
    ]
    return figure, (
        f"Share of {last['items']:,.0f} items whose state finds the same item's state in the other modality at once, "
        f"and among the first 10. {'. '.join(said)}. By chance {chance[1]:.2%} and {chance[10]:.2%}."
    )


def _modalities(moments: Moments) -> list[str]:
    """The first two modalities of all moments. Raises ValueError when these differ or are not two."""
    names_of = [list(states)[:2] for states in moments.values()]
    if len(names_of[0]) != 2 or any(names != names_of[0] for names in names_of):
        raise ValueError(f"every moment must have the same two modalities, got {names_of}")
    return names_of[0]


def _pair(states: Mapping[str, States]) -> tuple[States, States]:
    first, second = list(states.values())[:2]
    return first, second


def _merged(labels: list[str], others: list[str]) -> list[str]:
    """All moments of two trainings in order: what only the other has stands behind the moment it follows there."""
    merged = list(labels)
    for before, label in zip([None, *others], others, strict=False):
        if label not in merged:
            merged.insert(merged.index(before) + 1 if before is not None else 0, label)
    return merged
