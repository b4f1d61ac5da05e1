"""Runs side by side: what they were given, what they measured, as one table.

Parameters come from the executed notebooks themselves, so defaults count as well; metrics from metrics.json.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any

import polars as pl

from macrec.errors import DataError
from macrec.workbench.notebooks import read_notebook
from macrec.workbench.parameters import HOW, declared_parameters
from macrec.workbench.run import Run

OWN = "cross-modal λ"
"""How tables call the codebooks at the run's own lambda_con, which notebook 03 names after its value."""

MAIN = (
    "08_evaluation.systems.MACRec.NDCG@10",
    "06_generation.measured.NDCG@10/validation",
    "03_codebooks.measured.conflict_rate/*",
    f"03_codebooks.comparison.{OWN}.*.information",
    f"03_codebooks.comparison.{OWN}.*.reconstruction",
    "08_evaluation.systems.MACRec.HR@10",
    "07_alignment.alignment.after.recall@10/*",
)
"""The metrics that are shown by default, the most important first."""

MOST = 8
"""Metrics shown of runs that have none of `MAIN`: the first ones in which they differ."""


@dataclass(frozen=True)
class RunRecord:
    """One run as it was read: `settings` are the parameters in effect, `metrics` flat with dotted names.

    `interrupted` and `failed` name the notebooks of which a training was interrupted, and those that failed; `skipped`
    those that the data lack something for, with the sentence that says what.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    metrics: dict[str, float]
    seconds: float
    interrupted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    def said_skips(self) -> list[str]:
        """A sentence for every reason why notebooks were skipped."""
        reasons: dict[str, list[str]] = {}
        for notebook, why in self.skipped.items():
            reasons.setdefault(why, []).append(notebook)
        return [f"{', '.join(notebooks)} skipped: {why}" for why, notebooks in reasons.items()]


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
        """Short names of `metrics`, each once."""
        return short_names(self.metrics, {"run", *self.varied})

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
            # A heading of two lines where a name has two parts, as in conflict_rate/text.
            heads = [re.fullmatch(r"(?:(.*[./]))?(.*)", name) for name in self.table.columns]
            lines = aligned([[head[1] or "" for head in heads if head], [head[2] for head in heads if head], *rows])
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
        lacking = [metric for metric in chosen if metric not in run.metrics]
        if lacking:
            what = "all of these metrics" if len(lacking) == len(chosen) else ", ".join(lacking)
            notes.append(f"{run.name} lacks {what}.")
    told = {note.partition(" is not finished")[0] for note in notes}  # a sweep says more of its points
    notes += [f"{run.name}: {name} failed." for run in runs for name in run.failed if run.name not in told]
    notes += [f"{run.name}: a training of {name} was interrupted." for run in runs for name in run.interrupted]
    notes += [f"{run.name}: {sentence}" for run in runs for sentence in run.said_skips()]
    return RunComparison(tuple(runs), tuple(varied_settings(runs)), tuple(chosen), tuple(notes))


def find_runs(folders: Sequence[Path]) -> tuple[list[RunRecord], list[str]]:
    """The runs in these folders, and sentences about what is missing.

    A folder that is no run but holds some, as that of a sweep does, stands for all of them. Every run is named by the
    end of its path that tells it from the others. Raises DataError for a folder that holds no run.
    """
    paths: dict[Path, None] = {}  # in order, each once
    notes = []
    for given in folders:
        folder = given.resolve()
        if is_run(folder):
            paths[folder] = None
            continue
        inside = sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
        book = Run(folder).sweep().get("points", [])
        order = {folder / point["name"]: place for place, point in enumerate(book)}
        paths |= dict.fromkeys(sorted(inside, key=lambda path: (order.get(path, len(order)), path)))
        for point in book:
            if point["state"] != "done":
                why = f" ({point['error']})" if point.get("error") else ""
                notes.append(f"{point['name']} is not finished: {point['state']}{why}.")
        if not inside:
            raise DataError("this folder holds no run", file=given, fix="name one that macrec run or sweep has made")
    return [read_run(path, name) for path, name in zip(paths, path_names(list(paths)), strict=True)], notes


def is_run(folder: Path) -> bool:
    """Whether this is the folder of a run in which a notebook has finished or failed."""
    return (folder / "run.json").is_file()


def path_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ."""
    longest = max((len(path.parts) for path in paths), default=1)
    for length in range(1, longest + 1):
        names = [Path(*path.parts[-length:]).as_posix() for path in paths]
        if len(set(names)) == len(names):
            break
    return names


def read_run(folder: Path, name: str = "") -> RunRecord:
    """Read the folder of a run. Raises DataError when it is none, or when its files cannot be read."""
    if not is_run(folder):
        raise DataError("this folder is no run", file=folder, fix="name one that macrec run or sweep has made")
    manifest, recorded = Run(folder).manifest(), Run(folder).metrics()
    settings: dict[str, Any] = {}
    given: dict[str, Any] = dict(manifest.get("parameters", {}))  # of notebooks that failed; the finished ones know
    for notebook in (folder / f"{stem}.ipynb" for stem in sorted(manifest.get("seconds", {}))):
        if notebook.exists():
            settings |= declared_parameters(notebook)
            given |= read_notebook(notebook)["metadata"].get("papermill", {}).get("parameters", {})
    settings = {key: value for key, value in (settings | given).items() if key not in HOW}
    weight = settings.get("lambda_con")
    return RunRecord(
        name or folder.resolve().name,
        folder,
        settings,
        flatten(recorded, float(weight) if isinstance(weight, int | float) else None),
        float(sum(manifest.get("seconds", {}).values())),
        tuple(notebook for notebook, record in recorded.items() if record.get("stopped") is True),
        tuple(sorted(file.name.removesuffix(".failed.ipynb") for file in folder.glob("*.failed.ipynb"))),
        manifest.get("skipped", {}),
    )


def flatten(recorded: Mapping[str, Any], lambda_con: float | None = None) -> dict[str, float]:
    """All finite numbers of nested records by dotted names; what was set rather than measured is left out.

    Rows of a list are named by their texts and their level; rows of one name, as several seeds give, are averaged.
    `lambda_con`: the weight whose codebooks are called the same in every run.

    >>> flatten({"a": {"x": 1}, "rows": [{"system": "S", "seed": s, "hit": s} for s in (0, 1)]})
    {'a.x': 1.0, 'rows.S.hit': 0.5}
    """
    metrics: dict[str, list[float]] = defaultdict(list)
    for name, value in _numbers(recorded, ""):
        own = f".cross-modal λ={lambda_con:g}." if lambda_con is not None else None
        metrics[name.replace(own, f".{OWN}.") if own else name].append(value)
    return {name: fmean(values) for name, values in metrics.items()}


def _numbers(value: Any, name: str) -> Iterator[tuple[str, float]]:
    """Every number inside `value` with the path to it."""
    if isinstance(value, bool):
        return
    if isinstance(value, int | float) and math.isfinite(value):
        yield name, float(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in ("settings", "generator"):
                yield from _numbers(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for row in value:
            if isinstance(row, Mapping):
                named = {key: part for key, part in row.items() if isinstance(part, str) or key in ("seed", "level")}
                words = [str(part) for key, part in named.items() if part != "" and key != "seed"]
                yield from _numbers(
                    {key: part for key, part in row.items() if key not in named}, ".".join([name, *words])
                )


def choose_metrics(runs: Sequence[RunRecord], asked: Sequence[str] = ()) -> list[str]:
    """The metrics to show: those whose names hold one of `asked`, whatever the case, else the main ones.

    Where no run has a main one, the first few that differ among the runs that have them. Raises DataError for one asked
    for that no run has.
    """
    every = list(dict.fromkeys(name for run in runs for name in run.metrics))
    chosen: list[str] = []
    for part in asked:
        fitting = [name for name in every if part.lower() in name.lower()]
        if not fitting:
            ends = sorted({name.rpartition(".")[2] for name in every})
            raise DataError(f'no run has a metric "{part}"', fix=f"choose from {', '.join(ends)}")
        exact = [name for name in fitting if name == part]
        chosen += exact or fitting
    if not asked:
        chosen = [name for pattern in MAIN for name in every if fnmatchcase(name, pattern)]
        differing = (name for name in every if len({run.metrics[name] for run in runs if name in run.metrics}) > 1)
        chosen = chosen or list(islice(differing, MOST))
        chosen = chosen or every[:MOST]
    return list(dict.fromkeys(chosen))


def varied_settings(runs: Sequence[RunRecord]) -> list[str]:
    """The parameters in which the runs differ; one that a run does not have differs too, unless none has another."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    return [
        name for name in names if len({repr(run.settings[name]) for run in runs if name in run.settings}) > 1
    ]  # fmt: skip


def short_names(names: Sequence[str], taken: set[str]) -> tuple[str, ...]:
    """The shortest dotted end of each name that no other has, and that is not `taken`."""

    def ends(name: str) -> Iterator[str]:
        parts = name.split(".")
        yield from (".".join(parts[-length:]) for length in range(1, len(parts) + 1))

    short = []
    for name in names:
        others = [other for other in names if other != name]
        free = (
            end
            for end in ends(name)
            if end not in taken and not any(f".{other}".endswith(f".{end}") for other in others)
        )
        short.append(next(free, name))
    return tuple(short)


def spoken(value: Any) -> str:
    """A value as tables show it."""
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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
