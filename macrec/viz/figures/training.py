"""The final figure of a training: the panels of the live board, with hovers and zoom."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from macrec.viz.live.curves import Curves, Panel, panels, progress, share, spread, state
from macrec.viz.theme import empty_figure

if TYPE_CHECKING:  # torch comes with it, and drawing needs none
    from macrec.training import Event

POINTS = 400
"""Points per curve: more than a panel has pixels to separate."""
FIRST, OTHER, BETWEEN = 250, 180, 64
"""Heights of the first row of panels, of the others, and of the room between, in pixels."""
LINE = 14
"""Height of a label in pixels."""
LEFT, RIGHT = 64, 190
"""Margins beside the panels in pixels."""
NARROW = 800 - LEFT - RIGHT
"""Pixels that the panels share on a narrow page: two side by side keep clear of each other on any wider one, too."""


def training_figure(
    events: Sequence[Event], reference: Sequence[Event] = (), reference_name: str = "independent"
) -> tuple[go.Figure, str]:
    """The course of a training: loss terms, conflict rates, utilization per level, whatever was measured; its sentence.

    Curves of `reference`, an earlier training called `reference_name`, are thin and dashed.
    """
    curves = Curves(events)
    drawn = panels(curves, Curves(reference), POINTS)
    if curves.last is None or not drawn:
        return empty_figure("Nothing to show"), "No loss and no measurement was recorded, so there is nothing to show."
    # Loss terms have long labels and so a row of their own; the others stand two to a row, the first alone if need be.
    alone = 1 + (len(drawn) - 1) % 2
    rows = [[panel] for panel in drawn[:alone]] + [drawn[i : i + 2] for i in range(alone, len(drawn), 2)]
    heights = [max(FIRST, LINE * len(rows[0][0].lines))] + [OTHER] * (len(rows) - 1)
    tall = sum(heights) + BETWEEN * (len(rows) - 1)
    sides = max((side(row[0]) + scale(row[1]) for row in rows if len(row) == 2), default=0)
    figure = make_subplots(
        rows=len(rows),
        cols=2,
        specs=[[{"colspan": 2}, None] if len(row) == 1 else [{}, {}] for row in rows],
        row_heights=heights,
        vertical_spacing=BETWEEN / tall if len(rows) > 1 else 0,
        horizontal_spacing=min(0.5, max(0.2, sides / NARROW)),
    )
    last_step = max(event.step for event in (*events, *reference))
    for number, (row, height) in enumerate(zip(rows, heights, strict=True), start=1):
        for column, panel in enumerate(row, start=1):
            add_panel(figure, panel, number, column, height, last_step, reference_name)
    rates = conflict_rates(curves)
    title = f"Conflict rate after {curves.last.step:,} steps: {rates}" if rates else f"{curves.last.step:,} steps"
    figure.update_layout(height=tall + 150, title=title, margin={"t": 92, "r": RIGHT, "l": LEFT}, showlegend=False)
    said = [progress(curves, running=False), *state(curves)]
    if reference:
        rates = conflict_rates(Curves(reference))
        said.append(f"dashed: {reference_name}" + (f", with a conflict rate of {rates}" if rates else ""))
    return figure, " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in said)


def conflict_rates(curves: Curves) -> str:
    """The newest conflict rate of every modality, as words."""
    return ", ".join(f"{name} {share(value)}".strip() for name, value in curves.newest("conflict_rate").items())


def side(panel: Panel) -> float:
    """Pixels that the labels at the ends of a panel's curves take, about."""
    endings = (panel.ending(line.label, line.values[-1]) for line in panel.lines if len(line.values))
    return 16 + 6.2 * max(map(len, endings), default=0)


def scale(panel: Panel) -> float:
    """Pixels that the numbers at a panel's value axis take, about."""
    return 16 + 8 * max((len(panel.tick(tick)) for tick in panel.ticks()), default=0)


def add_panel(
    figure: go.Figure, panel: Panel, row: int, column: int, height: float, last_step: float, reference_name: str
) -> None:
    """Draw one panel into a subplot `height` pixels high: reference curves, curves, labels at their ends."""
    unit = ":.2%" if panel.percent else ":.4g"
    low, high = panel.limits()
    for line in panel.lines:
        for steps, values, name, width, dash in (
            (line.reference_steps, line.reference, f"{line.label}, {reference_name}", 1.1, "4px,3px"),
            (line.steps, line.values, line.label, line.width, "solid"),
        ):
            if len(values):
                figure.add_scatter(
                    x=steps.astype(np.int32), y=(np.maximum(values, low) if panel.log else values).astype(np.float32),
                    customdata=values.astype(np.float32), mode="lines" if len(values) > 1 else "markers", name=name,
                    line={"color": line.color, "width": width, "dash": dash}, row=row, col=column,
                    hovertemplate=f"%{{fullData.name}}: %{{customdata{unit}}}<br>step %{{x:,}}<extra></extra>",
                )  # fmt: skip
    figure.add_annotation(
        x=0, xref="x domain", y=1, yref="y domain", text=f"<b>{html.escape(panel.title, quote=False)}</b>",
        font_size=12, xanchor="left", yanchor="bottom", yshift=6, showarrow=False, row=row, col=column,
    )  # fmt: skip
    shown = [line for line in panel.lines if len(line.values)]
    ends = [height * float(panel.places(line.values[-1:])[0]) for line in shown]
    for line, place in zip(shown, spread(ends, LINE, 0, height), strict=True):
        label = html.escape(panel.ending(line.label, line.values[-1]), quote=False)
        figure.add_annotation(
            x=1, xref="x domain", y=place / height, yref="y domain", text=label,
            font={"color": line.ink, "size": 11}, xanchor="left", yanchor="middle", xshift=6, showarrow=False,
            row=row, col=column,
        )  # fmt: skip
    figure.update_xaxes(range=[0, max(last_step, 1)], tickformat=",", row=row, col=column)
    ends_of_axis = [math.log10(low), math.log10(high)] if panel.log else [low, high]
    ticks = panel.ticks()
    figure.update_yaxes(
        type="log" if panel.log else "linear",
        range=ends_of_axis,
        tickvals=ticks,
        ticktext=[panel.tick(tick) for tick in ticks],
        row=row,
        col=column,
    )
