"""The command `append`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from macrec.cli.app import app


@app.command()
def append(
    run: Annotated[Path, typer.Argument(help="Folder of a run whose notebook 06 has trained a generator: runs/demo.")],
    items: Annotated[
        Path,
        typer.Option(help="The new items: a table (.parquet, .csv, .json, .jsonl), or a folder of items.parquet."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the versions; one that is there gets a further version.")],
    systems: Annotated[
        str, typer.Option(help="Generators of the run, between commas.", show_default="that of notebook 06, and LIGER")
    ] = "",
    vectors: Annotated[
        list[str] | None,
        typer.Option(metavar="MODALITY=FILE.npy", help="Vectors of the new items, where the run's came from a file."),
    ] = None,
    for_users: Annotated[int, typer.Option(min=0, help="Show where new items rank for so many users.")] = 3,
) -> None:
    """Give new items semantic IDs from the codebooks of a run, without moving any old ID, and recommend them at once.

    Nothing is learned: encoders, their mean and deviation, codebooks and
    generators stay as they are. A new item gets the codes nearest to it that are
    free. The table needs a column item_id and may have title, brand, categories
    and description; pictures lie beside an items.parquet, in images/ or
    images.parquet, and image_file names them. The folder gets a table of IDs per
    system and modality, and manifest.json with digests of the data, the
    encoders, the codebooks and the IDs of every version: IDs that do not belong
    to the run are refused.
    """
    from macrec.errors import DataError
    from macrec.workbench.append import append_items
    from macrec.workbench.append_report import append_report

    given = {}
    for pair in vectors or []:
        name, equals, file = pair.partition("=")
        if not equals or not file:
            raise DataError(f'"{pair}" names no file', field="vectors", fix="write MODALITY=FILE.npy")
        given[name] = str(Path(file).resolve())
    typer.echo(append_report(append_items(run.resolve(), items, out, systems, given), for_users))
