"""The report: one run, or several and what sets them apart, as a single offline page that can be mailed."""

from __future__ import annotations

import html
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from macrec.errors import DataError
from macrec.viz.page import Page, check_page
from macrec.viz.tables import table_html
from macrec.viz.views.run_board import run_board, run_table
from macrec.workbench.compare_runs import RunComparison, RunRecord, compare_runs
from macrec.workbench.executed import Executed, code_html, markdown_html, output_html, read_executed, tags
from macrec.workbench.run import Run, project_root, runs_in

MAILABLE = 20_000_000
"""Bytes that mail servers commonly take; plotly's script is 5 MB of them."""

FIRST = ("dataset", "profile", "seed")
"""Parameters that a summary names even where they are at their defaults."""

FOREIGN = (
    "This notebook was not executed on this machine. "
    "Its figures are drawn anew, and views that run scripts are left out."
)

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
    page = Page(_title(folders), _lead(comparison.runs, notebooks))
    add = _one if len(comparison.runs) == 1 else _several
    left_out = add(page, comparison, notebooks, limit)
    if left_out:
        page.heading("Left out")
        page.text(
            f"A page above {limit / 1e6:,.0f} MB is too large to mail. What did not fit is in the folders of "
            f"the runs: {', '.join(left_out)}."
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


def _lead(runs: Sequence[RunRecord], notebooks: Notebooks) -> str:
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


def _one(page: Page, comparison: RunComparison, notebooks: Notebooks, limit: int) -> list[str]:
    """A single run: what it was, what it measured, its notebooks. Returns what was left out."""
    run = comparison.runs[0]
    seconds = Run(run.folder).manifest().get("seconds", {})
    page.heading("Summary")
    _settings(page, comparison, notebooks)
    rows = [
        {"question": one.title, "file": one.file.name, "seconds": f"{seconds[one.name]:,.1f}"}
        for one in notebooks[run.name]
        if one.name in seconds
    ]
    if rows:
        page.html(table_html(pl.DataFrame(rows), "Seconds of every notebook."))
    page.text(*run.said_skips())
    page.heading("Metrics")
    _metrics(page, comparison)
    left_out = []
    for one in notebooks[run.name]:
        pieces = list(cell_pieces(one, 1))
        if _fits(page, pieces, limit):
            page.heading(_called(one))
            _add(page, pieces)
        else:
            left_out.append(one.file.name)
    return left_out


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
    left_out = []
    for number, run in enumerate(comparison.runs):
        page.heading(run.name, 3, anchor=f"run-{number}")
        varied = ", ".join(f"{name} = {_spelled(run.settings.get(name))}" for name in comparison.varied)
        page.text(f"{varied}; {run.seconds:,.0f} seconds." if varied else f"{run.seconds:,.0f} seconds.")
        for one in notebooks[run.name]:
            pieces = list(cell_pieces(one, 2))
            if _fits(page, pieces, limit):
                with page.folded(_called(one)):
                    _add(page, pieces)
            else:
                left_out.append(f"{run.name}/{one.file.name}")
    return left_out


def _settings(page: Page, comparison: RunComparison, notebooks: Notebooks) -> None:
    """The parameters all runs share, seeds among them, and the environments they ran in."""
    given = {name for own in notebooks.values() for one in own for name in one.given}
    every = {name: value for run in comparison.runs for name, value in run.settings.items()}
    settings = {name: value for name, value in every.items() if name not in comparison.varied}
    first = [name for name in settings if name in given or name in FIRST]
    rows = [
        {"parameter": name, "value": _spelled(settings[name]), "set by": "the run" if name in given else "default"}
        for name in (*first, *sorted(set(settings) - set(first)))
    ]
    if rows:
        page.html(table_html(pl.DataFrame(rows[: len(first)]), "Parameters of the run."))
    if rows[len(first) :]:
        with page.folded(f"{len(rows) - len(first)} parameters more, all at the notebooks' defaults"):
            page.html(table_html(pl.DataFrame(rows[len(first) :]), "The defaults are in the notebooks' first cells."))
    environments = (Run(run.folder).manifest().get("environment", {}) for run in comparison.runs)
    page.text(*dict.fromkeys(_spelled_environment(about) for about in environments if about))


def _spelled(value: Any) -> str:
    """A parameter's value as one writes it in a notebook."""
    return "–" if value is None else repr(value)


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
    parted = [name.partition(".") for name in comparison.metrics]
    main = {
        "metric": [name for _, _, name in parted],
        "value": [recorded["".join(parts)] for parts in parted],
        "recorded by": [f"notebook {notebook[:2]}" for notebook, _, _ in parted],
    }
    page.html(table_html(pl.DataFrame(main), "The main metrics."))
    notebooks = dict.fromkeys(name.partition(".")[0] for name in recorded)
    with page.folded(f"All {len(recorded):,} numbers of metrics.json"):
        for notebook in notebooks:
            own = {name.partition(".")[2]: value for name, value in recorded.items() if name.startswith(f"{notebook}.")}
            page.html(table_html(pl.DataFrame({"metric": own.keys(), "value": own.values()}), f"From {notebook}."))


def _called(one: Executed) -> str:
    """A notebook's heading: its number and question."""
    return f"{one.name[:2]} · {one.title}" + (" (failed)" if one.failed else "")


def cell_pieces(one: Executed, deeper: int) -> Iterator[tuple[bool, str]]:
    """The cells of a notebook as HTML, each piece with whether it is an output.

    Text and outputs are unfolded, code is folded. Its title and injected parameters are left to the caller's headings.
    What comes after a failing cell, or after one with which the kernel died, was not run, and is not shown.
    """
    if one.given:
        given = ", ".join(
            f"<code>{html.escape(f'{name} = {_spelled(value)}')}</code>" for name, value in one.given.items()
        )
        yield False, f"<p>Parameters set by the run: {given}.</p>"
    if one.foreign:
        yield False, f"<p>{FOREIGN}</p>"
    titled = False
    raised = any(output.output_type == "error" for cell in one.cells for output in cell.get("outputs", []))
    for place, cell in enumerate(one.cells):
        if cell.cell_type == "markdown":
            lines = cell.source.strip().split("\n")
            if not titled and lines[0].lstrip("# ").strip() == one.title:
                titled, lines = True, lines[1:]
            yield False, markdown_html("\n".join(lines), deeper, one.foreign)
        if cell.cell_type != "code" or "injected-parameters" in tags(cell):
            continue
        yield False, code_html(cell.source)
        yield from ((True, output_html(output, one.foreign)) for output in cell.outputs)
        died = one.failed and not raised and cell.execution_count is None and cell.source.strip()
        if died:
            yield False, markdown_html("**The kernel died in this cell, most often for want of memory.**")
        if died or any(output.output_type == "error" for output in cell.outputs):
            rest = sum(later.cell_type == "code" for later in one.cells[place + 1 :])
            yield False, markdown_html(f"Code cells after it that were not run: {rest}." if rest else "")
            return


def _fits(page: Page, pieces: list[tuple[bool, str]], limit: int) -> bool:
    return page.size(*(piece for _, piece in pieces)) <= limit


def _add(page: Page, pieces: list[tuple[bool, str]]) -> None:
    for shown, piece in pieces:
        if shown:
            page.html(piece)
        else:
            page.raw(piece)
