"""Write the tables of docs/recommenders.md from finished studies: `python docs/make_recommenders.py NAME=RUN_FOLDER …`.

A study is notebook 08; its rows stand in the run's metrics.json.
"""

from pathlib import Path
from typing import Any

import polars as pl
from page import markdown, rewrite

from macrec.viz.efforts import effort_table
from macrec.viz.results import ablation_table, results_table
from macrec.workbench.system_results import METRICS


def section(name: str, recorded: dict[str, Any]) -> str:
    """The table of one study, the differences to MACRec, and its ablation if there is one."""
    rows = pl.DataFrame(recorded["rows"], infer_schema_length=None)
    said = "\n".join(f"- {system}: {difference}" for system, difference in recorded["differences"].items())
    parts = [
        f"## {name}",
        recorded["caption"],
        markdown(results_table(rows, METRICS)),
        f"Each system minus {recorded['reference']}, the same users, first seed, 95 % bootstrap interval:",
        said,
    ]
    if "steps" in rows.columns:
        parts += ["What each training took, codebooks and measurements left out:", markdown(effort_table(rows))]
    ablated = pl.DataFrame(recorded["ablation"], infer_schema_length=None)
    if ablated["system"].n_unique() > 1:
        parts += [
            "Without one term of MACRec at a time:",
            markdown(ablation_table(ablated, recorded["reference"], METRICS)),
        ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    rewrite(Path(__file__).with_name("recommenders.md"), __file__, "08_evaluation", section)
