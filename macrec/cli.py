"""The command line: `macrec run`, `macrec sweep`, `macrec compare`, `macrec lab` and what looks at files."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from macrec import __version__
from macrec.errors import DataError
from macrec.workbench.endings import about_files, fail, stoppable

if TYPE_CHECKING:
    from macrec.workbench.execution import Step

app = typer.Typer(
    help="The workbench for multimodal generative recommendation.", no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]


def main() -> None:
    """Run the command line. Bad input ends with one sentence and exit code 2, a failing notebook with 1."""
    from macrec.workbench.execution import NotebookError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter gets its code
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except DataError as error:
        fail(str(error), 2)
    except NotebookError as error:
        fail(str(error), 1)
    except OSError as error:
        if (sentence := about_files(error)) is None:
            raise
        fail(sentence, 2)
    except SystemExit as leaving:  # what typer makes of Ctrl-C, and `stoppable` of a signal
        if leaving.code not in (130, 143):
            raise
        fail("stopped; what was finished is kept", int(leaving.code))


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The workbench for multimodal generative recommendation."""
    if version:
        typer.echo(f"macrec {__version__}")
        raise typer.Exit


@app.command()
def run(
    notebooks: Annotated[list[str] | None, typer.Argument(help="Notebooks by number or name; default: all.")] = None,
    parameters: Annotated[list[str] | None, typer.Option("-p", metavar="NAME=VALUE", help="Set a parameter.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.", show_default="runs/TIME")] = None,
) -> None:
    """Execute the notebooks in order; keep them, their artifacts and one metrics.json in a run folder.

    Parameters go to every notebook that declares them; one that none declares
    is refused before anything runs. While it runs, the notebook and the cell
    that is executed are shown on stderr: a bar on a terminal, in a log one line
    per heading. Paths among the parameters are meant from the folder where this
    is typed. A notebook that the data lack something for, as pictures, is
    skipped with a sentence. When a cell fails, the others are run all the same:
    the sentence at the end names the notebook, the cell, counted from 1, and
    the error, and the notebook as far as it came is kept as NAME.failed.ipynb.
    """
    from macrec.workbench.runner import find_notebooks, parse_parameters, run_notebooks, text_parameters

    chosen = find_notebooks(notebooks or [])
    given = parse_parameters(parameters or [], text_parameters(chosen))
    stoppable()
    start = time.perf_counter()
    terminal = sys.stderr.isatty()
    done = run_notebooks(chosen, out, given, typer.echo, progress=terminal, watch=Log(sections=not terminal))
    skipped = len(done.manifest()["skipped"].keys() & {path.stem for path in chosen})
    about = f", {skipped} of {len(chosen)} notebooks skipped" if skipped else ""
    typer.echo(f"done in {time.perf_counter() - start:.0f} s{about}: {done.folder / 'metrics.json'}")


class Log:
    """Says on stderr which notebook begins and, with `sections`, which of its headings the run has come to."""

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
    notebooks: Annotated[list[str] | None, typer.Argument(help="Notebooks by number or name; default: all.")] = None,
    parameters: Annotated[
        list[str] | None, typer.Option("-p", metavar="NAME=VALUE,VALUE", help="The values of a parameter.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Points that run at once; they share the cores.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder of the sweep.", show_default="runs/sweep-…")] = None,
) -> None:
    """Run the notebooks for every combination of the values given; each point is a run folder of its own.

    Values stand between commas: -p lambda_con=0,.001,.01 -p seed=1,2,3 makes
    nine points. A value with a comma of its own goes in brackets, or in quotes
    that the shell leaves alone: -p 'sweep="0, 0.01"'.

    What is finished is kept: the same command goes on where it was stopped or
    killed, and skips every notebook that was executed to its end from the same
    cells and parameters. (Library code and dataset files are not compared:
    remove a point's folder to run it again.) Points hand on what they have
    trained. A failing point does not stop the others; it is named at the end,
    and the exit code is 1. sweep.json says how far every point is.
    """
    from macrec.workbench.file_parameters import locate
    from macrec.workbench.run import project_root
    from macrec.workbench.runner import find_notebooks, text_parameters
    from macrec.workbench.sweep import default_name, parse_grid, run_sweep

    chosen = find_notebooks(notebooks or [])
    grid = parse_grid(parameters or [], text_parameters(chosen))
    grid = {name: [locate(name, value) for value in values] for name, values in grid.items()}
    stoppable()
    folder = out or project_root() / "runs" / default_name(chosen, grid)
    start = time.perf_counter()
    points = run_sweep(chosen, grid, folder, jobs, typer.echo)
    further = f"macrec compare {shlex.quote(str(folder))}"
    typer.echo(f"done in {time.perf_counter() - start:.0f} s, {len(points)} points: {further}")


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; a sweep's folder stands for its points.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric, or a part of the names of some.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: the parameters in which they differ and their main metrics.

    Metrics are named as metrics.json nests them: NOTEBOOK.NAME.NAME. Of two
    runs the difference is shown as well.
    """
    from macrec.workbench.compare_runs import compare_runs

    found = compare_runs(runs, metrics or [])
    typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else found.text())


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or of a sweep.", show_default="the newest in runs/")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page to write.", show_default="report.html in their folder")
    ] = None,
) -> None:
    """Write one offline HTML page that can be mailed: notebooks, metrics, environment; several runs are compared.

    Without a name it is the run or sweep in runs/ that ended last, by the
    number that it bears; of older versions, by the time of its file.
    """
    from macrec.workbench.report import newest_run, report_file, write_report

    folders = runs or [newest_run()]
    page = write_report(folders, out or report_file(folders))
    typer.echo(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")


@app.command()
def exercises(
    out: Annotated[Path | None, typer.Option(help="Folder to write into.", show_default="exercises")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace notebooks that were changed by hand.")] = False,
) -> None:
    """Copy the notebooks with most code cells emptied, each to a comment that says what to write there."""
    from macrec.workbench.exercises import write_exercises
    from macrec.workbench.run import project_root
    from macrec.workbench.runner import find_notebooks

    for path in write_exercises(find_notebooks(), out or project_root() / "exercises", force):
        typer.echo(path)


@app.command()
def datasets(
    path: Annotated[str, typer.Argument(help="A folder or file, or curio[:SIZE[:SEED]].")] = "curio",
    layout: Annotated[
        str | None, typer.Option(help="The layout of the files, where it is not recognized: recbole, s3rec, …")
    ] = None,
    as_json: AsJson = False,
    decode: Annotated[int, typer.Option(help="Decode at most so many pictures to see that they are whole.")] = 20_000,
) -> None:
    """Print the card of a dataset: the built-in catalog, or what lies in a folder."""
    from macrec.data.card import dataset_card
    from macrec.data.load import load_dataset
    from macrec.evaluation.ceiling import ceiling

    dataset = load_dataset(path, layout)
    card = dataset_card(dataset, decode_images=decode)
    reachable = ceiling(dataset)
    if as_json:
        typer.echo(json.dumps(card.to_json() | {"ceiling": reachable}, indent=2, ensure_ascii=False))
        return
    typer.echo(str(card))
    for name, metrics in reachable.items():
        typer.echo(f"{name:10}  " + "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))


@app.command()
def diagnose(
    path: Annotated[str, typer.Argument(help="A folder or file, or curio[:SIZE[:SEED]].")] = "curio",
    layout: Annotated[str | None, typer.Option(help="The layout of the files, where it is not recognized.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what shortcuts reach on a dataset, and what a learned model has to beat there."""
    from macrec.data.load import load_dataset
    from macrec.experiments.diagnose import diagnose as measure

    found = measure(load_dataset(path, layout))
    typer.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else str(found))


@app.command()
def sids(
    file: Annotated[Path, typer.Argument(help="Semantic IDs as .parquet, .json, .jsonl, .csv, .tsv or .npy.")],
    as_json: AsJson = False,
    size: Annotated[int | None, typer.Option(help="Codewords per level, where the file does not say.")] = None,
) -> None:
    """Print the health of anybody's semantic IDs: conflicts, utilization, perplexity, prefixes.

    Where neither the file nor --size says how large the codebooks are, the
    largest code of each stands for its size, and the output says so.
    """
    from macrec.quantization.health import codebook_health
    from macrec.quantization.id_files import check_numbering
    from macrec.quantization.semantic_ids import load_semantic_ids

    ids = load_semantic_ids(file, size)
    check_numbering(ids.item_ids, file)
    health = codebook_health(ids)
    typer.echo(json.dumps(health.to_json(), indent=2) if as_json else str(health))


@app.command()
def explore(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Semantic IDs as .parquet, .json, .jsonl, .csv, .tsv or .npy."),
    ],
    items: Annotated[
        str | None,
        typer.Option(help="Their items: a dataset, or a table (.parquet, .csv, .json, .jsonl) of ids and titles."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("explore.html"),
    size: Annotated[int | None, typer.Option(help="Codewords per level, where the files do not say.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write a page that shows anybody's semantic IDs: tree, usage, conflicts, agreement, and what a code means.

    IDs belong to items by item id; or, where the keys are exactly 0 to N-1 and
    the items are called otherwise, by row. The output says which it was.
    """
    from macrec.workbench.explore import explore as write_page

    start = time.perf_counter()
    matched: list[str] = []
    write_page(files, items, out, size, matched.append)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB in {time.perf_counter() - start:.0f} s")
    for sentence in matched:
        typer.echo(sentence)
    if show:
        typer.launch(str(out.resolve()))


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is installed, what is missing and what would be used."""
    from macrec.workbench.doctor import examine, sentences

    report = examine()
    typer.echo(json.dumps(report, indent=2) if as_json else "\n".join(sentences(report)))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(context: typer.Context) -> None:
    """Open JupyterLab on the notebooks; further options go to JupyterLab (for example --no-browser --port 9999)."""
    from macrec.workbench.doctor import examine, sentences
    from macrec.workbench.runner import find_notebooks

    first = find_notebooks()[0]
    typer.echo("\n".join(sentences(examine())[:4]))
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={first.parents[1]}"]
    command += [f"--LabApp.default_url=/lab/tree/notebooks/{first.name}"]
    # Our JupyterLab settings turn off its news and its look for updates: nothing leaves the machine unasked.
    settings = os.pathsep.join(
        filter(None, [str(Path(__file__).parent / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    command += context.args
    sys.exit(subprocess.call(command, env={**os.environ, "JUPYTER_CONFIG_PATH": settings}))


@app.command("demo-page", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def demo_page(
    context: typer.Context,
    run: Annotated[Path | None, typer.Option(help="Folder of a run.", show_default="runs/demo")] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 8866,
) -> None:
    """Serve a page that shows a history, what MACRec recommends next, and why; further options go to Voila."""
    from macrec.demo.serve import check_free, environment, serve
    from macrec.workbench.run import project_root

    around = environment(os.environ)
    os.environ.update(around)  # torch reads its number of threads when it is imported
    from macrec.demo.trained_run import open_trained

    folder = run.resolve() if run else project_root() / "runs" / "demo"
    check_free(port)
    open_trained(folder)  # what is missing is said here, rather than on the page of every visitor
    address = f"http://127.0.0.1:{port}/?token={around['JUPYTER_TOKEN']}"
    said = f"the page of {folder.name} is ready (Ctrl-C ends it): {address}"
    sys.exit(serve(folder, port, context.args, ready=lambda: typer.echo(said)))
