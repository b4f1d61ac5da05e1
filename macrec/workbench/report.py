"""The report: one run, or several and what sets them apart, as a single offline page that can be mailed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from macrec.errors import DataError
from macrec.evaluation.metric_names import metric_names
from macrec.viz.figures.results import results_table
from macrec.viz.figures.system_bars import system_bars
from macrec.viz.page import Page, check_page
from macrec.viz.tables import table_html
from macrec.viz.views.run_board import run_board, run_table
from macrec.workbench.answer import Answer, left_out
from macrec.workbench.compare_runs import RunComparison, compare_runs
from macrec.workbench.executed import Executed, cell_pieces, read_executed, spelled
from macrec.workbench.run import Run, project_root, runs_in
from macrec.workbench.run_record import RunRecord

MAILABLE = 20_000_000
"""Bytes that mail servers commonly take; plotly's script is 5 MB of them."""

FIRST = ("dataset", "profile", "seed")
"""Parameters that a summary names even where they are at their defaults."""

Notebooks = dict[str, list[Executed]]
"""The executed notebooks of every run, by the run's name."""


def write_report(folders: Sequence[Path], out: Path, limit: int = MAILABLE) -> Path:
    """Write the report of runs, or of the folders that hold them, to the file `out`, all or nothing; return its path.

    One run is unfolded, notebook by notebook. Several are compared first, and their notebooks are folded. Notebooks
    that would make the page larger than `limit` bytes are left out and named. Raises DataError for a folder that is no
    run, for a file among its notebooks that is none, and where `out` is no report that was written before.
    """
    check_page(out)
    comparison = compare_runs(folders)
    notebooks = {run.name: [read_executed(file) for file in notebook_files(run.folder)] for run in comparison.runs}
    title, about = _title(folders), _about(comparison.runs, notebooks)
    if len(comparison.runs) == 1:
        answer = Answer.of(comparison.runs[0])
        page = Page(title, "\n".join(answer.winners()))
        too_large = _one(page, answer, about, comparison, notebooks, limit)
    else:
        page = Page(title, about)
        too_large = _several(page, comparison, notebooks, limit)
    if too_large:
        page.heading("Left out")
        page.text(
            f"A page above {limit / 1e6:,.0f} MB is too large to mail. What did not fit is in the folders of "
            f"the runs: {', '.join(too_large)}."
        )
    return page.write(out)


def newest_run() -> Path:
    """The folder in runs/ in which a notebook, or a sweep, has ended last (`runs_in`). Raises DataError without any."""
    runs = project_root() / "runs"
    if not (written := runs_in(runs)):
        raise DataError("there is no run in runs/", fix="name its folder, or make one with macrec run")
    return written[-1].parent


def report_file(folders: Sequence[Path]) -> Path:
    """Where the report of these folders goes: into the folder, or into the one that holds them all."""
    return Path(os.path.commonpath([folder.resolve() for folder in folders])) / "report.html"


def notebook_files(folder: Path) -> list[Path]:
    """The executed notebooks of a run, in order."""
    return sorted(file for file in folder.glob("*.ipynb") if not file.name.startswith("."))


def _title(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - 3} more" if len(folders) > 3 else ""
    return f"macrec: {', '.join(folder.resolve().name for folder in folders[:3])}{more}"


def _about(runs: Sequence[RunRecord], notebooks: Notebooks) -> str:
    """How much, how long and when, in one or two sentences."""
    every = [notebook for own in notebooks.values() for notebook in own]
    ended = max((notebook.finished for notebook in every), default="")
    when = f", finished on {ended[:10]} at {ended[11:16]} UTC" if ended else ""
    what = f"{len(runs)} runs, {len(every)}" if len(runs) > 1 else f"{len(every)}"
    plural = "" if len(every) == 1 else "s"
    failed = ", ".join(f"{name}/{one.file.name}" for name, own in notebooks.items() for one in own if one.failed)
    wrong = f" Failed: {failed}." if failed else ""
    skipped = sum(len(run.skipped) for run in runs)
    wrong += f" Skipped, as the data lack something: {skipped}." if skipped else ""
    return f"{what} executed notebook{plural}, {sum(run.seconds for run in runs):,.0f} seconds in all{when}.{wrong}"


def _one(
    page: Page, answer: Answer, about: str, comparison: RunComparison, notebooks: Notebooks, limit: int
) -> list[str]:
    """A single run: its answer, what it was, what it measured, its notebooks. Returns what was left out."""
    run = answer.run
    page.heading("Which recommender wins?")
    _answer(page, answer, left_out(run, notebooks[run.name]))
    seconds = Run(run.folder).manifest().get("seconds", {})
    page.heading("Summary")
    page.text(about)
    _settings(page, comparison, notebooks)
    rows = [
        {"question": one.title, "file": one.file.name, "seconds": f"{seconds[one.name]:,.1f}"}
        for one in notebooks[run.name]
        if one.name in seconds
    ]
    if rows:
        page.html(table_html(pl.DataFrame(rows), "Seconds of every notebook."))
    page.heading("Metrics")
    _metrics(page, comparison)
    too_large = []
    for one in notebooks[run.name]:
        pieces = list(cell_pieces(one, 1))
        if _fits(page, pieces, limit):
            page.heading(one.heading)
            _add(page, pieces)
        else:
            too_large.append(one.file.name)
    return too_large


def _answer(page: Page, answer: Answer, missing: Sequence[str]) -> None:
    """The picture and the table of the systems, what each part gave, and what is missing."""
    if record := answer.evaluation:
        page.figure(*system_bars(record["systems"], answer.differences, answer.reference))
        page.html(table_html(results_table(answer.rows, answer.columns), record.get("caption", "")))
    if parts := answer.parts():
        page.heading("What each part gives", 3)
        page.points(*(f"{name}: {sentence}" for name, sentence in parts))
    if missing:
        page.heading("Skipped or left out", 3)
        page.points(*missing)


def _several(page: Page, comparison: RunComparison, notebooks: Notebooks, limit: int) -> list[str]:
    """Several runs: the board, what they share, and each with its notebooks folded. Returns what was left out."""
    links = {run.name: f"#run-{number}" for number, run in enumerate(comparison.runs)}
    page.heading("The runs compared")
    if comparison.labels:
        page.figure(*run_board(comparison.table, comparison.varied, comparison.labels, links))
        page.html(run_table(comparison.table, comparison.varied, comparison.labels, links))
    page.text(*comparison.notes)
    page.heading("What the runs share")
    _settings(page, comparison, notebooks)
    page.heading("The runs")
    too_large = []
    for number, run in enumerate(comparison.runs):
        page.heading(run.name, 3, anchor=f"run-{number}")
        varied = ", ".join(f"{name} = {spelled(run.settings.get(name))}" for name in comparison.varied)
        page.text(f"{varied}; {run.seconds:,.0f} seconds." if varied else f"{run.seconds:,.0f} seconds.")
        if (answer := Answer.of(run)).evaluation:
            page.text(*answer.winners())
        for one in notebooks[run.name]:
            pieces = list(cell_pieces(one, 2))
            if _fits(page, pieces, limit):
                with page.folded(one.heading):
                    _add(page, pieces)
            else:
                too_large.append(f"{run.name}/{one.file.name}")
    return too_large


def _settings(page: Page, comparison: RunComparison, notebooks: Notebooks) -> None:
    """The parameters all runs share, seeds among them, and the environments they ran in."""
    given = {name for own in notebooks.values() for one in own for name in one.given}
    every = {name: value for run in comparison.runs for name, value in run.settings.items()}
    settings = {name: value for name, value in every.items() if name not in comparison.varied}
    first = [name for name in settings if name in given or name in FIRST]
    rows = [
        {"parameter": name, "value": spelled(settings[name]), "set by": "the run" if name in given else "default"}
        for name in (*first, *sorted(set(settings) - set(first)))
    ]
    if rows:
        page.html(table_html(pl.DataFrame(rows[: len(first)]), "Parameters of the run."))
    if rows[len(first) :]:
        with page.folded(f"{len(rows) - len(first)} parameters more, all at the notebooks' defaults"):
            page.html(table_html(pl.DataFrame(rows[len(first) :]), "The defaults are in the notebooks' first cells."))
    environments = (Run(run.folder).manifest().get("environment", {}) for run in comparison.runs)
    page.text(*dict.fromkeys(_spelled_environment(about) for about in environments if about))


def _spelled_environment(about: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    code = f"commit {about['commit']}" if about["commit"] else "no commit: macrec was not run from a checkout"
    return f"Code: {code}. Python {about['python']} on {about['system']} with {packages}."


def _metrics(page: Page, comparison: RunComparison) -> None:
    """The main metrics of a single run, and all others folded."""
    recorded = comparison.runs[0].metrics
    if not recorded:
        page.text("This run recorded no metrics.")
        return
    main = {
        "metric": comparison.labels,
        "value": [recorded[name] for name in comparison.metrics],
        "recorded by": [f"notebook {name[:2]}" for name in comparison.metrics],
    }
    page.html(table_html(pl.DataFrame(main), "The main metrics."))
    notebooks = dict.fromkeys(name.partition(".")[0] for name in recorded)
    with page.folded(f"All {len(recorded):,} numbers of metrics.json"):
        for notebook in notebooks:
            own = {name: value for name, value in recorded.items() if name.partition(".")[0] == notebook}
            table = pl.DataFrame({"metric": metric_names(list(own)), "value": list(own.values())})
            page.html(table_html(table, f"Recorded by {notebook}."))


def _fits(page: Page, pieces: list[tuple[bool, str]], limit: int) -> bool:
    return page.size(*(piece for _, piece in pieces)) <= limit


def _add(page: Page, pieces: list[tuple[bool, str]]) -> None:
    for shown, piece in pieces:
        if shown:
            page.html(piece)
        else:
            page.raw(piece)
