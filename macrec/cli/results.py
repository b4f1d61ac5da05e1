"""Commands that show the results of runs: `compare`, `report`, `demo-page`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from macrec.cli.app import AsJson, app


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs; a sweep's folder stands for its points.")],
    metrics: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric, or a part of the names of some.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put runs side by side: the parameters in which they differ and their main metrics.

    Metrics are found by their words or by the names under which metrics.json
    nests them: NOTEBOOK.NAME.NAME. Of two runs the difference is shown as well.
    """
    from macrec.workbench.compare_runs import compare_runs

    comparison = compare_runs(runs, metrics or [])
    typer.echo(json.dumps(comparison.to_json(), indent=2, ensure_ascii=False) if as_json else comparison.text())


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Folders of runs or of a sweep.", show_default="the newest in runs/")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The page to write.", show_default="report.html in their folder")
    ] = None,
) -> None:
    """Write one offline HTML page that can be mailed: the answer, notebooks, metrics; several runs are compared.

    Without a name it is the run or sweep in runs/ that ended last, by the
    number that it bears; of older versions, by the time of its file.
    """
    from macrec.workbench.report import newest_run, report_file, write_report

    folders = runs or [newest_run()]
    page = write_report(folders, out or report_file(folders))
    typer.echo(f"{page} ({page.stat().st_size / 1e6:.1f} MB)")


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
