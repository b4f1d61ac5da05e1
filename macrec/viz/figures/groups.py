"""Where systems are good: their metric in every group of users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import polars as pl

from macrec.viz.figures.result_rows import no_metric
from macrec.viz.figures.system_rows import limits, name_rows, system_looks
from macrec.viz.theme import empty_figure


def groups_figure(tables: Mapping[str, pl.DataFrame], metric: str = "NDCG@10") -> tuple[go.Figure, str]:
    """The metric of every system in every group of users, one row per group, one color and symbol per system.

    `tables`: system → `Evaluation.by_group()`, all of the same groups; an empty group has no dots. Raises ValueError
    for different groups, DataError for a metric that is not there.
    """
    if not tables:
        return empty_figure("Nothing was measured"), "There is no system to break down by group."
    first = next(iter(tables.values()))
    for name, table in tables.items():
        if not table.select("group", "users").equals(first.select("group", "users")):
            raise ValueError(f"the groups of {name} are not those of {next(iter(tables))}")
        if metric not in table.columns:
            raise no_metric(metric, table.columns[2:])
    groups, users = first["group"].to_list(), first["users"].to_list()
    looks = system_looks(list(tables))
    figure = go.Figure()
    for place, (name, table) in enumerate(tables.items()):
        offset = ((place + 0.5) / len(tables) - 0.5) * 0.7
        look = looks[name]
        figure.add_scatter(
            x=table[metric], y=np.arange(len(groups)) + offset, mode="markers", name=name,
            marker=look | {"size": 9}, customdata=groups,
            hovertemplate=f"<b>{name}</b>, %{{customdata}}: {metric} %{{x:.4f}}<extra></extra>",
        )  # fmt: skip
    for edge in range(1, len(groups)):
        figure.add_hline(y=edge - 0.5, line={"color": "#E4E4E4", "width": 1})
    values = np.concatenate([table[metric].drop_nulls().to_numpy() for table in tables.values()])
    figure.update_xaxes(title=metric, range=limits(values.tolist()))
    labels = [
        f"{group}<br><span style='font-size:11px;color:#666'>{count:,} {'user' if count == 1 else 'users'}</span>"
        for group, count in zip(groups, users, strict=True)
    ]
    name_rows(figure, labels, grid=False)
    figure.update_layout(
        height=170 + max(44, 9 * len(tables)) * len(groups),
        title=f"{metric} by kind of target and of history",
        legend={"orientation": "h", "x": 0, "xref": "container", "yref": "container", "y": 0, "yanchor": "bottom"},
        margin={"b": 112},
    )
    best = []
    for group, *scores in zip(groups, *(table[metric] for table in tables.values()), strict=True):
        scored = {name: value for name, value in zip(tables, scores, strict=True) if value is not None}
        if scored:
            top = max(scored, key=lambda name: scored[name])
            best.append(f"{group}: {top} {scored[top]:.4f}" if scored[top] > 0 else f"{group}: none above 0")
    return figure, f"{metric} of {len(tables)} systems by group of users; the best of each. {'; '.join(best)}."
