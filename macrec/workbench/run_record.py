"""A run as it was read: its parameters, what it measured, what is missing of it; and the runs in a folder.

Parameters come from the executed notebooks themselves, so defaults count as well; metrics from metrics.json.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from macrec.errors import DataError
from macrec.evaluation.metric_names import OWN_WEIGHT
from macrec.workbench.notebooks import read_notebook
from macrec.workbench.parameters import HOW, declared_parameters
from macrec.workbench.run import Run

EVALUATION = "08_evaluation"
"""The notebook that compares the systems."""


@dataclass(frozen=True)
class RunRecord:
    """One run as it was read: `settings` are the parameters in effect, `metrics` flat with dotted names.

    `interrupted` and `failed` name the notebooks of which a training was interrupted, and those that failed; `skipped`
    those that the data lack something for, with the sentence that says what. `reference`: the system that notebook 08
    compared the others with, "" without an evaluation.
    """

    name: str
    folder: Path
    settings: dict[str, Any]
    metrics: dict[str, float]
    seconds: float
    interrupted: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    reference: str = ""

    def said_skips(self) -> list[str]:
        """A sentence for every reason why notebooks were skipped."""
        reasons: dict[str, list[str]] = {}
        for notebook, why in self.skipped.items():
            reasons.setdefault(why, []).append(notebook)
        return [f"{', '.join(notebooks)} skipped: {why}" for why, notebooks in reasons.items()]


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
        str(recorded.get(EVALUATION, {}).get("reference", "")),
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
        metrics[name.replace(own, f".{OWN_WEIGHT}.") if own else name].append(value)
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
