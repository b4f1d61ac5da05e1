"""Executing notebooks in order, headless, with papermill: the same cells that people run in JupyterLab."""

from __future__ import annotations

import ast
import logging
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.files import write_json
from macrec.workbench.run import Run, environment, project_root

Parameters = dict[str, Any]


class NotebookError(RuntimeError):
    """A cell of a notebook raised; the notebook as far as it came is kept beside the run."""


class NotebookDataError(DataError):
    """The DataError that a cell raised, with the sentence it carried."""

    def __init__(self, sentence: str) -> None:
        ValueError.__init__(self, sentence)


def find_notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The project's notebooks in order, or those whose name begins with one of `names` ("01", "02_embeddings").

    Raises DataError for a name that fits none.
    """
    folder = project_root() / "notebooks"
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise DataError("there are no notebooks", file=folder, fix="run macrec from a checkout of the project")
    for name in names:
        if not Path(name).name or not any(path.name.startswith(Path(name).name) for path in every):
            known = ", ".join(path.stem for path in every)
            raise DataError(f'no notebook is called "{name}"', file=folder, fix=f"choose from {known}")
    return [path for path in every if not names or any(path.name.startswith(Path(name).name) for name in names)]


def parse_parameters(texts: Sequence[str], as_text: Collection[str] = ()) -> Parameters:
    """Read `name=value` pairs; a value that is a Python or JSON literal becomes one, anything else stays text.

    The values of the names in `as_text` always stay as they are written (but for quotes around them).

    >>> parse_parameters(["seed=3", "live=false", "rate=1e-3", "dataset=curio:tiny"])
    {'seed': 3, 'live': False, 'rate': 0.001, 'dataset': 'curio:tiny'}
    """
    words = {"true": True, "false": False, "none": None, "null": None}
    parameters: Parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise DataError(f'"{text}" is not a parameter', fix="write it as name=value")
        if name not in as_text and value.lower() in words:
            parameters[name] = words[value.lower()]
            continue
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            parameters[name] = value
        if name in as_text and not isinstance(parameters[name], str):
            parameters[name] = value
    return parameters


def declared_parameters(notebook: Path) -> Parameters:
    """Names and default values of a notebook's cell tagged `parameters` (flat literals)."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    found = papermill.inspect_notebook(str(notebook))
    return {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}


def text_parameters(notebooks: Sequence[Path]) -> set[str]:
    """The names of the parameters of these notebooks whose default is text."""
    defaults = (declared_parameters(notebook) for notebook in notebooks)
    return {name for declared in defaults for name, default in declared.items() if isinstance(default, str)}


def check_parameters(parameters: Parameters, declared: dict[Path, Parameters]) -> None:
    """Raise DataError for a parameter that no notebook declares, or whose type is not that of its default."""
    known = {name: default for defaults in declared.values() for name, default in defaults.items()}
    for name, value in parameters.items():
        if name not in known:
            raise DataError(f'no notebook has a parameter "{name}"', fix=f"choose from {', '.join(sorted(known))}")
        wanted = type(known[name])
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        if not (fits or (wanted is float and isinstance(value, int) and not isinstance(value, bool))):
            raise DataError(
                f"the parameter {name} takes {wanted.__name__}, not {type(value).__name__} ({value!r:.60})",
                fix=f"give a value like the default {known[name]!r}",
            )


def withdraw(unfinished: Path) -> None:
    """Remove a notebook that did not finish, and its folder when nothing else is in it."""
    unfinished.unlink(missing_ok=True)
    if not any(unfinished.parent.iterdir()):
        unfinished.parent.rmdir()


def run_notebooks(
    notebooks: Sequence[Path],
    out: Path,
    parameters: Parameters,
    say: Callable[[str], None] = lambda line: None,
    progress: bool = True,
) -> Run:
    """Execute notebooks in order into the run folder `out`; the next one starts when the last has succeeded.

    Parameters go to every notebook that declares them. Raises DataError before anything runs for parameters that fit
    no notebook, and afterwards for a DataError inside a cell, of which nothing is kept; NotebookError for any other
    failing cell, and then the notebook is kept as NAME.failed.ipynb, never under the name of a finished one.
    """
    import papermill

    declared = {path: declared_parameters(path) for path in notebooks}
    check_parameters(parameters, declared)
    about = {"parameters": parameters, "environment": environment()}
    run = Run.open(str(out.resolve()))
    manifest = run.manifest() | about
    manifest.setdefault("seconds", {})
    for notebook in notebooks:
        final, failed = run.folder / notebook.name, run.folder / f"{notebook.stem}.failed.ipynb"
        unfinished = run.folder / f".{notebook.stem}.unfinished.ipynb"
        values = {"live": False, **parameters, "out": str(run.folder)}
        given = {name: value for name, value in values.items() if name in declared[notebook]}
        start = time.perf_counter()
        try:
            papermill.execute_notebook(
                str(notebook),
                str(unfinished),
                parameters=given,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar={"desc": notebook.stem} if progress else False,
                store_widget_state=False,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns of plain TCP, on loopback
            )
        except papermill.PapermillExecutionError as error:
            if error.ename == "DataError":  # bad input is no result: leave nothing behind
                withdraw(unfinished)
                raise NotebookDataError(str(error.evalue)) from error
            unfinished.replace(failed)
            raise NotebookError(
                f"{notebook.name}, cell {error.cell_index + 1}: {error.ename}: {error.evalue} (kept: {failed})"
            ) from error
        except BaseException:
            withdraw(unfinished)
            raise
        trust(unfinished)
        unfinished.replace(final)
        failed.unlink(missing_ok=True)
        manifest["seconds"][notebook.stem] = round(time.perf_counter() - start, 1)
        write_json(run.folder / "run.json", manifest)
        say(f"{notebook.stem}: {manifest['seconds'][notebook.stem]} s, {final}")
    return run


def trust(notebook: Path) -> None:
    """Sign an executed notebook: JupyterLab then runs the scripts in its outputs (hover pictures) as if run there."""
    import nbformat
    from nbformat.sign import NotebookNotary

    NotebookNotary().sign(nbformat.read(notebook, as_version=4))
