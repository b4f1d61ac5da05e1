"""By how much systems differ on the same users, with intervals."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from macrec.evaluation.significance import Comparison
from macrec.viz.figures.system_rows import name_rows, system_looks
from macrec.viz.theme import INK, empty_figure


def differences_figure(differences: Mapping[str, Comparison], against: str) -> tuple[go.Figure, str]:
    """By how much each system exceeds the system `against`, with its 95 % interval and the zero line; and the sentence.

    `differences`: system → `paired_bootstrap(its ranks, the ranks of against)`. A mark is hollow where the interval
    holds zero. Raises ValueError for comparisons in different metrics.
    """
    if not differences:
        return empty_figure("Nothing to compare"), f"No system was compared with {against}."
    if len({paired.metric for paired in differences.values()}) > 1:
        raise ValueError(f"one metric is needed, got {', '.join(paired.metric for paired in differences.values())}")
    metric = next(iter(differences.values())).metric
    names = sorted(differences, key=lambda name: -differences[name].difference)
    looks = system_looks([against, *differences])
    figure = go.Figure()
    for height, name in enumerate(names):
        paired, look = differences[name], looks[name]
        outline = {"color": INK, "width": look["line"]["width"]}
        if paired.low <= 0 <= paired.high:
            look, outline = look | {"symbol": look["symbol"] + "-open"}, {"width": 2}
        figure.add_scatter(
            x=[paired.difference], y=[height], mode="markers", name=name, showlegend=False,
            marker=look | {"size": 11, "line": outline},
            error_x={"type": "data", "symmetric": False, "array": [paired.high - paired.difference],
                     "arrayminus": [paired.difference - paired.low], "color": INK, "thickness": 1.6, "width": 5},
            hovertemplate=f"<b>{name}</b> minus {against}: {paired.difference:+.4f}<br>95% interval "
            f"{paired.low:+.4f} to {paired.high:+.4f}, p = {paired.p:.4f}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": INK, "width": 1.2})
    figure.update_xaxes(title=f"{metric} minus that of {against}", tickformat="+.3~f")
    name_rows(figure, names)
    below = [name for name in names if differences[name].high < 0]
    above = [name for name in names if differences[name].low > 0]
    unclear = [name for name in names if name not in below and name not in above]
    figure.update_layout(
        height=124 + 38 * len(names),
        title=f"{against} against {len(names)} others: {len(below)} clearly below it, {len(above)} above",
    )
    verdicts = ((above, "above"), (below, "below"), (unclear, "not clearly different"))
    parts = [f"{', '.join(group)} {word}" for group, word in verdicts if group]
    return figure, (
        f"{metric} of each system minus that of {against} on the same users, with 95% bootstrap intervals (hollow: the "
        f"interval holds zero): {'; '.join(parts)}."
    )
