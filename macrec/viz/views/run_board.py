"""Runs compared: the effect of each parameter on two metrics, and the Pareto-optimal runs."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import plotly.graph_objects as go
import polars as pl
from plotly.subplots import make_subplots

from macrec.evaluation.metric_names import lower_is_better
from macrec.viz.assets import script_tag
from macrec.viz.figures.comparison import wrapped
from macrec.viz.tables import table_html, written
from macrec.viz.theme import CATEGORICAL, FIGURES_SCRIPT, INK, MUTED, OUTLINE, SYMBOLS, empty_figure

MOST_PANELS = 3
NOTE, LINK = "\0note", "\0link"
"""Columns beside those of the table, which may have any name."""


def run_board(
    table: pl.DataFrame, varied: Sequence[str], metrics: Sequence[str], links: Mapping[str, str] | None = None
) -> tuple[go.Figure, str]:
    """Two metrics of every run against each other, and each against the parameters that vary.

    `table`: one row per run, with the columns "run", `varied` and `metrics` (numbers, null where a run lacks one). Of
    `metrics` the first is what counts; beside it stands what it may cost, the first one for which the other direction
    is the better one, or else the second. Of `varied` up to three are drawn; the first gives the runs their color and
    symbol. `links`: run → address, which a click on a point opens where `run_table` stands on the same page.
    """
    shown = two_of([name for name in metrics if table[name].count()])
    title = f"{' and '.join(shown)} of {len(table)} runs"
    if not shown:
        return empty_figure("Runs compared"), "There is nothing to compare: no run has any of the metrics."
    panels = [name for name in varied if table[name].n_unique() > 1][:MOST_PANELS]
    groups = _groups(_annotated(table, metrics, links or {}), panels[0] if panels else None)
    pair, columns = len(shown) == 2, max(1, len(panels))
    # Above, the two metrics; below, a row of panels per metric. One metric and no parameter: the runs side by side.
    below = shown if panels or not pair else []
    wide = [[{"colspan": columns}, *[None] * (columns - 1)]] if pair else []
    figure = make_subplots(
        rows=len(wide) + len(below),
        cols=columns,
        specs=[*wide, *([{}] * columns for _ in below)],
        row_heights=[1.7] * len(wide) + [1.0] * len(below),
        vertical_spacing=0.13,
        horizontal_spacing=0.11,
    )
    if pair:
        _trade(figure, table, groups, shown[0], shown[1])
    for row, metric in enumerate(below, 1 + pair):
        for column, parameter in enumerate(panels or ["run"], 1):
            _panel(figure, table, groups, parameter, metric, row, column, legend=not pair and column == 1)
            title_below = parameter if row == pair + len(below) and panels else None
            figure.update_xaxes(title=title_below, row=row, col=column)
        figure.update_yaxes(title=wrapped(axis_title(metric), 28), row=row, col=1)
    height = 130 + 360 * pair + (200 if pair else 320) * len(below)
    figure.update_layout(
        height=height,
        title={"text": title, "yref": "container", "y": 1 - 14 / height, "yanchor": "top"},
        showlegend=len(groups) > 1,
        legend={
            "orientation": "h", "x": 0, "xref": "container", "xanchor": "left",
            "yref": "container", "y": 1 - 44 / height, "yanchor": "top",
            "title": {"text": f" {panels[0]}" if panels else "", "font": {"size": 13}},
        },
        margin={"t": 106 if len(groups) > 1 else 60, "l": 70, "b": 56},
    )  # fmt: skip
    return figure, _finding(table, panels, shown)


def two_of(metrics: Sequence[str]) -> list[str]:
    """The first metric, and the one to set against it."""
    opposed = [name for name in metrics[1:] if lower_is_better(name) != lower_is_better(metrics[0])]
    return [*metrics[:1], *(opposed or metrics[1:])[:1]]


def axis_title(metric: str) -> str:
    """A metric and which way is better."""
    return f"{metric}, {'less' if lower_is_better(metric) else 'more'} is better"


def pareto(table: pl.DataFrame, first: str, second: str) -> pl.Series:
    """Which rows `[n]` are Pareto-optimal: no other is as good in both metrics and better in one."""
    a, b = (table[name].to_numpy() * (-1 if lower_is_better(name) else 1) for name in (first, second))
    as_good = (a[:, None] >= a) & (b[:, None] >= b)
    better = (a[:, None] > a) | (b[:, None] > b)
    return pl.Series(~(as_good & better).any(0))


class Group(NamedTuple):
    """The runs of one value of the first parameter, and how they are marked."""

    name: str
    mark: dict[str, Any]
    rows: pl.DataFrame


def _groups(table: pl.DataFrame, parameter: str | None) -> list[Group]:
    """The runs by the value of a parameter; the ninth value and further ones are muted and hollow."""
    if parameter is None:
        return [Group("runs", {"color": CATEGORICAL[0], "symbol": SYMBOLS[0]}, table)]
    groups = []
    for place, value in enumerate(ordered(table[parameter])):
        few = place < len(CATEGORICAL)
        color = CATEGORICAL[place] if few else MUTED
        symbol = SYMBOLS[place % len(SYMBOLS)] + ("" if few else "-open")
        line = {"color": INK, "width": OUTLINE.get(color, 0)} if few else {"color": MUTED, "width": 1.5}
        mark = {"color": color, "symbol": symbol, "line": line}
        groups.append(Group(spelled(value), mark, table.filter(pl.col(parameter).eq_missing(pl.lit(value)))))
    return groups


def ordered(values: pl.Series) -> list[Any]:
    """The different values, in order; a missing one last."""
    return values.unique().sort(nulls_last=True).to_list()


def spelled(value: Any) -> str:
    """A value of a parameter, in few letters."""
    text = f"{value:g}" if isinstance(value, float) else "not set" if value is None else str(value) or "(empty)"
    return text if len(text) <= 24 else "…" + text[-23:]


def _annotated(table: pl.DataFrame, metrics: Sequence[str], links: Mapping[str, str]) -> pl.DataFrame:
    """The table with the hover text and the link of every point."""
    notes = [
        "<br>".join(
            [f"<b>{html.escape(row['run'])}</b>", *(f"{html.escape(key)}: {written(row[key])}" for key in metrics[:4])]
        )
        for row in table.iter_rows(named=True)
    ]
    addresses = pl.Series(LINK, [links.get(run) for run in table["run"]], dtype=pl.String)
    return table.with_columns(pl.Series(NOTE, notes, dtype=pl.String), addresses)


def _dots(figure: go.Figure, group: Group, x: Sequence[Any], y: str, row: int, col: int, legend: bool) -> None:
    """The runs of a group as marks that name their run and carry its link."""
    figure.add_scatter(
        x=x, y=group.rows[y], mode="markers", name=group.name, legendgroup=group.name, showlegend=legend,
        marker={"size": 11 if legend else 8, "opacity": 0.85, **group.mark},
        text=group.rows[NOTE], hovertemplate="%{text}<extra></extra>",
        meta={"macrec_links": group.rows[LINK].to_list()}, row=row, col=col,
    )  # fmt: skip


def _trade(figure: go.Figure, table: pl.DataFrame, groups: Sequence[Group], first: str, second: str) -> None:
    """The two metrics against each other; a line joins the Pareto-optimal runs."""
    both = table.drop_nulls([first, second])
    edge = both.filter(pareto(both, first, second)).sort(second, first)
    if len(edge) > 1:
        figure.add_scatter(
            x=edge[second], y=edge[first], mode="lines", name="not beaten in both", hoverinfo="skip",
            line={"color": MUTED, "dash": "dot", "width": 1.5}, row=1, col=1,
        )  # fmt: skip
    for group in groups:
        _dots(figure, group, group.rows[second].to_list(), first, row=1, col=1, legend=True)
    figure.update_xaxes(title=axis_title(second), row=1, col=1)
    figure.update_yaxes(title=axis_title(first), row=1, col=1)


def _panel(
    figure: go.Figure, table: pl.DataFrame, groups: Sequence[Group], parameter: str, metric: str, row: int, col: int,
    legend: bool,
) -> None:  # fmt: skip
    """A metric against the values of a parameter, which stand at equal distances: weights differ by powers of ten."""
    values = ordered(table[parameter])
    places = {value: place for place, value in enumerate(values)}
    if parameter != "run":
        means = table.group_by(parameter).agg(pl.col(metric).mean()).drop_nulls(metric)
        line = sorted((places[value], mean) for value, mean in means.iter_rows())
        figure.add_scatter(
            x=[x for x, _ in line], y=[y for _, y in line], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": MUTED, "width": 1.5}, row=row, col=col,
        )  # fmt: skip
    for place, group in enumerate(groups):
        # In the first panel a group is one value; elsewhere its marks would hide each other.
        aside = 0.0 if col == 1 else 0.3 * (place / max(1, len(groups) - 1) - 0.5)
        _dots(figure, group, [places[value] + aside for value in group.rows[parameter]], metric, row, col, legend)
    figure.update_xaxes(
        tickvals=list(places.values()), ticktext=[spelled(value) for value in values],
        range=[-0.5, len(values) - 0.5], autotickangles=[0, 35, 90], row=row, col=col,
    )  # fmt: skip


def _finding(table: pl.DataFrame, panels: Sequence[str], shown: Sequence[str]) -> str:
    """A summary of the runs: the best by the first metric, and its value of the other."""
    metric, others = shown[0], shown[1:]
    having = _from_best(table, [metric, *others])
    best = having.row(0, named=True)
    words = f"{best['run']} has the {superlative(metric)} {metric} ({best[metric]:.4g}) of {len(having)} runs"
    if len(having) == 1:
        words = f"Only {best['run']} has the metric {metric} ({best[metric]:.4g})"
    alike = int((having[metric] == best[metric]).sum())
    if alike > 1:
        words = f"{alike} of {len(having)} runs share the {superlative(metric)} {metric} ({best[metric]:.4g})"
        words += f", among them {best['run']}"
    for other in others if len(having) > 1 and best[shown[-1]] is not None else ():
        rest = _from_best(table, [other, metric]).row(0, named=True)
        if rest[other] == best[other]:
            words += (
                f", {'which has' if alike > 1 else 'and'} the {superlative(other)} {other} as well ({best[other]:.4g})"
            )
        else:
            words += (
                f", with a {other} of {best[other]:.4g}; the {superlative(other)} {other} is {rest[other]:.4g}, of "
            )
            words += f"{rest['run']}, " + (
                f"whose {metric} is {rest[metric]:.4g}" if rest[metric] is not None else f"which has no {metric}"
            )
    lines = f" Lines join the means at each value of {' and '.join(panels)}." if panels else ""
    return f"{words}.{lines}"


def _from_best(table: pl.DataFrame, metrics: Sequence[str]) -> pl.DataFrame:
    """The runs that have the first of these metrics, the best first; the next metric decides between equals."""
    descending = [not lower_is_better(name) for name in metrics]
    return table.drop_nulls(metrics[0]).sort(metrics, descending=descending, nulls_last=True)


def superlative(metric: str) -> str:
    """What the best value of a metric is: the lowest or the highest."""
    return "lowest" if lower_is_better(metric) else "highest"


def run_table(
    table: pl.DataFrame, varied: Sequence[str], metrics: Sequence[str], links: Mapping[str, str] | None = None
) -> str:
    """The runs as an HTML table whose first column links to each, and the script by which the board's points do too."""
    links = links or {}
    caption = f"{len(table)} runs. ★ marks the best of each metric; – means that a run lacks it."
    shown = table.select("run", *varied, *metrics)
    for name in metrics:
        best = shown[name].min() if lower_is_better(name) else shown[name].max()
        cells = [written(value) + (" ★" if value == best and value is not None else "") for value in shown[name]]
        shown = shown.with_columns(pl.Series(name, cells, dtype=pl.String))
    for name in varied:
        shown = shown.with_columns(pl.Series(name, [spelled(value) for value in shown[name]], dtype=pl.String))
    fragment = table_html(shown, caption)
    for run, address in links.items():
        cell = html.escape(run)
        linked = f'><a href="{html.escape(address, quote=True)}">{cell}</a></td>'
        fragment = fragment.replace(f">{cell}</td>", linked, 1)
    return fragment + FIGURES_SCRIPT + script_tag("linkRuns();", Path(__file__).with_suffix(".js"))
