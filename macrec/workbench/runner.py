"""Executing notebooks in order, headless, with papermill: the same cells as in JupyterLab."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from macrec.errors import DataError
from macrec.files import check_replaceable, write_json
from macrec.lock import locked
from macrec.workbench.execution import NotebookError, Skipped, Step, Watched, execute, trust
from macrec.workbench.experiment_file import NAME, write_experiment
from macrec.workbench.file_parameters import located
from macrec.workbench.notebooks import read_cells, read_notebook, source_of, was_executed
from macrec.workbench.parameters import Parameters, check_parameters, declared_parameters, given_parameters
from macrec.workbench.run import Run, environment, new_folder, next_end_number


def is_finished(folder: Path, notebook: Path, parameters: Parameters) -> bool:
    """Whether the run in `folder` holds this notebook, executed to its end from the same cells and parameters.

    The executed notebook itself is the record, once run.json names it; one that was skipped for the same parameters
    counts as well. What lies outside it (library, dataset files) is not looked at. Raises DataError for a damaged file.
    """
    executed, manifest = folder / notebook.name, Run(folder).manifest()
    if notebook.stem in manifest.get("skipped", {}):
        return bool(manifest.get("parameters") == parameters)
    if not executed.exists() or notebook.stem not in manifest.get("seconds", {}):
        return False
    executed_notebook = read_notebook(executed)
    before = executed_notebook["metadata"].get("papermill", {}).get("parameters", {})
    given = given_parameters(parameters, declared_parameters(notebook), folder)
    own = [cell for cell in executed_notebook["cells"] if "injected-parameters" not in cell["metadata"].get("tags", ())]
    same_cells = [*map(source_of, own)] == [*map(source_of, read_cells(notebook))]
    return same_cells and before | {"out": ""} == given | {"out": ""}


def check_folder(folder: Path, notebooks: Sequence[Path]) -> None:
    """Raise DataError for a folder in which the notebooks themselves would be overwritten."""
    if folder.resolve() in {path.resolve().parent for path in notebooks}:
        raise DataError("the notebooks themselves lie in this folder", file=folder, fix="name another with --out")


LOCK = ".run.lock"
"""The file that is locked in the folder of a run while notebooks are executed into it."""


def put_away(folder: Path) -> None:
    """Remove the folder of a run in which no file was left, with its lock, which is held."""
    artifacts = folder / "artifacts"
    ours = {path.name for path in folder.iterdir()} <= {LOCK, artifacts.name}
    if ours and all(path.is_dir() for path in artifacts.rglob("*")):
        shutil.rmtree(artifacts, ignore_errors=True)
        (folder / LOCK).unlink()
        folder.rmdir()


def run_notebooks(
    notebooks: Sequence[Path],
    out: Path | None,
    parameters: Parameters,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
    watch: Callable[[Step], None] = lambda step: None,
) -> Run:
    """Execute notebooks in order into the run folder `out` (default: a new one in runs/), each on its own.

    Parameters go to every notebook that declares them; paths among them are meant from the current folder. They are
    written to parameters.toml, with which the run can be repeated (`macrec.workbench.experiment_file`). `say` is
    told of every notebook that ends, `watch` of every notebook and code cell that begins; `progress` shows a bar of the
    cells.

    A notebook that the data lack something for (NotApplicable) is skipped, and run.json keeps the sentence that says
    why. One that fails, by a cell that raised or a kernel that died or fell silent, is kept as NAME.failed.ipynb, never
    under the name of a finished one; the others are run all the same, and NotebookError names what failed at the end.
    Raises DataError before anything runs for parameters that fit no notebook and for the notebooks' own folder, and at
    once for a DataError inside a cell, of which nothing is kept. While another run works in the same folder it is
    waited for, and `say` is called with the holder.
    """
    logging.getLogger("papermill").setLevel(logging.ERROR)
    declared = {path: declared_parameters(path) for path in notebooks}
    check_parameters(parameters, declared)
    parameters = located(parameters)
    if out is not None:
        check_folder(out, notebooks)
    run = Run.open(str((out or new_folder()).resolve()))
    with locked(run.folder / LOCK, "a run", lambda who: say(f"waiting for {who}, which holds {run.folder}")):
        try:
            failures = execute_all(notebooks, run, parameters, declared, say, progress, watch)
        finally:
            put_away(run.folder)
    if failures:
        raise NotebookError("\n".join(failures))
    return run


def execute_all(
    notebooks: Sequence[Path],
    run: Run,
    parameters: Parameters,
    declared: Mapping[Path, Parameters],
    say: Callable[[str], None],
    progress: bool,
    watch: Callable[[Step], None],
) -> list[str]:
    """The work of `run_notebooks` in a locked folder: returns a sentence per failure."""
    for notebook in notebooks:
        check_replaceable(run.folder / notebook.name, ours=was_executed)
    run.metrics()  # a damaged file is named now, rather than when the first numbers are there
    before = run.manifest()
    manifest = {"seconds": {}, "skipped": {}, **before, "parameters": parameters, "environment": environment()}
    names = {path.stem for path in notebooks}
    if before.get("parameters") == parameters:  # the run goes on
        names |= {*before.get("seconds", {}), *before.get("skipped", {})}
    failures = []
    for number, notebook in enumerate(notebooks, 1):
        unfinished = run.folder / f".{notebook.stem}.unfinished.ipynb"
        failed, final = run.folder / f"{notebook.stem}.failed.ipynb", run.folder / notebook.name
        given = given_parameters(parameters, declared[notebook], run.folder)
        cells = len(read_cells(notebook)) + bool(given)  # papermill adds a cell with the parameters
        watched = Watched(Step(notebook.stem, number, len(notebooks), 0, cells), watch)
        start = time.perf_counter()
        try:
            execute(notebook, unfinished, given, watched, progress)
            trust(unfinished)
            unfinished.replace(final)
        except Skipped as skipped:
            for file in (final, failed):  # of other data
                file.unlink(missing_ok=True)
            run.forget(notebook.stem)
            manifest["seconds"].pop(notebook.stem, None)
            manifest["skipped"][notebook.stem] = str(skipped)
            say(f"{notebook.stem}: skipped: {skipped}")
        except NotebookError as error:
            if unfinished.exists():
                unfinished.replace(failed)
            failures.append(f"{error} (kept: {failed})" if failed.exists() else str(error))
            if number < len(notebooks):
                say(f"{notebook.stem}: failed, the others are run all the same")
        else:
            failed.unlink(missing_ok=True)
            manifest["skipped"].pop(notebook.stem, None)
            manifest["seconds"][notebook.stem] = round(time.perf_counter() - start, 1)
            say(f"{notebook.stem}: {manifest['seconds'][notebook.stem]} s, {final}")
        finally:
            unfinished.unlink(missing_ok=True)
        manifest["ended"] = next_end_number(run.folder)
        write_json(run.folder / "run.json", manifest)  # a run whose notebooks failed can be reported, too
        write_experiment(run.folder / NAME, names, parameters, "run")
    return failures
