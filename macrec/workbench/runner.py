"""Executing notebooks in order, headless, with papermill: the same cells that people run in JupyterLab."""

from __future__ import annotations

import ast
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.files import check_replaceable, write_json
from macrec.lock import locked
from macrec.workbench.execution import NotebookError, Skipped, Step, Watched, execute, trust
from macrec.workbench.file_parameters import located
from macrec.workbench.run import Run, environment, new_folder, next_ended, project_root
from macrec.workbench.run_files import NOTEBOOK, read_object

Parameters = dict[str, Any]
HOW = ("live", "out")
"""Parameters that say how a notebook runs and not what it computes."""


def find_notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The project's notebooks in order, or those whose name begins with one of `names` ("01", "02_embeddings").

    Raises DataError for a name that fits none, and for a notebook file that lies elsewhere.
    """
    folder = project_root() / "notebooks"
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise DataError("there are no notebooks", file=folder, fix="run macrec from a checkout of the project")
    for name in names:
        elsewhere = Path(name).resolve().parent != folder.resolve()
        if name.endswith(".ipynb") and elsewhere and (Path(name).exists() or Path(name).name != name):
            raise DataError("this is none of the project's notebooks", file=name, fix=f"put it into {folder}")
        if not Path(name).name or not any(path.name.startswith(Path(name).name) for path in every):
            known = ", ".join(path.stem for path in every)
            raise DataError(f'no notebook is called "{name}"', file=folder, fix=f"choose from {known}")
    return [path for path in every if not names or any(path.name.startswith(Path(name).name) for name in names)]


def parse_parameters(texts: Sequence[str], as_text: Collection[str] = ()) -> Parameters:
    """Read `name=value` pairs; a value that is a Python or JSON literal becomes one, anything else stays text.

    The values of the names in `as_text` always stay as they are written (but for quotes around them). Raises DataError
    for what is no such pair, and for a parameter that is given twice.

    >>> parse_parameters(["seed=3", "live=false", "rate=1e-3", "dataset=curio:tiny"])
    {'seed': 3, 'live': False, 'rate': 0.001, 'dataset': 'curio:tiny'}
    """
    words = {"true": True, "false": False, "none": None, "null": None}
    parameters: Parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise DataError(f'"{text}" is not a parameter', fix="write it as name=value, without spaces")
        if name in parameters:
            raise DataError(f'the parameter "{name}" is given twice', fix="give it once")
        if name not in as_text and value.lower() in words:
            parameters[name] = words[value.lower()]
            continue
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval may raise
            parameters[name] = value
        if name in as_text and not isinstance(parameters[name], str):
            parameters[name] = value
    return parameters


def declared_parameters(notebook: Path) -> Parameters:
    """Names and default values of a notebook's cell tagged `parameters` (flat literals); none without such a cell.

    Raises DataError for a cell that assigns anything else.
    """
    for number, cell in enumerate(read_cells(notebook), 1):
        if "parameters" in cell["metadata"].get("tags", ()):
            try:
                return {
                    target.id: ast.literal_eval(line.value)
                    for line in ast.parse(source_of(cell)).body
                    if isinstance(line, ast.Assign)
                    for target in line.targets
                    if isinstance(target, ast.Name)
                }
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                what, fix = (
                    f"a parameter has no plain value ({error})",
                    "write each as name = number, text, True or False",
                )
                raise DataError(what, file=notebook, row=f"cell {number}", fix=fix) from error
    return {}


def read_cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file. Raises DataError for a file that is none."""
    cells: list[dict[str, Any]] = read_notebook(notebook)["cells"]
    return cells


def read_notebook(file: Path) -> dict[str, Any]:
    """The content of a notebook file. Raises DataError for a file that is none."""
    return read_object(file, NOTEBOOK, "this is no notebook", "remove it")


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, which files keep as one text or as a list of lines."""
    return "".join(cell["source"])


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
    found = read_notebook(executed)
    before = found["metadata"].get("papermill", {}).get("parameters", {})
    given = given_parameters(parameters, declared_parameters(notebook), folder)
    own = [cell for cell in found["cells"] if "injected-parameters" not in cell["metadata"].get("tags", ())]
    same_cells = [*map(source_of, own)] == [*map(source_of, read_cells(notebook))]
    return same_cells and before | {"out": ""} == given | {"out": ""}


def given_parameters(parameters: Parameters, declared: Parameters, folder: Path) -> Parameters:
    """What is handed to a notebook that declares `declared` when it is run headless into `folder`."""
    values = {"live": False, **parameters, "out": str(folder)}
    return {name: value for name, value in values.items() if name in declared}


def text_parameters(notebooks: Sequence[Path]) -> set[str]:
    """The names of the parameters of these notebooks whose default is text."""
    defaults = (declared_parameters(notebook) for notebook in notebooks)
    return {name for declared in defaults for name, default in declared.items() if isinstance(default, str)}


def check_parameters(parameters: Parameters, declared: dict[Path, Parameters]) -> None:
    """Raise DataError for a parameter that no notebook declares, or whose type is not that of its default."""
    known = {name: default for defaults in declared.values() for name, default in defaults.items()}
    for name, value in parameters.items():
        if name == "out":
            raise DataError('"out" is set by the run itself', fix="name the folder with --out")
        if name not in known:
            raise DataError(f'no notebook has a parameter "{name}"', fix=f"choose from {', '.join(sorted(known))}")
        wanted = type(known[name])
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        if not (fits or (wanted is float and isinstance(value, int) and not isinstance(value, bool))):
            several = ", or several values to macrec sweep" if isinstance(value, tuple) else ""
            raise DataError(
                f"the parameter {name} takes {wanted.__name__}, not {type(value).__name__} ({value!r:.60})",
                fix=f"give a value like the default {known[name]!r}{several}",
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"the parameter {name} cannot be {value}", fix="give a finite number")


def was_executed(notebook: Path) -> bool:
    """Whether a notebook file was written by an execution, as those of a run are, and not by hand."""
    return bool(read_notebook(notebook)["metadata"].get("papermill"))


def check_folder(folder: Path, notebooks: Sequence[Path]) -> None:
    """Raise DataError for a folder in which the notebooks themselves would be overwritten."""
    if folder.resolve() in {path.resolve().parent for path in notebooks}:
        raise DataError("the notebooks themselves lie in this folder", file=folder, fix="name another with --out")


LOCK = ".run.lock"
"""The file that is locked in the folder of a run while notebooks are executed into it."""


def put_away(folder: Path) -> None:
    """Remove the folder of a run in which nothing was left, with its lock, which is held."""
    if not {file.name for file in folder.iterdir()} - {LOCK}:
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

    Parameters go to every notebook that declares them; paths among them are meant from the current folder. `say` is
    told of every notebook that ends, `watch` of every notebook and code cell that begins; `progress` shows a bar of the
    cells.

    A notebook that the data lack something for (NotApplicable) is skipped, and run.json keeps the sentence that says
    why. One that fails, by a cell that raised or a kernel that died or fell silent, is kept as NAME.failed.ipynb, never
    under the name of a finished one; the others are run all the same, and NotebookError names what failed at the end.
    Raises DataError before anything runs for parameters that fit no notebook and for the notebooks' own folder, and at
    once for a DataError inside a cell, of which nothing is kept. While another run works in the same folder it is
    waited for, and `say` is told so.
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
    """The work of `run_notebooks` in a folder that nobody else works in: returns a sentence of every failure."""
    for notebook in notebooks:
        check_replaceable(run.folder / notebook.name, ours=was_executed)
    run.metrics()  # a damaged file is named now, rather than when the first numbers are there
    manifest = {"seconds": {}, "skipped": {}, **run.manifest(), "parameters": parameters, "environment": environment()}
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
        manifest["ended"] = next_ended(run.folder)
        write_json(run.folder / "run.json", manifest)  # a run whose notebooks failed can be reported, too
    return failures
