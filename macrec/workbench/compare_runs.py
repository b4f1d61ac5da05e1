"""Runs side by side: what they were given, what they measured, as one table."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from macrec.errors import DataError
from macrec.evaluation.metric_names import OWN_WEIGHT, metric_names, metric_words
from macrec.workbench.run_record import EVALUATION, RunRecord, find_runs

MAIN = (
    "06_generation.measured.NDCG@10/validation",
    "03_codebooks.measured.conflict_rate/*",
    f"03_codebooks.comparison.{OWN_WEIGHT}.*.information",
    f"03_codebooks.comparison.{OWN_WEIGHT}.*.reconstruction",
    "07_alignment.alignment.after.recall@10/*",
)
"""The metrics that are shown by default after those of systems (`system_metrics`), the most important first."""

MOST = 8
"""Systems shown by default, and metrics of runs that have none of the main ones: the first in which they differ."""


@dataclass(frozen=True)
class RunComparison:
    """Runs beside each other: the parameters that vary among them and the metrics chosen, the most important first.

    `notes` are sentences: which runs lack a metric, which points of a sweep have no result.
    """

    runs: tuple[RunRecord, ...]
    varied: tuple[str, ...]
    metrics: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """`metrics` in words, each once."""
        return metric_names(self.metrics, ("run", *self.varied))

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row per run: "run", the parameters that vary, the metrics by label (null where a run lacks one)."""
        columns: dict[str, Any] = {"run": [run.name for run in self.runs]}
        for name in self.varied:
            values = [run.settings.get(name) for run in self.runs]
            alike = len({type(value) for value in values if value is not None}) == 1
            plain = alike and all(isinstance(value, bool | int | float | str | None) for value in values)
            columns[name] = values if plain else [None if value is None else str(value) for value in values]
        for metric, label in zip(self.metrics, self.labels, strict=True):
            columns[label] = pl.Series([run.metrics.get(metric) for run in self.runs], dtype=pl.Float64)
        return pl.DataFrame(columns)

    def text(self) -> str:
        """The comparison for a terminal: up to four runs as columns, more as rows."""
        names = [run.name for run in self.runs]
        if len(names) > 4:
            rows = [[spoken(value) for value in row] for row in self.table.rows()]
            lines = aligned([*headings(self.table.columns), *rows])
        else:
            difference = len(names) == 2
            rows = [["", *names, *(["difference"] if difference else [])]]
            for column in self.table.columns[1:]:
                values = self.table[column].to_list()
                numbers = column in self.labels and None not in values
                rows.append([column, *map(spoken, values)])
                if difference:
                    rows[-1].append(f"{values[1] - values[0]:+.4g}" if numbers else "")
            lines = aligned(rows)
        if not self.varied and len(self.runs) > 1:
            lines.append("The runs have the same parameters.")
        return "\n".join([*lines, *self.notes])

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain values; metrics by their full names, differences to the first run."""
        first = self.runs[0].metrics
        rows = []
        for run in self.runs:
            metrics = {name: run.metrics[name] for name in self.metrics if name in run.metrics}
            rows.append(
                {
                    "name": run.name,
                    "folder": str(run.folder),
                    "parameters": {name: run.settings.get(name) for name in self.varied},
                    "metrics": metrics,
                    "differences": {name: value - first[name] for name, value in metrics.items() if name in first},
                    "missing": [name for name in self.metrics if name not in run.metrics],
                }
            )
        return {"varied": self.varied, "metrics": self.metrics, "runs": rows, "notes": self.notes}


def compare_runs(folders: Sequence[Path], metrics: Sequence[str] = ()) -> RunComparison:
    """Read runs and choose what to show of them: the metrics whose names hold one of `metrics`, else the main ones.

    Raises DataError for a folder that holds no run, and for a metric that no run has.
    """
    runs, notes = find_runs(folders)
    chosen = choose_metrics(runs, metrics)
    for run in runs:
        lacking = [name for metric, name in zip(chosen, metric_names(chosen), strict=True) if metric not in run.metrics]
        if lacking:
            what = "all of these metrics" if len(lacking) == len(chosen) else "; ".join(lacking)
            notes.append(f"{run.name} lacks {what}.")
    told = {note.partition(" is not finished")[0] for note in notes}  # a sweep says more of its points
    notes += [f"{run.name}: {name} failed." for run in runs for name in run.failed if run.name not in told]
    notes += [f"{run.name}: a training of {name} was interrupted." for run in runs for name in run.interrupted]
    notes += [f"{run.name}: {sentence}" for run in runs for sentence in run.said_skips()]
    return RunComparison(tuple(runs), tuple(varied_settings(runs)), tuple(chosen), tuple(notes))


def choose_metrics(runs: Sequence[RunRecord], asked: Sequence[str] = ()) -> list[str]:
    """The metrics to show: those whose keys or words hold one of `asked`, whatever the case, else the main ones.

    Where no run has a main one, the first few that differ among the runs that have them. Raises DataError for one asked
    for that no run has.
    """
    every = list(dict.fromkeys(name for run in runs for name in run.metrics))
    chosen: list[str] = []
    for part in asked:
        fitting = [name for name in every if part.lower() in f"{name}\n{metric_words(name)}".lower()]
        if not fitting:
            ends = sorted({name.rpartition(".")[2] for name in every})
            raise DataError(f'no run has a metric "{part}"', fix=f"choose from {', '.join(ends)}")
        exact = [name for name in fitting if name == part]
        chosen += exact or fitting
    if not asked:
        chosen = [*system_metrics(runs), *(name for pattern in MAIN for name in every if fnmatchcase(name, pattern))]
        differing = (name for name in every if len({run.metrics[name] for run in runs if name in run.metrics}) > 1)
        chosen = chosen or list(islice(differing, MOST))
        chosen = chosen or every[:MOST]
    return list(dict.fromkeys(chosen))


def system_metrics(runs: Sequence[RunRecord]) -> list[str]:
    """NDCG@10 of the systems that all runs with an evaluation have: the reference, then those in which the runs differ.

    Where the runs compared with different references, or share no system, every system counts.
    """
    keys = [[key for key in run.metrics if fnmatchcase(key, f"{EVALUATION}.systems.*.NDCG@10")] for run in runs]
    evaluated = [(run, own) for run, own in zip(runs, keys, strict=True) if own]
    every = list(dict.fromkeys(key for _, own in evaluated for key in own))
    shared = [key for key in every if all(key in own for _, own in evaluated)]
    references = {f"{EVALUATION}.systems.{run.reference}.NDCG@10" for run, _ in evaluated}
    first = [key for key in shared if references == {key}]
    differing = [key for key in shared if len({run.metrics[key] for run, _ in evaluated}) > 1]
    return list(dict.fromkeys([*first, *differing]) or shared or every)[:MOST]


def varied_settings(runs: Sequence[RunRecord]) -> list[str]:
    """The parameters in which the runs differ; one that a run does not have differs too, unless none has another."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [
        name for name in names if len({repr(run.settings[name]) for run in runs if name in run.settings}) > 1
    ]  # fmt: skip


def spoken(value: Any) -> str:
    """A value as tables show it."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def headings(names: Sequence[str], width: int = 20) -> list[list[str]]:
    """The names of columns as rows above them: long ones take several lines, and all end in the last.

    >>> headings(["run", "conflict rate of text"])
    [['', 'conflict rate of'], ['run', 'text']]
    """
    upwards = [textwrap.wrap(name, width, break_long_words=False)[::-1] for name in names]
    return [list(row) for row in zip_longest(*upwards, fillvalue="")][::-1]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of texts as lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if place == 0 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
