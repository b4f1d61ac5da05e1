"""Write docs/codebooks.md below its mark from finished studies: `python docs/make_codebooks.py NAME=RUN_FOLDER …`.

A study is notebook 03 over several seeds; its rows and settings stand in the run's metrics.json.
"""

from pathlib import Path
from typing import Any

import polars as pl
from page import markdown, rewrite

from macrec.viz.figures.comparison import comparison_table, verdict

ALLOWED = 0.03
"""The share by which a cross-modal weight may raise the reconstruction error, in either modality and from any seed."""


def section(name: str, recorded: dict[str, Any]) -> str:
    """The table of one study, its comparisons seed by seed, and the weight that the rule chooses."""
    rows = pl.DataFrame(recorded["comparison"]).sort("modality", descending=True, maintain_order=True)
    variants = [name for name in rows["variant"].unique(maintain_order=True) if name.startswith("cross-modal")]
    measures = ("conflict_rate", "information", "reconstruction")
    said = "\n".join(f"- {verdict(rows, variant, 'independent', of)}" for variant in variants for of in measures)
    parts = [f"## {name}", described(recorded["settings"], rows), markdown(comparison_table(rows)), said]
    return "\n\n".join([*parts, chosen(rows, variants)]) + "\n"


def described(settings: dict[str, Any], rows: pl.DataFrame) -> str:
    """Describe the training in a sentence."""
    network, recipe = settings["config"]["rqvae"], settings["recipe"]
    widths = ", ".join(str(width) for width in (*network["hidden"], network["width"]))
    return (
        f"{rows['seed'].n_unique()} seeds, {recipe['epochs']} epochs in batches of {recipe['batch']}, "
        f"{len(network['sizes'])} levels of {network['sizes'][0]} codewords, an encoder of widths {widths}."
    )


def chosen(rows: pl.DataFrame, variants: list[str]) -> str:
    """The largest weight that costs at most `ALLOWED` of reconstruction."""
    base = rows.filter(pl.col("variant") == "independent").select("seed", "modality", base="reconstruction")
    cost = (
        rows.join(base, on=["seed", "modality"])
        .filter(pl.col("variant").is_in(variants))
        .group_by("variant")
        .agg(cost=(pl.col("reconstruction") / pl.col("base") - 1).max())
    )
    worst = dict(cost.iter_rows())
    allowed = [variant for variant in variants if worst[variant] <= ALLOWED]
    listed = ", ".join(f"{worst[variant]:.1%} at {variant.removeprefix('cross-modal ')}" for variant in variants)
    return (
        f"Reconstruction error rises, in the worst case over seeds and modalities, by {listed}. The largest weight "
        f"within {ALLOWED:.0%} is {allowed[-1].removeprefix('cross-modal ') if allowed else 'none'}."
    )


if __name__ == "__main__":
    rewrite(Path(__file__).with_name("codebooks.md"), __file__, "03_codebooks", section)
