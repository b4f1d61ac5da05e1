"""Write the tables of docs/recommenders.md from finished studies: `python docs/make_recommenders.py NAME=RUN_FOLDER …`.

A study is notebook 08; its rows stand in the run's metrics.json. What stands above the mark in the page is written by
hand and stays.
"""

import json
import sys
from pathlib import Path

import polars as pl

from macrec.viz.results import ablation_table, results_table
from macrec.workbench.system_comparison import MAIN, METRICS

PAGE = Path(__file__).with_name("recommenders.md")
MARK = "<!-- Below: written by docs/make_recommenders.py -->"


def markdown(table: pl.DataFrame) -> str:
    """A table in Markdown."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def section(name: str, folder: Path) -> str:
    """The table of one study, its ablation if there is one, and the differences to MACRec."""
    recorded = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["08_evaluation"]
    rows = pl.DataFrame(recorded["rows"], infer_schema_length=None)
    parts = [f"## {name}", f"{recorded['caption']}", markdown(results_table(rows, METRICS))]
    parts.append(f"Each system minus {MAIN}, the same users, first seed, 95 % bootstrap interval:")
    parts.append("\n".join(f"- {system}: {said}" for system, said in recorded["differences"].items()))
    ablated = pl.DataFrame(recorded["ablation"], infer_schema_length=None)
    if ablated["system"].n_unique() > 1:
        parts.append("Without one term of MACRec at a time (differences to the full model):")
        parts.append(markdown(ablation_table(ablated, MAIN, METRICS)))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    by_hand = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    studies = [argument.split("=", 1) for argument in sys.argv[1:]]
    sections = [section(name, Path(folder)) for name, folder in studies]
    PAGE.write_text("\n".join([by_hand + MARK + "\n", *sections]), encoding="utf-8")
