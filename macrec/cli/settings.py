"""Commands that say what there is to choose: `profiles`."""

from __future__ import annotations

import json

import typer

from macrec.cli.app import AsJson, app


@app.command()
def profiles(as_json: AsJson = False) -> None:
    """Print what each profile sets: what is taken of the data, every network, how it learns, and what is compared."""
    from macrec.systems.settings import profile_rows, profile_table

    rows = profile_rows()
    typer.echo(json.dumps(rows, indent=2) if as_json else profile_table(rows))
