"""Figures of the audit: the published form beside the corrected one, always in the same two colors."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from macrec.viz.theme import FUSED, MODALITY, MUTED, empty_figure

FORM = {
    "published": MUTED,
    "corrected": FUSED,
    "published, NumPy 2": MUTED,
    "published, as meant": MUTED,
    "least distortion": FUSED,
}
FORM_PAIR = ("published", "corrected")
PATTERN = {"published": "/", "published, NumPy 2": "/", "published, as meant": "x"}
"""Hatching of the published forms, so that no bar is identified by its color alone."""


def bars(form: str, x: list[str], y: list[float], label: list[str]) -> go.Bar:
    """Bars of one form with their values written at them."""
    pattern = {"shape": PATTERN.get(form, ""), "fgcolor": "white", "fillmode": "overlay", "size": 6}
    return go.Bar(
        x=x, y=y, name=form, text=label, textposition="outside", cliponaxis=False,
        marker={"color": FORM[form], "pattern": pattern},
        hovertemplate="%{x}, " + form + ": %{text}<extra></extra>",
    )  # fmt: skip


def gradient_figure(table: pl.DataFrame) -> tuple[go.Figure, str]:
    """The encoders' gradient of the contrastive term, level by level; and its sentence."""
    if table.is_empty():
        return alone("gradient")
    figure = go.Figure()
    for (form,), part in table.group_by("form", maintain_order=True):
        levels = [f"level {level}" for level in part["level"]]
        figure.add_trace(bars(str(form), levels, part["gradient"].to_list(), [f"{v:.3g}" for v in part["gradient"]]))
    figure.update_yaxes(title="norm of the encoders' gradient")
    above = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"}
    figure.update_layout(height=360, title="Where does the contrastive term have a gradient?", legend=above)
    deeper = table.filter(pl.col("level") > 0)
    published, ours = (deeper.filter(pl.col("form") == form)["gradient"].to_numpy() for form in FORM_PAIR)
    return figure, (
        f"Gradient of the contrastive term of one level at a time. At levels 1 and deeper it is at most "
        f"{published.max():.3g} in the published form and at least {ours.min():.3g} in the corrected one."
    )


def positives_figure(table: pl.DataFrame, losses: pl.DataFrame) -> tuple[go.Figure, str]:
    """The share of anchors with a positive, and whether the loss changes when labels are shuffled; and the sentence."""
    if losses.is_empty():
        return alone("loss")
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["anchors with a positive", "contrastive loss"],
        horizontal_spacing=0.14,
    )  # fmt: skip
    for (form,), part in table.group_by("form", maintain_order=True):
        label = [f"{share:.0%}" for share in part["share"]]
        trace = bars(str(form), part["modality"].to_list(), part["share"].to_list(), label)
        figure.add_trace(trace.update(legendgroup=str(form)), row=1, col=1)
    for labels, symbol in (("shuffled", "circle-open"), ("true", "diamond")):
        part = losses.filter(pl.col("labels") == labels)
        figure.add_scatter(
            x=part["form"], y=part["loss"], mode="markers", name=f"{labels} labels", row=1, col=2,
            marker={"size": 11, "symbol": symbol, "color": MODALITY["image"] if labels == "true" else MUTED,
                    "line": {"width": 2}},
            hovertemplate="%{x}, " + labels + " labels: %{y:.3f}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(tickformat=".0%", range=[0, 1.15], col=1)
    figure.update_xaxes(range=[-0.5, 1.5], col=2)
    figure.update_layout(
        height=380, title="Does the loss depend on the labels?", legend={"orientation": "h", "y": -0.12}
    )
    share = {form: mean(table.filter(pl.col("form") == form)["share"]) for form in FORM_PAIR}
    change = {}
    for form in FORM_PAIR:
        part = losses.filter(pl.col("form") == form)
        shuffled, true = (mean(part.filter(pl.col("labels") == labels)["loss"]) for labels in ("shuffled", "true"))
        change[form] = abs(shuffled - true)
    return figure, (
        f"The published lookup finds a positive for {share['published']:.0%} of the anchors, the corrected one for "
        f"{share['corrected']:.0%}; shuffling the labels changes the published loss by {change['published']:.3g} and "
        f"the corrected one by {change['corrected']:.3g}."
    )


def resolver_figure(table: pl.DataFrame) -> tuple[go.Figure, str]:
    """Items left in conflict and distortion added by each resolver; and the sentence."""
    figure = make_subplots(
        rows=1, cols=2, subplot_titles=["items still in conflict", "added squared error per item"],
        horizontal_spacing=0.12,
    )  # fmt: skip
    for row in table.iter_rows(named=True):
        form = row["form"]
        name = form.replace(", ", ",<br>")
        figure.add_trace(bars(form, [name], [row["left"]], [f"{row['left']:,}"]), row=1, col=1)
        figure.add_trace(bars(form, [name], [row["added"]], [f"{row['added']:.2g}"]), row=1, col=2)
    figure.update_layout(height=360, title="Conflicts and error after resolution", showlegend=False, bargap=0.4)
    left = dict(zip(table["form"], table["left"], strict=True))
    added = dict(zip(table["form"], table["added"], strict=True))
    return figure, (
        "; ".join(f"{form}: {left[form]:,} items left in conflict, {added[form]:.3g} added error" for form in left)
        + "."
    )


def alone(what: str) -> tuple[go.Figure, str]:
    """Instead of a figure about the contrastive term, where there is a single modality."""
    return empty_figure("Left out: one modality"), (
        f"The contrastive term draws items together that are alike in another modality; these data have one modality, "
        f"so its {what} is left out."
    )


def mean(values: pl.Series) -> float:
    """The mean as a plain number."""
    return float(values.to_numpy().mean())
