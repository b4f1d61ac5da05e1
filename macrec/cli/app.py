"""The application that every command registers with, and what `macrec` alone does."""

from __future__ import annotations

from typing import Annotated

import typer

from macrec import __version__

app = typer.Typer(
    help="The workbench for multimodal generative recommendation.", no_args_is_help=True, add_completion=False
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """The workbench for multimodal generative recommendation."""
    if version:
        typer.echo(f"macrec {__version__}")
        raise typer.Exit
