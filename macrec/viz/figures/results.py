"""How systems compare: a table of mean ± deviation over seeds, and a figure with a dot per seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import polars as pl

from macrec.viz.figures.result_rows import checked, known, seeds_each, spread, values_of
from macrec.viz.figures.system_rows import MARKS, add_marks, add_seeds, limits, name_rows, system_looks
from macrec.viz.theme import empty_figure

BEST = " ★"
LOWER_IS_BETTER = ("missed", "unfilled")
NEITHER_IS_BETTER = ("exposure",)


def results_table(rows: pl.DataFrame, metrics: Sequence[str], marks: Sequence[str] = MARKS) -> pl.DataFrame:
    """One row per system in order of first appearance, one column per metric: mean ± standard deviation over seeds.

    `rows` has the columns system, seed and the metrics, one row per run; one run has no deviation, and a metric that is
    null or NaN in all of them is a dash. ★ marks the best mean of each metric that has a best; the systems in `marks`
    cannot have it. Raises DataError for a column that is missing and for a seed that a system has twice.
    """
    systems = checked(rows, metrics)
    table: dict[str, list[str]] = {"system": systems}
    for metric in metrics:
        values = {name: values_of(rows, name, metric) for name in systems}
        means = {name: of_seeds.mean() for name, of_seeds in values.items() if len(of_seeds) and name not in marks}
        if metric.startswith(NEITHER_IS_BETTER) or not any(means.values()):
            means = {}  # nor is anyone best where all have 0, as nobody finds a cold item
        best = (min if metric.startswith(LOWER_IS_BETTER) else max)(means.values(), default=None)
        table[metric] = [spread(values[name]) + (BEST if means.get(name, np.nan) == best else "") for name in systems]
    return pl.DataFrame(table)


def results_figure(rows: pl.DataFrame, metric: str = "NDCG@10", marks: Sequence[str] = MARKS) -> tuple[go.Figure, str]:
    """A dot per seed and a tick at the mean, the best system on top; `marks` are vertical lines; and the sentence."""
    names = checked(rows, [metric])
    values = {name: of_seeds for name in names if len(of_seeds := values_of(rows, name, metric))}
    lines = {name: float(of_seeds.mean()) for name, of_seeds in values.items() if name in marks}
    lower = metric.startswith(LOWER_IS_BETTER)
    systems = sorted(
        (name for name in values if name not in marks), key=lambda name: values[name].mean() * (1 if lower else -1)
    )
    if not systems:
        return empty_figure("Nothing was measured"), f"No system has a value of {metric}."
    looks = system_looks(names, marks)
    figure = go.Figure()
    for height, name in enumerate(systems):
        part = rows.filter(pl.col("system") == name, known(metric))
        add_seeds(
            figure, height, part[metric].to_numpy(), part["seed"].to_list(), name, metric + " %{x:.4f}", looks[name]
        )
    low, high = limits([*np.concatenate(list(values.values())).tolist()])
    lanes = add_marks(figure, lines, low, high)
    figure.update_xaxes(title=metric, range=[low, high])
    name_rows(figure, systems)
    top = systems[0]
    runner_up = f", then {systems[1]} {values[systems[1]].mean():.4f}" if len(systems) > 1 else ""
    figure.update_layout(
        height=136 + 16 * lanes + 38 * len(systems),
        margin={"t": 60 + 16 * lanes},
        title=f"{metric}: {top} {values[top].mean():.4f}{runner_up}",
    )
    listed = ", ".join(f"{name} {spread(values[name])}" for name in systems)
    marked = "; to measure by: " + ", ".join(f"{name} {value:.4f}" for name, value in lines.items()) if lines else ""
    return figure, (
        f"{metric} of {len(systems)} systems, {seeds_each([len(values[name]) for name in systems])} (dots; ticks are "
        f"means), best first: {listed}{marked}."
    )
