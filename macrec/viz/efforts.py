"""What trainings took, beside what came out of them."""

from __future__ import annotations

import polars as pl

EFFORT = {"samples": "samples", "steps": "optimizer steps", "cpu_seconds": "CPU seconds"}
"""Columns of results, and what they are called in a table."""


def effort_table(rows: pl.DataFrame) -> pl.DataFrame:
    """One row per system that made optimizer steps: samples, steps and CPU seconds of its training, means over seeds.

    `rows` as in `results_table`, with the columns of `EFFORT`, null or 0 for systems that only count, or without them
    where nothing was trained. Codebooks are left out, as systems share them.
    """
    rows = rows.with_columns(pl.lit(None, pl.Float64).alias(name) for name in EFFORT if name not in rows.columns)
    means = rows.filter(pl.col("steps") > 0).group_by("system", maintain_order=True).agg(pl.col(*EFFORT).mean())
    return means.select(
        "system", *(pl.col(name).round().cast(pl.Int64).map_elements(_grouped, pl.String).alias(title)
        for name, title in EFFORT.items())
    )  # fmt: skip


def _grouped(number: int) -> str:
    return f"{number:,}"
