"""Commands that run, open and copy the notebooks: `run`, `sweep`, `lab`, `exercises`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from macrec.cli.app import app
from macrec.cli.endings import stoppable

if TYPE_CHECKING:
    from macrec.workbench.execution import Step

Names = Annotated[
    list[str] | None, typer.Argument(help="Notebooks by number or name; default: those of --params, else all.")
]
Shared = Annotated[
    Path | None, typer.Option("--params", metavar="FILE", help="A TOML file of notebooks and parameters.")
]


@app.command()
def run(
    notebooks: Names = None,
    parameters: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter.")] = None,
    params: Shared = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/TIME")] = None,
) -> None:
    """Execute the notebooks in order; keep them, their artifacts and one metrics.json in a run folder.

    Parameters go to every notebook that declares them; one that none declares
    is refused before anything runs. While it runs, the notebook and the cell
    that is executed are shown on stderr: a bar on a terminal, in a log one line
    per heading. Paths among the parameters are meant from the folder where this
    is typed, those in a file of parameters from the folder of the file; what -p
    sets wins over the file. Every run writes such a file, parameters.toml, with
    which it can be repeated: macrec run --params FILE. A notebook that the data lack something for, as pictures, is
    skipped with a sentence. When a cell fails, the others are run all the same:
    the sentence at the end names the notebook, the cell, counted from 1, and
    the error, and the notebook as far as it came is kept as NAME.failed.ipynb.
    """
    from macrec.workbench.experiment_file import read_experiment
    from macrec.workbench.notebooks import find_notebooks
    from macrec.workbench.parameters import parse_parameters, text_parameters
    from macrec.workbench.runner import run_notebooks

    shared = read_experiment(params) if params else None
    chosen = shared.notebooks if shared and not notebooks else find_notebooks(notebooks or [])
    given = parse_parameters(parameters or [], text_parameters(chosen))
    given = (shared.parameters(chosen, given) if shared else {}) | given
    stoppable()
    start = time.perf_counter()
    terminal = sys.stderr.isatty()
    done = run_notebooks(chosen, out, given, typer.echo, progress=terminal, watch=Log(sections=not terminal))
    skipped = len(done.manifest()["skipped"].keys() & {path.stem for path in chosen})
    about = f", {skipped} of {len(chosen)} notebooks skipped" if skipped else ""
    typer.echo(f"done in {time.perf_counter() - start:.0f} s{about}: {done.folder / 'metrics.json'}")


class Log:
    """Prints on stderr which notebook begins and, with `sections`, which of its headings is running."""

    def __init__(self, sections: bool) -> None:
        self.sections, self.section = sections, ""

    def __call__(self, step: Step) -> None:
        """The run has come to `step`."""
        if step.cell == 0:
            self.section = ""
            typer.echo(f"{step.notebook}: notebook {step.number} of {step.notebooks}, {step.cells} cells", err=True)
        elif self.sections and step.section != self.section:
            self.section = step.section
            typer.echo(f"  cell {step.cell} of {step.cells}: {step.section}", err=True)


@app.command()
def sweep(
    notebooks: Names = None,
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE,VALUE", help="The values of a parameter.")
    ] = None,
    params: Shared = None,
    jobs: Annotated[int, typer.Option(help="Points that run at once; they share the cores.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep.", show_default="runs/sweep-…")] = None,
) -> None:
    """Run the notebooks for every combination of the values given; each point is a run folder of its own.

    Values stand between commas: -p lambda_con=0,.001,.01 -p seed=1,2,3 makes
    nine points. A value with a comma of its own goes in brackets, or in quotes
    that the shell leaves alone: -p 'sweep="0, 0.01"'. In a file of parameters
    they are a list; what -p sets wins over the file.

    What is finished is kept: the same command goes on where it was stopped or
    killed, and skips every notebook that was executed to its end from the same
    cells and parameters. (Library code and dataset files are not compared:
    remove a point's folder to run it again.) Points hand on what they have
    trained. A failing point does not stop the others; it is named at the end,
    and the exit code is 1. sweep.json has the state of every point.
    """
    from macrec.workbench.experiment_file import read_experiment
    from macrec.workbench.file_parameters import locate
    from macrec.workbench.notebooks import find_notebooks
    from macrec.workbench.parameters import text_parameters
    from macrec.workbench.run import project_root
    from macrec.workbench.sweep import default_name, parse_grid, run_sweep

    shared = read_experiment(params) if params else None
    chosen = shared.notebooks if shared and not notebooks else find_notebooks(notebooks or [])
    grid = parse_grid(parameters or [], text_parameters(chosen))
    grid = {name: [locate(name, value) for value in values] for name, values in grid.items()}
    grid = (shared.grid(chosen, grid) if shared else {}) | grid
    stoppable()
    folder = out or project_root() / "runs" / default_name(chosen, grid)
    start = time.perf_counter()
    points = run_sweep(chosen, grid, folder, jobs, typer.echo)
    further = f"macrec compare {shlex.quote(str(folder))}"
    typer.echo(f"done in {time.perf_counter() - start:.0f} s, {len(points)} points: {further}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the notebooks; further options go to JupyterLab (for example --no-browser --port 9999).

    Where macrec was installed without its checkout, the notebooks are copied
    to ./notebooks first; those that are there already stay as they are.
    """
    from macrec.workbench.doctor import examine, sentences
    from macrec.workbench.notebooks import copy_notebooks, find_notebooks

    if folder := copy_notebooks():
        typer.echo(f"the notebooks were copied to {folder}")
    first = find_notebooks()[0]
    typer.echo("\n".join(sentences(examine())[:4]))
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={first.parents[1]}"]
    command += [f"--LabApp.default_url=/lab/tree/notebooks/{first.name}"]
    # Our JupyterLab settings turn off its news and its look for updates: nothing leaves the machine unasked.
    settings = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1] / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    command += context.args
    sys.exit(subprocess.call(command, env={**os.environ, "JUPYTER_CONFIG_PATH": settings}))


@app.command()
def exercises(
    out: Annotated[Path | None, typer.Option(help="Folder to write into.", show_default="exercises")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace notebooks that were changed by hand.")] = False,
) -> None:
    """Copy the notebooks with most code cells emptied, each replaced by a comment that describes it."""
    from macrec.workbench.exercises import write_exercises
    from macrec.workbench.notebooks import find_notebooks
    from macrec.workbench.run import project_root

    for path in write_exercises(find_notebooks(), out or project_root() / "exercises", force):
        typer.echo(path)
