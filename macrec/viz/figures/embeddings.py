"""Figures about embeddings: the modality maps and how well neighborhoods agree with known factors."""

from __future__ import annotations

import itertools

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from macrec.encoders.neighbors import Agreement
from macrec.viz.theme import CATEGORICAL, FUSED, INK, MUTED, OUTLINE, REFERENCE, SYMBOLS, empty_figure, modality_colors

Floats = NDArray[np.float32]

OTHER = "other"


def top_levels(values: pl.Series, limit: int = len(CATEGORICAL)) -> tuple[list[str], NDArray[np.int64]]:
    """The most common levels of a column, at most `limit`, and the level of every value; the rest share `OTHER`.

    Empty values are rest too. With more than `limit` levels the last place goes to `OTHER`.
    """
    filled = values.cast(pl.String).fill_null("")
    ranked = (
        filled.filter(filled != "").value_counts(sort=True, name="n").sort("n", pl.first(), descending=[True, False])
    )
    levels = ranked.to_series().to_list()
    kept = levels if len(levels) <= limit else levels[: limit - 1]
    index = {level: place for place, level in enumerate(kept)}
    return kept, np.array([index.get(value, len(kept)) for value in filled], np.int64)


def modality_map(
    layouts: dict[str, tuple[NDArray[np.integer], Floats]], factors: dict[str, pl.Series]
) -> tuple[go.Figure, str]:
    """UMAP views of each modality side by side, colored by a factor that a menu switches; and its sentence.

    `layouts`: modality → (item rows `[n]`, positions `[n, 2]`). `factors`: name → a value per item of the catalog
    `[N]`; the first is shown at first, one color and marker per level (at most 8, the rest gray).
    """
    figure = make_subplots(
        rows=1, cols=len(layouts), subplot_titles=[f"{name} embeddings" for name in layouts], horizontal_spacing=0.04
    )
    owner: list[str] = []
    small = {name: (narrow(rows), on_grid(positions)) for name, (rows, positions) in layouts.items()}
    for name, values in factors.items():
        levels, level_of = top_levels(values)
        in_legend: set[int] = set()
        for column, (rows, positions) in enumerate(small.values(), start=1):
            for level in [len(levels), *range(len(levels))]:  # the gray rest is drawn first, below all
                chosen = level_of[rows] == level
                if not chosen.any():
                    continue
                rest = level == len(levels)
                figure.add_trace(
                    go.Scattergl(
                        x=positions[chosen, 0],
                        y=positions[chosen, 1],
                        customdata=rows[chosen],
                        mode="markers",
                        name=OTHER if rest else levels[level],
                        legendgroup=str(level),
                        legendrank=1000 + level,
                        showlegend=level not in in_legend,
                        visible=name == next(iter(factors)),
                        marker={
                            "size": 6,
                            "color": MUTED if rest else CATEGORICAL[level],
                            "symbol": "circle-open" if rest else SYMBOLS[level],
                            "opacity": 0.35 if rest else 0.85,
                            "line": {"width": 1 if rest else OUTLINE.get(CATEGORICAL[level], 0), "color": INK},
                        },
                        hoverinfo="none",
                    ),
                    row=1,
                    col=column,
                )
                owner.append(name)
                in_legend.add(level)
    buttons = [
        {"label": name, "method": "restyle", "args": [{"visible": [name == owned for owned in owner]}]}
        for name in factors
    ]
    figure.update_layout(
        height=520,
        title="What each modality puts together",
        updatemenus=[{"buttons": buttons, "x": 1, "xanchor": "right", "y": 1.2, "yanchor": "top", "showactive": True}],
        legend={"orientation": "h", "y": -0.04, "yanchor": "top"},
        margin={"t": 96, "l": 12, "r": 12, "b": 24},
    )
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False, showgrid=False)
    shown = " and ".join(f"{len(rows):,} {name}" for name, (rows, _) in layouts.items())
    return figure, (
        f"UMAP of {shown} embeddings; near points are items that the encoder finds alike. The menu at the top right "
        "chooses what the colors mean, and pointing at a dot shows the item."
    )


def narrow(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    """Row numbers in the smallest type that holds them: a page carries them as bytes."""
    return rows.astype(np.int16 if rows.max(initial=0) < 2**15 else np.int32)


def on_grid(positions: Floats) -> NDArray[np.int16]:
    """Positions `[n, 2]` on a grid of 30,000 steps along the longer side: a third of the bytes, no visible change."""
    low, high = positions.min(0), positions.max(0)
    grid: NDArray[np.int16] = np.round((positions - low) / max(float((high - low).max()), 1e-9) * 30_000).astype(
        np.int16
    )
    return grid


def purity_figure(table: pl.DataFrame) -> tuple[go.Figure, str]:
    """How often a neighbor shares a factor, beyond chance: one row per factor, one mark per modality; and its sentence.

    `table`: columns `factor`, `modality`, `purity`, `chance` (shares of 10 nearest neighbors and of random pairs).
    """
    figure = go.Figure()
    order = table["factor"].unique(maintain_order=True).to_list()
    colors = modality_colors(table["modality"])
    for modality, symbol in zip(colors, itertools.cycle(SYMBOLS)):
        part = table.filter(pl.col("modality") == modality)
        figure.add_scatter(
            x=part["purity"], y=part["factor"], mode="markers", name=modality,
            marker={"size": 12, "color": colors[modality], "symbol": symbol},
            hovertemplate="%{y}, " + modality + " neighbors: %{x:.1%}<extra></extra>",
        )  # fmt: skip
    chance = table.group_by("factor", maintain_order=True).first()
    figure.add_scatter(
        x=chance["chance"], y=chance["factor"], mode="markers", name="chance",
        marker={"size": 16, "color": REFERENCE, "symbol": "line-ns-open", "line": {"width": 2}},
        hovertemplate="%{y}, random items: %{x:.1%}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(categoryorder="array", categoryarray=order[::-1])
    figure.update_xaxes(title="neighbors that share it", tickformat=".0%", rangemode="tozero")
    figure.update_layout(
        height=190 + 34 * len(order),
        title="Attributes that neighbors share",
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"},
        margin={"t": 96},
    )
    best = table.sort(pl.col("purity") - pl.col("chance"), descending=True).row(0, named=True)
    return figure, (
        f"Share of an item's 10 nearest neighbors that have the same level of each factor; furthest from chance: "
        f"{best['factor']} among {best['modality']} neighbors, {best['purity']:.0%} against {best['chance']:.0%}."
    )


def agreement_figure(agreement: Agreement) -> tuple[go.Figure, str]:
    """How many of the nearest items text and image have in common, as a histogram; and its sentence."""
    if agreement.mean is None:
        figure = empty_figure("Nothing to compare")
        return figure, "Here no item has both a text and a picture, so there are no neighborhoods to compare."
    counts = np.bincount(agreement.overlap, minlength=agreement.k + 1)
    share = counts / counts.sum()
    figure = go.Figure(
        go.Bar(
            x=np.arange(agreement.k + 1), y=share, marker_color=FUSED,
            hovertemplate="%{x} in common: %{y:.1%} of items<extra></extra>",
        )
    )  # fmt: skip
    figure.add_vline(
        x=agreement.chance,
        line={"color": REFERENCE, "dash": "dot"},
        annotation_text="chance",
        annotation_position="top",
    )
    figure.update_xaxes(title=f"shared among the {agreement.k} nearest in text and in image", dtick=1)
    figure.update_yaxes(title="share of items", tickformat=".0%")
    figure.update_layout(height=320, title=f"Text and image agree on {agreement.mean:.1f} of {agreement.k} neighbors")
    return figure, (
        f"Of the {agreement.k} nearest items in text, {agreement.mean:.2f} are also among the nearest in image on "
        f"average; unrelated modalities would share {agreement.chance:.2f}."
    )
