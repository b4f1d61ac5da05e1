"""How certain a difference is: over seeds, and over users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macrec.evaluation.metrics import gains, hits

RESAMPLES_AT_ONCE = 500
"""Samples of users that are held at a time."""


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1 in the denominator; NaN for one run) of `runs` runs."""

    mean: float
    sd: float
    runs: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.sd:.4f}" if self.runs > 1 else f"{self.mean:.4f}"


def over_seeds(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """The spread of every metric over `runs`, each the metrics of one seed by name.

    Raises ValueError when there are no runs or their metrics have different names.

    >>> print(over_seeds([{"HR@10": 0.10}, {"HR@10": 0.14}])["HR@10"])
    0.1200 ± 0.0283
    """
    if not runs:
        raise ValueError("there are no runs to average")
    if any(run.keys() != runs[0].keys() for run in runs):
        raise ValueError("the runs do not have the same metrics")
    spreads = {}
    for name in runs[0]:
        values = np.array([run[name] for run in runs], np.float64)
        spreads[name] = Spread(float(values.mean()), float(values.std(ddof=1)) if len(runs) > 1 else np.nan, len(runs))
    return spreads


@dataclass(frozen=True)
class Comparison:
    """By how much system a exceeds system b in `metric`: the difference, its 95 % interval and a two-sided p-value."""

    metric: str
    difference: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.metric} {self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}], p = {self.p:.4f}"


def paired_bootstrap(
    a: ArrayLike, b: ArrayLike, metric: str = "NDCG@10", resamples: int = 10_000, seed: int = 0
) -> Comparison:
    """Compare two systems on the same users, in one order: `a` and `b` are their ranks `[U]`, or `[R, U]` of R seeds.

    Users are drawn again with replacement, `resamples` times, and so are the seeds of each system, where it has several
    (the systems need not have equally many). The interval holds the middle 95 % of the differences so found; p is the
    share of them that lie as far from the observed difference as that lies from zero (the observed sample counted in,
    so p is never 0). Exchanging a and b turns the signs.

    Of R seeds R - 1 are drawn: so the variance of their mean is unbiased, which with R draws would be too small by
    1 / R, a third for three seeds (Rao and Wu, "Resampling inference with complex survey data", JASA 1988).

    A user counts by the ranks that all runs gave, and few of them are distinct: to draw users is to draw how often each
    distinct row of gains comes, so the cost grows little with U.

    Raises ValueError for ranks of different users and for an unknown metric.
    """
    a, b = np.atleast_2d(np.asarray(a, np.int64)), np.atleast_2d(np.asarray(b, np.int64))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"the ranks of the same users are needed, got {a.shape} and {b.shape}")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    of_a, of_b = gains(a, metric), gains(b, metric)
    if len(a) == len(b) == 1:  # the difference alone counts, and fewer of them are distinct
        of_a, of_b = of_a - of_b, np.zeros_like(of_a)
    rows, counts = np.unique(np.concatenate([of_a, of_b]), axis=1, return_counts=True)
    share = counts / a.shape[1]
    observed = float(rows[: len(a)].mean(0) @ share - rows[len(a) :].mean(0) @ share)
    if observed < 0:
        turned = paired_bootstrap(b, a, metric, resamples, seed)
        return Comparison(metric, -turned.difference, -turned.high, -turned.low, turned.p)
    rng = np.random.default_rng(seed)
    drawn = np.empty(resamples)
    for at in range(0, resamples, RESAMPLES_AT_ONCE):
        some = drawn[at : at + RESAMPLES_AT_ONCE]
        means = rng.multinomial(a.shape[1], share, size=len(some)) @ rows.T / a.shape[1]
        some[:] = _over_runs(means[:, : len(a)], rng) - _over_runs(means[:, len(a) :], rng)
    low, high = np.quantile(drawn, (0.025, 0.975))
    as_far = np.count_nonzero(np.abs(drawn - observed) >= observed * (1 - 1e-12))  # equal but for rounding counts
    return Comparison(metric, observed, float(low), float(high), (as_far + 1) / (resamples + 1))


def _over_runs(means: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """For each row of `means` `[B, R]` the mean of R - 1 of its columns, drawn with replacement; of one, that one."""
    runs = means.shape[1]
    if runs == 1:
        return means[:, 0]
    drawn: NDArray[np.float64] = np.take_along_axis(means, rng.integers(runs, size=(len(means), runs - 1)), 1).mean(1)
    return drawn


def mcnemar(a: ArrayLike, b: ArrayLike, k: int = 10) -> float:
    """Exact two-sided McNemar test of HR@k: the p-value for ranks `a` and `b` `[U]` of the same users.

    Only users count whose target one system hits and the other misses; without a difference either is equally likely.
    1 when there are none.
    """
    from scipy.stats import binomtest  # takes half a second, and not everyone asks

    hit_a, hit_b = hits(a, k), hits(b, k)
    if hit_a.shape != hit_b.shape:
        raise ValueError(f"the ranks of the same users are needed, got {hit_a.shape} and {hit_b.shape}")
    only_a, only_b = int((hit_a & ~hit_b).sum()), int((hit_b & ~hit_a).sum())
    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
