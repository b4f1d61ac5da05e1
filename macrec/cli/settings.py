"""Commands that list what can be chosen: `systems`, `profiles`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from macrec.cli.app import AsJson, app


@app.command()
def systems(
    path: Annotated[
        str | None, typer.Argument(metavar="DATASET", help="Also show which of them fit this dataset.")
    ] = None,
    layout: Annotated[str | None, typer.Option(help="The layout of the files, where it is not recognized.")] = None,
    own: Annotated[list[Path] | None, typer.Option("--file", help="Show also the SYSTEM of this Python file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the registered recommenders: family, idea, paper, what each needs, and the terms an ablation leaves out."""
    from macrec.data.load import load_dataset
    from macrec.experiments.systems_table import systems_table, systems_text
    from macrec.systems.registry import entry_of

    for file in own or []:
        entry_of(str(file))
    rows = systems_table(load_dataset(path, layout) if path else None)
    typer.echo(json.dumps(rows, indent=2, ensure_ascii=False) if as_json else systems_text(rows))


@app.command()
def profiles(as_json: AsJson = False) -> None:
    """Print what each profile sets: the sample of the data, networks, trainings, and comparisons."""
    from macrec.systems.settings import profile_rows, profile_table

    rows = profile_rows()
    typer.echo(json.dumps(rows, indent=2) if as_json else profile_table(rows))
