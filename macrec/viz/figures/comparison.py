"""Variants side by side: a table of mean ± deviation over seeds, a figure of every seed, and the verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from macrec.evaluation.metric_names import metric_words
from macrec.viz.theme import MUTED, modality_colors


class Measure(NamedTuple):
    """A column of a comparison: how it is called, which direction is better, and how its numbers are written."""

    column: str
    title: str
    lower_is_better: bool
    form: str


CODEBOOK_MEASURES = (
    Measure("conflict_rate", "conflict rate", True, ".2%"),
    Measure("utilization", "utilization", False, ".1%"),
    Measure("perplexity", "perplexity", False, ".1f"),
    Measure("information", "information on the other modality (nats)", False, ".3f"),
    Measure("reconstruction", "reconstruction error", True, ".3f"),
)


def comparison_table(rows: pl.DataFrame, measures: tuple[Measure, ...] = CODEBOOK_MEASURES) -> pl.DataFrame:
    """One row per variant and modality, one column per measure: mean ± standard deviation over the seeds.

    `rows` has the columns variant, seed, modality and the measures. With one seed there is no deviation to give. A
    measure that no row has is left out: one modality alone has no information on another.
    """
    measures = measured(rows, measures)
    return pl.DataFrame(
        [
            {"variant": variant, "modality": modality}
            | {measure.title: spread(part[measure.column], measure.form) for measure in measures}
            for (variant, modality), part in rows.group_by("variant", "modality", maintain_order=True)
        ]
    )


def measured(rows: pl.DataFrame, measures: tuple[Measure, ...]) -> tuple[Measure, ...]:
    """The measures that a row at least has a number for."""
    return tuple(measure for measure in measures if len(rows[measure.column].drop_nulls().drop_nans()))


def spread(values: pl.Series, form: str) -> str:
    """Mean ± sample standard deviation in the format `form`; the mean alone for one value, a dash for none."""
    known = values.drop_nulls().drop_nans().to_numpy()
    if len(known) < 2:
        return f"{known[0]:z{form}}" if len(known) else "–"  # z: no minus before a zero
    return f"{known.mean():z{form}} ± {known.std(ddof=1):{form}}"


def comparison_figure(rows: pl.DataFrame, measures: tuple[Measure, ...] = CODEBOOK_MEASURES) -> tuple[go.Figure, str]:
    """Every measure of every variant, one dot per seed and a bar at their mean; and the sentence."""
    measures = measured(rows, measures)
    names = rows["variant"].unique(maintain_order=True).to_list()
    figure = make_subplots(
        rows=1, cols=len(measures), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[wrapped(measure.title) + ("<br>← better" if measure.lower_is_better else "<br>better →")
                        for measure in measures],
    )  # fmt: skip
    modalities = rows["modality"].unique(maintain_order=True).to_list()
    colors = modality_colors(modalities)
    for column, measure in enumerate(measures, start=1):
        for place, modality in enumerate(modalities):
            part = rows.filter(pl.col("modality") == modality)
            color = colors[modality]
            # Modalities stand beside each other within the row of their variant.
            offset = (place - (len(modalities) - 1) / 2) * 0.3
            heights = [names.index(name) + offset for name in part["variant"]]
            figure.add_scatter(
                x=part[measure.column], y=heights, mode="markers", name=modality, legendgroup=modality,
                showlegend=column == 1, row=1, col=column,
                marker={"color": color, "size": 8, "symbol": ("circle", "square", "diamond")[place % 3],
                        "opacity": 0.7},
                customdata=list(zip(part["variant"], part["seed"], strict=True)),
                hovertemplate="%{customdata[0]}, " + modality + ", seed %{customdata[1]}: %{x:" + measure.form
                + "}<extra></extra>",
            )  # fmt: skip
            means = part.group_by("variant", maintain_order=True).agg(pl.col(measure.column).mean())
            figure.add_scatter(
                x=means[measure.column], y=[names.index(name) + offset for name in means["variant"]], mode="markers",
                showlegend=False, legendgroup=modality, hoverinfo="skip", row=1, col=column,
                marker={"color": color, "size": 14, "symbol": "line-ns-open", "line": {"width": 2}},
            )  # fmt: skip
        places, labels = ticks(rows[measure.column], measure.form)
        figure.update_xaxes(tickvals=places, ticktext=labels, tickangle=0, tickfont={"size": 11}, col=column)
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names, range=[len(names) - 0.5, -0.5], gridcolor="#EEEEEE"
    )
    figure.update_annotations(font={"size": 11, "color": MUTED})
    figure.update_layout(
        height=158 + 46 * len(names),
        title="Codebooks compared",
        legend={"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
        margin={"t": 132, "l": 24, "b": 64},
    )
    seeds = rows["seed"].n_unique()
    return figure, (
        f"{len(names)} ways to train codebooks, {seeds} seed{'s' if seeds > 1 else ''} each (dots; ticks are means), "
        f"compared by {', '.join(measure.title for measure in measures)}."
    )


def verdicts(rows: pl.DataFrame, variants: Sequence[str], against: str, measure: str = "conflict_rate") -> str:
    """`verdict` of each of `variants` that was measured, a line each; of the first where none was."""
    measured = [variant for variant in variants if variant in set(rows["variant"])] or list(variants[:1])
    return "\n".join(verdict(rows, variant, against, measure) for variant in measured)


def verdict(rows: pl.DataFrame, variant: str, against: str, measure: str = "conflict_rate") -> str:
    """Whether `variant` has a lower `measure` than `against`, in words, seed by seed and modality by modality.

    Only where both were measured: an interrupted comparison may lack one, and one modality alone has no information
    on another.
    """
    baseline = rows.filter(pl.col("variant") == against)
    paired = rows.filter(pl.col("variant") == variant).join(
        baseline, on=["seed", "modality"], suffix="_against", maintain_order="left"
    )
    paired = paired.filter(pl.col(measure).is_not_nan(), pl.col(f"{measure}_against").is_not_nan())
    form = {known.column: known.form for known in CODEBOOK_MEASURES}.get(measure, ".4g")
    if not len(paired):
        return f"{variant} and {against} cannot be compared: they were not both measured."
    parts = []
    for (modality,), part in paired.group_by("modality", maintain_order=True):
        ours, theirs = part[measure].to_numpy(), part[f"{measure}_against"].to_numpy()
        lower, higher = int((ours < theirs).sum()), int((ours > theirs).sum())
        means = f"{ours.mean():{form}} against {theirs.mean():{form}}"
        once = " from this one seed" if len(part) == 1 else f" from all {len(part)} seeds"
        if lower == len(part):
            word = "lower" + once
        elif higher == len(part):
            word = "higher" + once
        else:
            word = f"no clear difference (lower in {lower}, higher in {higher} of {len(part)} seeds)"
        if lower == higher == 0:
            word = "the same" + once
        parts.append(f"{modality}: {word}, {means}")
    name = metric_words(measure)
    return f"{name[0].upper()}{name[1:]} of {variant} compared with {against}. " + "; ".join(parts) + "."


def ticks(values: pl.Series, form: str) -> tuple[list[float], list[str]]:
    """Two or three round numbers within the range of the values, and their texts: narrow panels have room for no more.

    Where all values are one, it is the only number, in the format `form`; where there are none, there is none.
    """
    known = values.drop_nulls().drop_nans().to_numpy()
    if not len(known) or known.min() == known.max():
        return list(known[:1]), [f"{value:z{form}}" for value in known[:1]]
    margin = 0.05 * np.ptp(known)  # less than what plotly leaves around the dots
    power = math.floor(math.log10(np.ptp(known)))
    for step in (digit * 10.0**exponent for exponent in (power, power - 1) for digit in (5, 2, 1)):
        first, last = math.ceil((known.min() - margin) / step), math.floor((known.max() + margin) / step)
        if first < last:
            break
    shown = [number * step for number in range(first, last + 1, 1 if last - first < 3 else 2)]
    unit = form[-1]
    decimals = max(0, -math.floor(math.log10(step * (100 if unit == "%" else 1)) + 1e-9))
    return shown, [f"{value:z.{decimals}{unit}}" for value in shown]


def wrapped(title: str, width: int = 20) -> str:
    """A title over several lines of about `width` letters."""
    lines = [""]
    for word in title.split():
        lines[-1:] = [f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < width else [lines[-1], word]
    return "<br>".join(lines)
