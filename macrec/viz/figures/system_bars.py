"""The systems of a comparison as bars, unmasked and masked, each with its interval against the reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from macrec.evaluation.significance import Comparison
from macrec.viz.figures.system_rows import MARKS, add_marks, limits, name_rows, system_looks
from macrec.viz.theme import INK, empty_figure

WIDTH = 0.38
PROTOCOLS = (("unmasked", "", -0.4, 1.0, "", "solid"), ("masked", " masked", 0.02, 0.75, "/", "dot"))
"""Name, ending of the metric, place within a system's row, opacity and pattern of its bars, and dash of its line."""

Scores = Mapping[str, float | None]


def system_bars(
    systems: Mapping[str, Scores],
    differences: Mapping[str, Mapping[str, Comparison]],
    reference: str,
    metric: str = "NDCG@10",
) -> tuple[go.Figure, str]:
    """Two bars per system, the best on top, and vertical lines at the reference and at the oracles; and the sentence.

    `systems`: system → its metrics, those of the masked protocol ending in " masked". `differences`: protocol → system
    → its difference from the reference on the same users. A whisker is that interval, drawn around the bar's end.
    """
    scores = {name: value for name, row in systems.items() if (value := row.get(metric)) is not None}
    names = sorted((name for name in scores if name not in MARKS), key=lambda name: -scores[name])
    if not names:
        return empty_figure("Nothing was measured"), f"No system has a value of {metric}."
    looks = system_looks(list(systems), MARKS)
    figure = go.Figure()
    ends = [0.0, *scores.values()]
    for protocol, ending, place, opacity, pattern, dash in PROTOCOLS:
        measured = {name: value for name in names if (value := systems[name].get(metric + ending)) is not None}
        bars = [_bar(value, differences.get(protocol, {}).get(name)) for name, value in measured.items()]
        ends += [bar["x"] + bar["above"] for bar in bars]
        figure.add_bar(
            orientation="h", name=protocol, width=WIDTH, offset=place, showlegend=False,
            x=[bar["x"] for bar in bars], y=[names.index(name) for name in measured],
            marker={"color": [looks[name]["color"] for name in measured], "opacity": opacity,
                    "line": {"color": INK, "width": 0.6}, "pattern": {"shape": pattern, "solidity": 0.4}},
            error_x={"type": "data", "symmetric": False, "array": [bar["above"] for bar in bars],
                     "arrayminus": [bar["below"] for bar in bars], "color": INK, "thickness": 1.4, "width": 4},
            customdata=[bar["says"] for bar in bars], text=list(measured), textposition="none",
            hovertemplate=f"<b>%{{text}}</b>, {protocol}: {metric} %{{x:.4f}}%{{customdata}}<extra></extra>",
        )  # fmt: skip
        if reference in measured:
            figure.add_vline(x=measured[reference], line={"color": INK, "width": 1, "dash": dash})
        figure.add_bar(
            orientation="h", name=protocol, x=[None], y=[None], hoverinfo="skip",
            marker={"color": INK, "opacity": opacity, "pattern": {"shape": pattern, "solidity": 0.4}},
        )  # fmt: skip
    lines = {name: scores[name] for name in MARKS if name in scores}
    _, high = limits(ends)
    lanes = add_marks(figure, lines, 0, high)
    figure.update_xaxes(title=metric, range=[0, high])
    name_rows(figure, names, grid=False)
    height = 156 + 16 * lanes + 40 * len(names)
    figure.update_layout(
        barmode="overlay", height=height, margin={"t": 90 + 16 * lanes},
        title={"text": f"{metric} of {len(names)} systems", "yref": "container", "yanchor": "top",
               "y": 1 - 14 / height},
        legend={"orientation": "h", "x": 0, "xref": "container", "yref": "container", "y": 1 - 44 / height,
                "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
    )  # fmt: skip
    return figure, _sentence(names, scores, reference, metric, bool(differences))


def _bar(value: float, paired: Comparison | None) -> dict[str, Any]:
    """The end of a bar, how far its whisker reaches beyond and before it, and what is said under the pointer."""
    if paired is None:
        return {"x": value, "above": 0.0, "below": 0.0, "says": ""}
    says = f"<br>{paired.difference:+.4f} from the reference, 95% interval {paired.low:+.4f} to {paired.high:+.4f}"
    above, below = paired.high - paired.difference, paired.difference - paired.low
    return {"x": value, "above": max(0.0, above), "below": max(0.0, below), "says": says}


def _sentence(names: list[str], scores: Mapping[str, float], reference: str, metric: str, paired: bool) -> str:
    listed = ", ".join(f"{name} {scores[name]:.4f}" for name in names)
    said = f"{metric} of {len(names)} systems, unmasked (plain) and masked (hatched); best first, unmasked: {listed}."
    if not paired:
        return said
    return (
        f"{said} Whiskers are the 95% interval of the difference from {reference} on the same users: one that reaches "
        f"the line of {reference}, solid for unmasked and dotted for masked, is not clearly different from it."
    )
