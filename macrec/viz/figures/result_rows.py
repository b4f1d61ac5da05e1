"""Rows of results, one per system and seed: whether they are complete, and a system's values over its seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.evaluation.significance import over_seeds


def checked(rows: pl.DataFrame, metrics: Sequence[str], full: str | None = None) -> list[str]:
    """The systems in order of first appearance; DataError where `rows` is not one row of `metrics` per run."""
    for column in ("system", "seed"):
        if column not in rows.columns:
            raise DataError("the results lack a column", field=column, fix="give one row per system and seed")
    for metric in metrics:
        if metric not in rows.columns:
            raise no_metric(metric, [name for name in rows.columns if name not in ("system", "seed")])
    twice = rows.filter(rows.select("system", "seed").is_duplicated())
    if len(twice):
        system, seed = twice.select("system", "seed").row(0)
        raise DataError(f"{system} has seed {seed} more than once", field="seed", fix="keep one row per run")
    systems: list[str] = rows["system"].unique(maintain_order=True).to_list()
    if full is not None and full not in systems:
        raise DataError(f'there is no system "{full}"', field="full", fix=f"choose one of {', '.join(systems)}")
    return systems


def no_metric(metric: str, known: Sequence[str]) -> DataError:
    """The error about a metric that nothing has."""
    return DataError(f'there is no metric "{metric}"', field="metric", fix=f"choose one of {', '.join(known)}")


def known(metric: str) -> pl.Expr:
    """Rows that have a value of a metric."""
    return pl.col(metric).is_not_null() & pl.col(metric).is_not_nan()


def values_of(rows: pl.DataFrame, system: str, metric: str) -> NDArray[np.float64]:
    """The values of a metric of a system, one per seed that has one."""
    part = rows.filter(pl.col("system") == system).with_columns(pl.col(metric).cast(pl.Float64))
    return part.filter(known(metric))[metric].to_numpy()


def gains_over(rows: pl.DataFrame, system: str, full: str, metric: str) -> tuple[list[int], NDArray[np.float64]]:
    """Seeds that a system and the full model both have, and by how much the system exceeds it in each."""
    measured = rows.with_columns(pl.col(metric).cast(pl.Float64)).filter(known(metric))
    own, other = (measured.filter(pl.col("system") == name).select("seed", metric) for name in (system, full))
    both = own.join(other, on="seed", suffix=" of full", maintain_order="left")
    return both["seed"].to_list(), (both[metric] - both[f"{metric} of full"]).to_numpy()


def spread(values: NDArray[np.float64], sign: str = "") -> str:
    """Mean ± standard deviation over seeds; the mean alone of one value, a dash for none."""
    if not len(values):
        return "–"
    over = over_seeds([{"": value} for value in values.tolist()])[""]
    return f"{over.mean:{sign}z.4f}" + (f" ± {over.sd:.4f}" if over.runs > 1 else "")


def seeds_each(runs: Sequence[int]) -> str:
    """How many seeds each system has, in words."""
    fewest, most = min(runs), max(runs)
    return f"{most} {'seed' if most == 1 else 'seeds'} each" if fewest == most else f"{fewest} to {most} seeds each"
