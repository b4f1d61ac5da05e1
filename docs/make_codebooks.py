"""Write the tables of docs/codebooks.md from finished studies: `python docs/make_codebooks.py NAME=RUN_FOLDER …`.

A study is notebook 03 with `-p profile=study`; its rows stand in the run's metrics.json.
"""

from pathlib import Path
from typing import Any

import polars as pl
from page import markdown, rewrite

from macrec.viz.comparison import comparison_table, verdict


def section(name: str, recorded: dict[str, Any]) -> str:
    """The table of one study, and what it says about conflicts."""
    rows = pl.DataFrame(recorded["comparison"]).sort("modality", descending=True, maintain_order=True)
    variants = [found for found in rows["variant"].unique(maintain_order=True) if found.startswith("cross-modal")]
    said = "\n".join(f"- {verdict(rows, variant, 'independent')}" for variant in variants)
    return f"## {name}\n\n{markdown(comparison_table(rows))}\n\n{said}\n"


if __name__ == "__main__":
    rewrite(Path(__file__).with_name("codebooks.md"), __file__, "03_codebooks", section)
