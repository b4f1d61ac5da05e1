"""What figures of systems share: a color and symbol per system, rows of dots with their names, lines to measure by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.systems.registry import entry_of
from macrec.viz.theme import (
    CATEGORICAL,
    CONFLICT,
    FUSED,
    IMAGE,
    INK,
    MODALITY,
    MUTED,
    ORANGE,
    OUTLINE,
    REFERENCE,
    SKY,
    SYMBOL,
    SYMBOLS,
    TEXT,
    YELLOW,
)

MARKS = ("oracle", "text-only oracle", "image-only oracle", "content-only oracle")
"""The references of `macrec.evaluation.ceiling` on the built-in catalog, not learned systems."""

COLORS = {
    "green": FUSED,
    "purple": CONFLICT,
    "orange": ORANGE,
    "sky": SKY,
    "yellow": YELLOW,
    "grey": MUTED,
    "black": REFERENCE,
}
"""What registrations call colors; see `macrec.systems.registry.Entry`."""
MARK_LOOKS = {
    "oracle": (REFERENCE, "solid"),
    "text-only oracle": (TEXT, "dash"),
    "image-only oracle": (IMAGE, "dot"),
    "content-only oracle": (FUSED, "dashdot"),
}
NARROW = 500
"""Pixels of the plot itself in a narrow notebook: labels that do not overlap there do not overlap anywhere."""


def system_looks(systems: Sequence[str], marks: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """A plotly marker per system, the same one wherever the system is shown: green MACRec, blue text, vermillion image.

    Systems without a color of their own share out what colors are left; the ninth and later ones are grey.
    """
    colors: dict[str, str] = {}
    for name in systems:
        own = own_color(name)
        if name not in marks and own and own not in colors.values():
            colors[name] = own
    free = iter([color for color in CATEGORICAL if color not in colors.values()])
    spare = cycle(SYMBOLS)
    looks = {}
    for name in systems:
        if name in marks:
            continue
        color = colors.get(name) or next(free, MUTED)
        symbol = SYMBOL.get(color) or next(spare)
        looks[name] = {"color": color, "symbol": symbol, "line": {"color": INK, "width": OUTLINE.get(color, 0)}}
    return looks


def own_color(name: str) -> str | None:
    """The color that a system is registered with, or that of its modality where it is named "NAME (MODALITY)", or by
    the modality alone that it reads.
    """
    modality = name.rpartition("(")[2].removesuffix(")")
    if (name.endswith(")") or name == modality) and modality in MODALITY:
        return MODALITY[modality]
    with suppress(DataError):  # systems that are not registered may be shown as well
        return COLORS.get(entry_of(name).color)
    return None


def add_seeds(
    figure: go.Figure, height: int, values: NDArray[np.float64], seeds: Sequence[Any], name: str, says: str,
    look: dict[str, Any],
) -> None:  # fmt: skip
    """One row of a figure: a dot per seed and a tick at their mean. `says` is the hover text of a dot."""
    figure.add_scatter(
        x=[values.mean()], y=[height], mode="markers", showlegend=False, hoverinfo="skip",
        marker={"color": INK, "size": 22, "symbol": "line-ns-open", "line": {"width": 2}},
    )  # fmt: skip
    figure.add_scatter(
        x=values, y=[height] * len(values), mode="markers", name=name, showlegend=False, customdata=list(seeds),
        marker=look | {"size": 10, "opacity": 0.8},
        hovertemplate=f"<b>{name}</b>, seed %{{customdata}}: {says}<extra></extra>",
    )  # fmt: skip


def name_rows(figure: go.Figure, names: Sequence[str], grid: bool = True) -> None:
    """Rows from the top, each with its name."""
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.5, -0.5], showgrid=grid, ticks=""
    )


def limits(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of an axis, a little beyond all values; it begins at zero unless they are all far from it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    # Dots at zero are drawn whole: a little less than nothing is in view.
    return (-0.02 * high - 1e-9 if 0 <= low < high / 2 or low == high == 0 else low - room), high + room


def add_marks(figure: go.Figure, lines: Mapping[str, float], low: float, high: float) -> int:
    """Labelled vertical lines, labels one above the other where they would overlap; how many lanes they take."""
    ends: list[float] = []  # where the last label of every lane ends, in pixels
    for name, value in sorted(lines.items(), key=lambda mark: mark[1]):
        color, dash = MARK_LOOKS.get(name, (MUTED, "dashdot"))
        label = f"{name} {value:.4f}"
        middle, width = (value - low) / (high - low) * NARROW, 6.2 * len(label)
        anchor = "left" if middle < width / 2 else "right" if middle > NARROW - width / 2 else "center"
        begin = middle - {"left": 0.0, "center": width / 2, "right": width}[anchor]
        lane = next((number for number, end in enumerate(ends) if end < begin), len(ends))
        ends[lane:lane + 1] = [begin + width + 8]  # fmt: skip
        figure.add_shape(
            type="line", x0=value, x1=value, y0=0, y1=1, yref="y domain",
            line={"color": color, "width": 1.6, "dash": dash},
        )  # fmt: skip
        figure.add_annotation(
            x=value, y=1, yref="y domain", text=label, showarrow=False, xanchor=anchor, yanchor="bottom",
            yshift=16 * lane, font={"size": 11, "color": INK},
        )  # fmt: skip
    return len(ends)
