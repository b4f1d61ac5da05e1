"""A page whose upper part is written by hand and whose tables are written by a script from finished studies."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl


def markdown(table: pl.DataFrame) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def rewrite(page: Path, script: str, notebook: str, section: Callable[[str, dict[str, Any]], str]) -> None:
    """Write the sections of the studies NAME=RUN_FOLDER of the command line below the mark of `script` in `page`.

    `section` makes one from the study's name and what `notebook` recorded. What stands above the mark stays.
    """
    mark = f"<!-- Below: written by docs/{Path(script).name} -->"
    by_hand = page.read_text(encoding="utf-8").partition(mark)[0]
    sections = []
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        recorded = json.loads((Path(folder) / "metrics.json").read_text(encoding="utf-8"))[notebook]
        sections.append(section(name, recorded))
    page.write_text("\n".join([by_hand + mark + "\n", *sections]), encoding="utf-8")
