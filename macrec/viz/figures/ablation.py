"""What a model loses without each of its parts, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
import polars as pl

from macrec.evaluation.significance import Comparison
from macrec.experiments.standing import standing
from macrec.viz.figures.result_rows import checked, gains_over, seeds_each, spread, values_of
from macrec.viz.figures.system_rows import add_seeds, name_rows
from macrec.viz.theme import FUSED, INK, REFERENCE


def ablation_table(rows: pl.DataFrame, full: str, metrics: Sequence[str]) -> pl.DataFrame:
    """The metrics of the model `full`, and for every other system what it has more (+) or less (-): mean ± deviation.

    `rows` as in `results_table`; differences are taken seed by seed, over the seeds that both have, and where there are
    none stands a dash. Raises DataError as there, and when there is no system `full`.
    """
    systems = checked(rows, metrics, full)
    order = [full, *(name for name in systems if name != full)]
    table: dict[str, list[str]] = {"system": order}
    for metric in metrics:
        others = (spread(gains_over(rows, name, full, metric)[1], "+") for name in order[1:])
        table[metric] = [spread(values_of(rows, full, metric)), *others]
    return pl.DataFrame(table)


def ablation_figure(
    rows: pl.DataFrame, full: str, metric: str = "NDCG@10", differences: Mapping[str, Comparison] | None = None
) -> tuple[go.Figure, str]:
    """What every variant has more or less than the model `full`: a dot per seed, a tick at the mean; and the sentence.

    Systems are in order of first appearance; the line at zero is the full model, seed by seed. It stands alone where
    no variant has a seed in common with it. `differences`: variant → by how much it exceeds the full model on the same
    users, whose intervals are drawn.
    """
    by_system = {name: gains_over(rows, name, full, metric) for name in checked(rows, [metric], full) if name != full}
    by_system = {name: gains for name, gains in by_system.items() if len(gains[1])}
    alone = not by_system
    if alone:
        by_system = {full: gains_over(rows, full, full, metric)}
    figure, paired_by_name = go.Figure(), differences or {}
    marker = {"color": FUSED, "symbol": "circle", "line": {"color": INK, "width": 0}}
    for height, (name, (seeds, gains)) in enumerate(by_system.items()):
        add_seeds(figure, height, gains, seeds, name, "%{x:+.4f} " + metric + f" against {full}", marker)
        if paired := paired_by_name.get(name):
            figure.add_scatter(
                x=[paired.difference], y=[height], mode="markers", marker={"color": INK, "size": 1}, showlegend=False,
                error_x={"type": "data", "symmetric": False, "array": [paired.high - paired.difference],
                         "arrayminus": [paired.difference - paired.low], "color": INK, "thickness": 1.2, "width": 5},
                hoverinfo="skip",
            )  # fmt: skip
    figure.add_vline(
        x=0, line={"color": REFERENCE, "width": 1.2}, annotation_text=f"{full} {spread(values_of(rows, full, metric))}",
        annotation_position="top", annotation_font={"size": 11, "color": "#555555"},
    )  # fmt: skip
    figure.update_xaxes(title=f"{metric} minus that of {full}", tickformat="+.3~f")
    name_rows(figure, list(by_system))
    if alone:
        figure.update_layout(height=190, margin={"t": 80}, title="No variant was evaluated")
        score = f"{metric} {spread(values_of(rows, full, metric))}"
        return figure, f"Only {full} was evaluated, and no variant without one of its terms: {score}."
    worst = min(by_system, key=lambda name: by_system[name][1].mean())
    figure.update_layout(
        height=150 + 38 * len(by_system),
        margin={"t": 80},
        title=f"{metric} falls most for “{worst}”: {by_system[worst][1].mean():+.4f}"
        if by_system[worst][1].mean() < 0
        else f"{metric}: no variant is below {full}",
    )
    listed = ", ".join(f"{name} {spread(gains, '+')}" for name, (_, gains) in by_system.items())
    clear = standing(full, {name: paired for name, paired in paired_by_name.items() if name in by_system})
    whiskers = "; whiskers are 95% intervals of the difference on the same users" if clear else ""
    return figure, (
        f"{metric} of each variant minus that of {full} with the same seed, "
        f"{seeds_each([len(gains) for _, gains in by_system.values()])} (dots; ticks are means{whiskers}): {listed}."
        + (f" By the intervals {clear}" if clear else "")
    )
