"""The codes that can follow a prefix: what a softmax over them gives each, and what one over the whole level does."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from macrec.generation.next_code import NextCode
from macrec.viz.theme import FUSED, INK, MUTED

NAMES = ("whole level", "codes that can follow")


def next_code_figure(step: NextCode, names: tuple[str, str] = NAMES) -> tuple[go.Figure, str]:
    """Bars of the probability of every code of a level, by both softmaxes; a star marks the true code.

    Codes are in the order of the whole level's probabilities. Points whose code leads to an item carry its row, so that
    a gallery shows it.
    """
    order = np.argsort(-step.level, kind="stable")
    codes = [str(code) for code in order]
    figure = go.Figure()
    looks = ((step.level, names[0], MUTED), (np.where(step.exists, step.children, np.nan), names[1], FUSED))
    for values, name, color in looks:
        figure.add_bar(
            x=codes, y=values[order], name=name, marker={"color": color},
            customdata=[int(item) if item >= 0 else None for item in step.item[order]],
            hovertemplate=f"code %{{x}}, {name}: %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    high = float(max(step.level[step.code], step.children[step.code]))
    figure.add_scatter(
        x=[str(step.code)], y=[high], mode="markers", name="the true code", hoverinfo="skip",
        marker={"symbol": "star", "size": 13, "color": INK}, cliponaxis=False,
    )  # fmt: skip
    figure.update_xaxes(title=f"code of level {len(step.prefix) + 1}", type="category", showticklabels=len(codes) <= 32)
    figure.update_yaxes(title="probability")
    after = " ".join(map(str, step.prefix)) or "nothing"
    can, gain = int(step.exists.sum()), step.children[step.code] / step.level[step.code]
    figure.update_layout(
        height=340, bargap=0.15, bargroupgap=0.0, legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        title=f"After {after}: {step.lost:.0%} of the probability goes to codes that no item has",
    )  # fmt: skip
    return figure, (
        f"The next code after the prefix {after}: {can} of {len(step.level)} codes lead to an item. The softmax over "
        f"the whole level gives the others {step.lost:.1%}; the one over the codes that can follow gives the true code "
        f"{step.children[step.code]:.3f} instead of {step.level[step.code]:.3f}, {gain:.2f} times as much."
    )
