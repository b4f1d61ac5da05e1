"""Write the tables of docs/codebooks.md from finished studies: `python docs/make_codebooks.py NAME=RUN_FOLDER …`.

A study is notebook 03 with `-p profile=study`; its rows stand in the run's metrics.json. What stands above the mark in
the page is written by hand and stays.
"""

import json
import sys
from pathlib import Path

import polars as pl

from macrec.viz.comparison import comparison_table, verdict

PAGE = Path(__file__).with_name("codebooks.md")
MARK = "<!-- Below: written by docs/make_codebooks.py -->"


def markdown(table: pl.DataFrame) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(name: str, folder: Path) -> str:
    """The table of one study, and what it says about conflicts."""
    recorded = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["03_codebooks"]
    rows = pl.DataFrame(recorded["comparison"]).sort("modality", descending=True, maintain_order=True)
    variants = [found for found in rows["variant"].unique(maintain_order=True) if found.startswith("cross-modal")]
    said = "\n".join(f"- {verdict(rows, variant, 'independent')}" for variant in variants)
    return f"## {name}\n\n{markdown(comparison_table(rows))}\n\n{said}\n"


if __name__ == "__main__":
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    studies = [argument.split("=", 1) for argument in sys.argv[1:]]
    sections = [section(name, Path(folder)) for name, folder in studies]
    PAGE.write_text("\n".join([by_hand + MARK + "\n", *sections]), encoding="utf-8")
