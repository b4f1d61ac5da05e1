"""How systems compare: tables of mean ± deviation over seeds, and figures of seeds, of differences, of groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.evaluation.significance import Comparison, over_seeds
from macrec.viz.theme import (
    CATEGORICAL,
    CONFLICT,
    FUSED,
    IMAGE,
    INK,
    MUTED,
    ORANGE,
    OUTLINE,
    REFERENCE,
    SKY,
    SYMBOLS,
    TEXT,
    YELLOW,
    empty_figure,
)

MARKS = ("oracle", "reads only", "sees only")
"""What `macrec.evaluation.ceiling` knows on the built-in catalog: marks to measure by, not learned systems."""

BEST = " ★"
LOWER_IS_BETTER = ("missed", "unfilled")

# Which color a system has, by what its name holds: the same one in every figure and notebook.
ROLES = (
    ("macrec", FUSED),
    ("text", TEXT),
    ("image", IMAGE),
    ("mql4grec", CONFLICT),
    ("sasrec", ORANGE),
    ("knn", SKY),
    ("markov", YELLOW),
    ("transition graph", MUTED),
    ("popularity", REFERENCE),
)
MARK_LOOKS = {"oracle": (REFERENCE, "solid"), "reads only": (TEXT, "dash"), "sees only": (IMAGE, "dot")}
NARROW = 500
"""Pixels of the plot itself in a narrow notebook: labels that do not overlap there do not overlap anywhere."""


def results_table(rows: pl.DataFrame, metrics: Sequence[str], marks: Sequence[str] = MARKS) -> pl.DataFrame:
    """One row per system in order of first appearance, one column per metric: mean ± standard deviation over seeds.

    `rows` has the columns system, seed and the metrics, one row per run; one run has no deviation, and a metric that is
    null or NaN in all of them is a dash. ★ marks the best mean of each metric; the systems in `marks` cannot have it.
    Raises DataError for a column that is missing and for a seed that a system has twice.
    """
    systems = _checked(rows, metrics)
    table: dict[str, list[str]] = {"system": systems}
    for metric in metrics:
        values = {name: _values(rows, name, metric) for name in systems}
        means = {name: found.mean() for name, found in values.items() if len(found) and name not in marks}
        best = (min if metric.startswith(LOWER_IS_BETTER) else max)(means.values(), default=None)
        table[metric] = [_spread(values[name]) + (BEST if means.get(name, np.nan) == best else "") for name in systems]
    return pl.DataFrame(table)


def results_figure(rows: pl.DataFrame, metric: str = "NDCG@10", marks: Sequence[str] = MARKS) -> tuple[go.Figure, str]:
    """A dot per seed and a tick at the mean, the best system on top; `marks` are vertical lines; and the sentence."""
    names = _checked(rows, [metric])
    values = {name: found for name in names if len(found := _values(rows, name, metric))}
    lines = {name: float(found.mean()) for name, found in values.items() if name in marks}
    lower = metric.startswith(LOWER_IS_BETTER)
    systems = sorted(
        (name for name in values if name not in marks), key=lambda name: values[name].mean() * (1 if lower else -1)
    )
    if not systems:
        return empty_figure("Nothing was measured"), f"No system has a value of {metric}."
    looks = system_looks(names, marks)
    figure = go.Figure()
    for height, name in enumerate(systems):
        part = rows.filter(pl.col("system") == name, _known(metric))
        _dots(figure, height, part[metric].to_numpy(), part["seed"].to_list(), name, metric + " %{x:.4f}", looks[name])
    low, high = _limits([*np.concatenate(list(values.values())).tolist()])
    lanes = _mark_lines(figure, lines, low, high)
    figure.update_xaxes(title=metric, range=[low, high])
    _name_rows(figure, systems)
    top = systems[0]
    runner_up = f", then {systems[1]} {values[systems[1]].mean():.4f}" if len(systems) > 1 else ""
    figure.update_layout(
        height=136 + 16 * lanes + 38 * len(systems),
        margin={"t": 60 + 16 * lanes},
        title=f"{metric}: {top} {values[top].mean():.4f}{runner_up}",
    )
    listed = ", ".join(f"{name} {_spread(values[name])}" for name in systems)
    marked = "; to measure by: " + ", ".join(f"{name} {value:.4f}" for name, value in lines.items()) if lines else ""
    return figure, (
        f"{metric} of {len(systems)} systems, {_seeds([len(values[name]) for name in systems])} (dots; ticks are "
        f"means), best first: {listed}{marked}."
    )


def differences_figure(differences: Mapping[str, Comparison], against: str) -> tuple[go.Figure, str]:
    """By how much each system exceeds the system `against`, with its 95 % interval and the zero line; and the sentence.

    `differences`: system → `paired_bootstrap(its ranks, the ranks of against)`. A mark is hollow where the interval
    holds zero. Raises ValueError for comparisons in different metrics.
    """
    if not differences:
        return empty_figure("Nothing to compare"), f"No system was compared with {against}."
    if len({found.metric for found in differences.values()}) > 1:
        raise ValueError(f"one metric is needed, got {', '.join(found.metric for found in differences.values())}")
    metric = next(iter(differences.values())).metric
    names = sorted(differences, key=lambda name: -differences[name].difference)
    looks = system_looks([against, *differences])
    figure = go.Figure()
    for height, name in enumerate(names):
        found, look = differences[name], looks[name]
        outline = {"color": INK, "width": look["line"]["width"]}
        if found.low <= 0 <= found.high:
            look, outline = look | {"symbol": look["symbol"] + "-open"}, {"width": 2}
        figure.add_scatter(
            x=[found.difference], y=[height], mode="markers", name=name, showlegend=False,
            marker=look | {"size": 11, "line": outline},
            error_x={"type": "data", "symmetric": False, "array": [found.high - found.difference],
                     "arrayminus": [found.difference - found.low], "color": INK, "thickness": 1.6, "width": 5},
            hovertemplate=f"<b>{name}</b> minus {against}: {found.difference:+.4f}<br>95% interval {found.low:+.4f} to "
            f"{found.high:+.4f}, p = {found.p:.4f}<extra></extra>",
        )  # fmt: skip
    figure.add_vline(x=0, line={"color": INK, "width": 1.2})
    figure.update_xaxes(title=f"{metric} minus that of {against}", tickformat="+.3~f")
    _name_rows(figure, names)
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


def ablation_table(rows: pl.DataFrame, full: str, metrics: Sequence[str]) -> pl.DataFrame:
    """The metrics of the model `full`, and for every other system what it has more (+) or less (-): mean ± deviation.

    `rows` as in `results_table`; differences are taken seed by seed, over the seeds that both have, and where there are
    none stands a dash. Raises DataError as there, and when there is no system `full`.
    """
    systems = _checked(rows, metrics, full)
    order = [full, *(name for name in systems if name != full)]
    table: dict[str, list[str]] = {"system": order}
    for metric in metrics:
        others = (_spread(_gains(rows, name, full, metric)[1], "+") for name in order[1:])
        table[metric] = [_spread(_values(rows, full, metric)), *others]
    return pl.DataFrame(table)


def ablation_figure(rows: pl.DataFrame, full: str, metric: str = "NDCG@10") -> tuple[go.Figure, str]:
    """What every variant has more or less than the model `full`: a dot per seed, a tick at the mean; and the sentence.

    Systems stand in order of first appearance; the line at zero is the full model, seed by seed. It stands alone where
    no variant has a seed in common with it.
    """
    found = {name: _gains(rows, name, full, metric) for name in _checked(rows, [metric], full) if name != full}
    found = {name: gains for name, gains in found.items() if len(gains[1])}
    alone = not found
    if alone:
        found = {full: _gains(rows, full, full, metric)}
    figure = go.Figure()
    marker = {"color": FUSED, "symbol": "circle", "line": {"color": INK, "width": 0}}
    for height, (name, (seeds, gains)) in enumerate(found.items()):
        _dots(figure, height, gains, seeds, name, "%{x:+.4f} " + metric + f" against {full}", marker)
    figure.add_vline(
        x=0, line={"color": REFERENCE, "width": 1.2}, annotation_text=f"{full} {_spread(_values(rows, full, metric))}",
        annotation_position="top", annotation_font={"size": 11, "color": "#555555"},
    )  # fmt: skip
    figure.update_xaxes(title=f"{metric} minus that of {full}", tickformat="+.3~f")
    _name_rows(figure, list(found))
    if alone:
        figure.update_layout(height=190, margin={"t": 80}, title="No variant was trained")
        return figure, f"Only {full} was trained: {metric} {_spread(_values(rows, full, metric))}."
    worst = min(found, key=lambda name: found[name][1].mean())
    figure.update_layout(
        height=150 + 38 * len(found),
        margin={"t": 80},
        title=f"{metric} falls most for “{worst}”: {found[worst][1].mean():+.4f}"
        if found[worst][1].mean() < 0
        else f"{metric}: no variant is below {full}",
    )
    listed = ", ".join(f"{name} {_spread(gains, '+')}" for name, (_, gains) in found.items())
    return figure, (
        f"{metric} of each variant minus that of {full} with the same seed, "
        f"{_seeds([len(gains) for _, gains in found.values()])} (dots; ticks are means): {listed}."
    )


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
            raise _no_metric(metric, table.columns[2:])
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
    figure.update_xaxes(title=metric, range=_limits(values.tolist()))
    labels = [
        f"{group}<br><span style='font-size:11px;color:#666'>{count:,} {'user' if count == 1 else 'users'}</span>"
        for group, count in zip(groups, users, strict=True)
    ]
    _name_rows(figure, labels, grid=False)
    figure.update_layout(
        height=170 + max(44, 9 * len(tables)) * len(groups),
        title=f"{metric} by kind of target and of history",
        legend={"orientation": "h", "x": 0, "xref": "container", "yref": "container", "y": 0, "yanchor": "bottom"},
        margin={"b": 112},
    )
    best = []
    for group, *found in zip(groups, *(table[metric] for table in tables.values()), strict=True):
        scored = {name: value for name, value in zip(tables, found, strict=True) if value is not None}
        if scored:
            top = max(scored, key=lambda name: scored[name])
            best.append(f"{group}: {top} {scored[top]:.4f}" if scored[top] > 0 else f"{group}: nobody above 0")
    return figure, f"{metric} of {len(tables)} systems by group of users; the best of each. {'; '.join(best)}."


def system_looks(systems: Sequence[str], marks: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """A plotly marker per system, the same one wherever the system is shown: green MACRec, blue text, vermillion image.

    Systems without a role of their own share out what colors are left; the ninth and later ones are grey.
    """
    colors: dict[str, str] = {}
    for name in systems:
        role = next((color for word, color in ROLES if word in name.lower()), None)
        if name not in marks and role and role not in colors.values():
            colors[name] = role
    free = iter([color for color in CATEGORICAL if color not in colors.values()])
    spare = cycle(SYMBOLS)
    looks = {}
    for name in systems:
        if name in marks:
            continue
        color = colors.get(name) or next(free, MUTED)
        symbol = next(spare) if color == MUTED else SYMBOLS[CATEGORICAL.index(color)]
        looks[name] = {"color": color, "symbol": symbol, "line": {"color": INK, "width": OUTLINE.get(color, 0)}}
    return looks


def _checked(rows: pl.DataFrame, metrics: Sequence[str], full: str | None = None) -> list[str]:
    """The systems in order of first appearance; DataError where `rows` is not one row of `metrics` per run."""
    for column in ("system", "seed"):
        if column not in rows.columns:
            raise DataError("the results lack a column", field=column, fix="give one row per system and seed")
    for metric in metrics:
        if metric not in rows.columns:
            raise _no_metric(metric, [name for name in rows.columns if name not in ("system", "seed")])
    twice = rows.filter(rows.select("system", "seed").is_duplicated())
    if len(twice):
        system, seed = twice.select("system", "seed").row(0)
        raise DataError(f"{system} has seed {seed} more than once", field="seed", fix="keep one row per run")
    systems: list[str] = rows["system"].unique(maintain_order=True).to_list()
    if full is not None and full not in systems:
        raise DataError(f'there is no system "{full}"', field="full", fix=f"choose one of {', '.join(systems)}")
    return systems


def _no_metric(metric: str, known: Sequence[str]) -> DataError:
    return DataError(f'there is no metric "{metric}"', field="metric", fix=f"choose one of {', '.join(known)}")


def _known(metric: str) -> pl.Expr:
    return pl.col(metric).is_not_null() & pl.col(metric).is_not_nan()


def _values(rows: pl.DataFrame, system: str, metric: str) -> NDArray[np.float64]:
    """The values of a metric of a system, one per seed that has one."""
    part = rows.filter(pl.col("system") == system).with_columns(pl.col(metric).cast(pl.Float64))
    return part.filter(_known(metric))[metric].to_numpy()


def _gains(rows: pl.DataFrame, system: str, full: str, metric: str) -> tuple[list[int], NDArray[np.float64]]:
    """Seeds that a system and the full model both have, and by how much the system exceeds it in each."""
    known = rows.with_columns(pl.col(metric).cast(pl.Float64)).filter(_known(metric))
    own, other = (known.filter(pl.col("system") == name).select("seed", metric) for name in (system, full))
    both = own.join(other, on="seed", suffix=" of full", maintain_order="left")
    return both["seed"].to_list(), (both[metric] - both[f"{metric} of full"]).to_numpy()


def _spread(values: NDArray[np.float64], sign: str = "") -> str:
    """Mean ± standard deviation over seeds; the mean alone of one value, a dash for none."""
    if not len(values):
        return "–"
    found = over_seeds([{"": value} for value in values.tolist()])[""]
    return f"{found.mean:{sign}z.4f}" + (f" ± {found.sd:.4f}" if found.runs > 1 else "")


def _seeds(runs: Sequence[int]) -> str:
    fewest, most = min(runs), max(runs)
    return f"{most} {'seed' if most == 1 else 'seeds'} each" if fewest == most else f"{fewest} to {most} seeds each"


def _dots(
    figure: go.Figure, height: int, values: NDArray[np.float64], seeds: Sequence[Any], name: str, says: str,
    look: dict[str, Any],
) -> None:  # fmt: skip
    """One row of a figure: a dot per seed and a tick at their mean. `says` is what a dot tells under the pointer."""
    figure.add_scatter(
        x=[values.mean()], y=[height], mode="markers", showlegend=False, hoverinfo="skip",
        marker={"color": INK, "size": 22, "symbol": "line-ns-open", "line": {"width": 2}},
    )  # fmt: skip
    figure.add_scatter(
        x=values, y=[height] * len(values), mode="markers", name=name, showlegend=False, customdata=list(seeds),
        marker=look | {"size": 10, "opacity": 0.8},
        hovertemplate=f"<b>{name}</b>, seed %{{customdata}}: {says}<extra></extra>",
    )  # fmt: skip


def _name_rows(figure: go.Figure, names: Sequence[str], grid: bool = True) -> None:
    """Rows from the top, each with its name."""
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=list(names), range=[len(names) - 0.5, -0.5], showgrid=grid, ticks=""
    )


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of an axis, a little beyond all values; it begins at zero unless they are all far from it."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    room = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    # Dots at zero are drawn whole: a little less than nothing is in view.
    return (-0.02 * high - 1e-9 if 0 <= low < high / 2 or low == high == 0 else low - room), high + room


def _mark_lines(figure: go.Figure, lines: Mapping[str, float], low: float, high: float) -> int:
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
