"""The command line: `macrec run`, `macrec lab`, `macrec datasets`, `macrec doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from macrec import __version__
from macrec.errors import DataError

app = typer.Typer(
    help="The workbench for multimodal generative recommendation.", no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]


def main() -> None:
    """Run the command line. Bad input ends with one sentence and exit code 2, a failing notebook with 1."""
    from macrec.workbench.runner import NotebookError

    try:
        app()
    except DataError as error:
        fail(str(error), 2)
    except NotebookError as error:
        fail(str(error), 1)
    except OSError as error:  # no permission, no room, a name that is too long: nothing that a traceback would explain
        place = f"{error.filename}: " if error.filename is not None else ""
        fail(f"{place}{error.strerror or error}; check the path, its permissions and the room on the disk.", 2)
    except SystemExit as leaving:  # what typer makes of Ctrl-C
        if leaving.code != 130:
            raise
        fail("stopped; what was finished is kept", 130)


def fail(sentence: str, code: int) -> None:
    """Say what is wrong on stderr and leave."""
    typer.echo(f"macrec: {sentence}", err=True)
    sys.exit(code)


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
    """Execute the notebooks in order; keep them, their artifacts and one metrics.json in a run folder."""
    from macrec.workbench.run import project_root
    from macrec.workbench.runner import find_notebooks, parse_parameters, run_notebooks, text_parameters

    chosen = find_notebooks(notebooks or [])
    given = parse_parameters(parameters or [], text_parameters(chosen))
    path = Path(str(given.get("dataset", "")))
    if given.get("dataset") and path.exists():  # a path is meant from where the command is typed
        given["dataset"] = str(path.resolve())
    folder = out or project_root() / "runs" / time.strftime("%Y%m%d-%H%M%S")
    start = time.perf_counter()
    done = run_notebooks(chosen, folder, given, say=typer.echo, progress=sys.stderr.isatty())
    typer.echo(f"done in {time.perf_counter() - start:.0f} s: {done.folder / 'metrics.json'}")


@app.command()
def datasets(
    path: Annotated[str, typer.Argument(help="A folder or file, or curio[:SIZE[:SEED]].")] = "curio",
    as_json: AsJson = False,
    decode: Annotated[int, typer.Option(help="Decode at most so many pictures to see that they are whole.")] = 20_000,
) -> None:
    """Print the card of a dataset: the built-in catalog, or what lies in a folder."""
    from macrec.data.card import dataset_card
    from macrec.data.load import load_dataset
    from macrec.evaluation.ceiling import ceiling

    dataset = load_dataset(path)
    card = dataset_card(dataset, decode_images=decode)
    reachable = ceiling(dataset)
    if as_json:
        typer.echo(json.dumps(card.to_json() | {"ceiling": reachable}, indent=2, ensure_ascii=False))
        return
    typer.echo(str(card))
    for name, metrics in reachable.items():
        typer.echo(f"{name:10}  " + "  ".join(f"{metric} {value:.4f}" for metric, value in metrics.items()))


@app.command()
def sids(
    file: Annotated[Path, typer.Argument(help="Semantic IDs as .parquet or .json.")],
    as_json: AsJson = False,
    size: Annotated[int | None, typer.Option(help="Codewords per level, where the file does not say.")] = None,
) -> None:
    """Print the health of anybody's semantic IDs: conflicts, utilization, perplexity, prefixes."""
    from macrec.quantization.health import codebook_health
    from macrec.quantization.semantic_ids import load_semantic_ids

    health = codebook_health(load_semantic_ids(file, size))
    typer.echo(json.dumps(health.to_json(), indent=2) if as_json else str(health))


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
