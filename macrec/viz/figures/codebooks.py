"""Figures about codebooks: how codes are used, what each level leaves over, whether two modalities agree."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from macrec.data.dataset import Dataset
from macrec.quantization.health import codebook_health, joint_counts, normalized_information
from macrec.quantization.semantic_ids import SemanticIds, common_rows
from macrec.viz.coded_items import item_rows, level_names
from macrec.viz.theme import FUSED, INK, MUTED, SEQUENTIAL, empty_figure, modality_colors

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COLUMNS = 512
"""Codes drawn per level at most; of a larger codebook every second, third … rank is drawn."""


def usage_heatmap(tables: Mapping[str, SemanticIds], data: Dataset | None = None) -> tuple[go.Figure, str]:
    """How often every code is used: one row per table and level, codes sorted by their items; and the sentence.

    `tables`: name (such as the modality) → its IDs. Color is the number of items on a log scale, and dead codes
    are hatched. With a dataset, pointing at a code shows an item that has it.
    """
    counts, names, notes, customs, dead, used_share = [], [], [], [], [], {}
    width = max(max(ids.sizes) for ids in tables.values())
    step = -(-width // COLUMNS)
    for table, ids in tables.items():
        rows = np.full(len(ids), -1, np.int64) if data is None else item_rows(ids, data)
        health = codebook_health(ids)
        used_share[table] = np.mean([level.utilization for level in health.levels])
        for level, (state, letter) in enumerate(zip(health.levels, level_names(ids), strict=True)):
            codes, example, use = np.unique(ids.codes[:, level], return_index=True, return_counts=True)
            order = np.argsort(-use, kind="stable")[::step]
            counts.append(use[order])
            names.append(f"{table} {letter}")
            notes.append(f"{state.used:,} of {state.size:,} used, perplexity {state.perplexity:.0f}")
            dead.append((state.used, state.dead_codes))
            customs.append(
                [
                    (int(rows[example[at]]), f"{table} {letter}_{codes[at]}<br>{use[at]:,} items, "
                     f"{use[at] / len(ids):.2%} of all<br>rank {rank * step + 1:,} of {state.size:,}")
                    for rank, at in enumerate(order.tolist())
                ]
            )  # fmt: skip
    columns = max(map(len, counts))
    z = [np.log10(use).tolist() + [None] * (columns - len(use)) for use in counts]
    custom = [points + [(-1, "")] * (columns - len(points)) for points in customs]
    top = float(np.log10(max(int(use.max()) for use in counts)))
    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1_000, 10_000, 100_000, 1_000_000) if np.log10(tick) <= top]
    place = np.arange(len(names))
    figure = go.Figure(
        go.Heatmap(
            x=np.arange(columns) * step + (step + 1) / 2, y=place, z=z, customdata=custom, colorscale=SEQUENTIAL,
            zmin=0, zmax=max(top, 0.1), ygap=20, hoverongaps=False, hoverinfo="none" if data is not None else None,
            hovertemplate=None if data is not None else "%{customdata[1]}<extra></extra>",
            colorbar={"title": "items", "tickvals": np.log10(ticks), "ticktext": [f"{tick:,}" for tick in ticks],
                      "thickness": 12},
        )
    )  # fmt: skip
    figure.add_bar(
        x=[lost for _, lost in dead], base=[used + 0.5 for used, _ in dead], y=place, orientation="h", width=0.54,
        marker={"color": "white", "line": {"width": 1, "color": MUTED},
                "pattern": {"shape": "/", "fgcolor": MUTED, "size": 6}},
        name="dead codes", hovertemplate="%{x:,} dead codes<extra></extra>",
    )  # fmt: skip
    for row, note in enumerate(notes):
        figure.add_annotation(
            x=0, xref="x domain", xanchor="left", y=row - 0.27, yanchor="bottom", text=note, showarrow=False,
            font={"size": 11, "color": "#555555"},
        )  # fmt: skip
    colors = modality_colors(tables)
    figure.update_xaxes(title="codes of the level, most used first", range=[0.5, width + 0.5])
    figure.update_yaxes(
        tickvals=place,
        ticktext=[f'<span style="color:{colors[name.rpartition(" ")[0]]}">{name}</span>' for name in names],
        range=[len(names) - 0.4, -1],
        showgrid=False,
    )
    lost = sum(number for _, number in dead)
    figure.update_layout(
        height=150 + 46 * len(names), barmode="overlay", showlegend=False,
        title=f"{lost:,} of {sum(sum(ids.sizes) for ids in tables.values()):,} codes are dead" if lost else
        "Every code is used",
    )  # fmt: skip
    shares = ", ".join(f"{table} {share:.1%}" for table, share in used_share.items())
    return figure, (
        f"Items per code, one row per level; codes in use: {shares}; the busiest has {round(10**top):,} items. "
        + ("Hatched codes are dead: no item has them." if lost else "No code is dead.")
    )


def residual_figure(norms: Mapping[str, Floats]) -> tuple[go.Figure, str]:
    """Boxes of the share of the norm that every level leaves, per modality; and the sentence.

    `norms`: modality → `residual_norms`. A box spans the middle half of the items, its whiskers the middle 90 %.
    """
    figure = go.Figure()
    sentences = []
    colors = modality_colors(norms)
    for modality, left in norms.items():
        low, q1, median, q3, high = np.quantile(left[:, 1:], [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
        levels = [f"level {level}" for level in range(left.shape[1] - 1)]
        figure.add_box(
            x=levels, q1=q1, median=median, q3=q3, lowerfence=low, upperfence=high, name=modality,
            marker_color=colors[modality], line={"width": 2}, fillcolor="white" if modality == "image" else None,
            hoverinfo="y+name",
        )  # fmt: skip
        sentences.append(f"{modality} {', '.join(f'{value:.0%}' for value in median)}")
    figure.update_yaxes(title="‖residual‖ / ‖latent‖", tickformat=".0%", rangemode="tozero")
    figure.add_hline(y=1, line={"color": MUTED, "dash": "dot"}, annotation_text="nothing explained")
    figure.update_layout(
        height=400, boxmode="group", title="What each level leaves unexplained", showlegend=len(norms) > 1
    )
    return figure, (
        "Norm of the residual after each level relative to the norm of the latent; medians level by level: "
        f"{'; '.join(sentences)}."
    )


def code_agreement(
    tables: Mapping[str, SemanticIds], level: int = 0, seed: int = 0, most: int = 128
) -> tuple[go.Figure, str]:
    """Do two tables of IDs put the same items together? Joint counts at one level, and all pairs of levels; sentence.

    `tables`: modality → its IDs, of which the first two are compared. Items are matched by id. Left: items per pair of
    codes at `level`, codes of the first table by their items, codes of the second by the first's code they go with
    most; the `most` used codes of each. Right: normalized mutual information of every pair of levels, and below it what
    shuffled items would have (it is not 0: with few items per pair of codes chance alone looks like agreement).
    """
    if len(tables) < 2:
        return empty_figure("Nothing to compare"), f"There are only {', '.join(tables)} IDs."
    names, (first, second) = list(tables)[:2], list(tables.values())[:2]
    rows, columns = common_rows(first, second)
    if not len(rows):
        return empty_figure("Nothing to compare"), f"No item has both a {names[0]} and a {names[1]} ID."
    if not 0 <= level < min(first.num_levels, second.num_levels):
        raise ValueError(f"level must be from 0 to {min(first.num_levels, second.num_levels) - 1}, got {level}")
    a, b = first.codes[rows], second.codes[columns]
    letters, others = level_names(first), level_names(second)
    joint, order_a, order_b = joint_counts(a[:, level], b[:, level], most)
    shuffled = b[np.random.default_rng(seed).permutation(len(b))]
    shape = (first.num_levels, second.num_levels)
    information, chance = (
        np.array([[normalized_information(a[:, i], other[:, j]) for j in range(shape[1])] for i in range(shape[0])])
        for other in (b, shuffled)
    )

    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.13,
        subplot_titles=(f"items per pair of codes, level {level}", "mutual information"),
    )  # fmt: skip
    figure.add_trace(
        go.Heatmap(
            x=[f"{names[1]} {others[level]}_{code}" for code in order_b],
            y=[f"{names[0]} {letters[level]}_{code}" for code in order_a],
            z=np.log10(np.where(joint > 0, joint, np.nan)), text=joint, colorscale=SEQUENTIAL,
            showscale=False, hoverongaps=False, hovertemplate="%{y}, %{x}: %{text} items<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip
    figure.add_trace(
        go.Heatmap(
            x=[f"{names[1]} {name}" for name in others],
            y=[f"{names[0]} {name}" for name in letters],
            z=information - chance, zmin=0, zmax=max(0.05, float((information - chance).max())),
            colorscale=_to(FUSED), showscale=False, xgap=2, ygap=2,
            text=[[f"{x:.2f}<br><i>{y:.2f}</i>" for x, y in zip(*pair, strict=True)]
                  for pair in zip(information, chance, strict=True)] if max(shape) <= 8 else None,
            texttemplate="%{text}" if max(shape) <= 8 else None, textfont={"color": INK},
            customdata=np.stack([information, chance], 2),
            hovertemplate="%{y}, %{x}: %{customdata[0]:.3f}, shuffled %{customdata[1]:.3f}<extra></extra>",
        ),
        row=1, col=2,
    )  # fmt: skip
    figure.update_xaxes(title=f"{names[1]} codes, by the {names[0]} code they go with", showticklabels=False, col=1)
    figure.update_yaxes(
        title=f"{names[0]} codes, most used first", showticklabels=False, autorange="reversed", showgrid=False, col=1
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, col=2)
    figure.update_layout(
        height=500,
        margin={"t": 92},
        title=f"Level {level}: {names[0]} and {names[1]} codes share {information[level, level]:.2f}, "
        f"by chance {chance[level, level]:.2f}",
    )
    return figure, (
        f"{len(rows):,} items with both IDs: normalized mutual information at level {level} is "
        f"{information[level, level]:.2f}, and {chance[level, level]:.2f} (in italics) when items are shuffled; "
        f"greener is further from chance."
    )


def _to(color: str) -> list[tuple[float, str]]:
    """A color scale from white to a color of the theme."""
    return [(0.0, "#FFFFFF"), (1.0, color)]
