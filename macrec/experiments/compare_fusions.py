"""Ways of asking one generator: each path alone, and two or four paths fused in every way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import polars as pl

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.evaluation.metrics import ranking_metrics
from macrec.generation.decoder import PathDecoder
from macrec.generation.exact import beam_error
from macrec.generation.fusion import Fusion, fuse

EXACT_SCORES = 500_000
"""Users times items that are scored one by one: seconds on a CPU."""


def compare_fusions(decoder: PathDecoder, samples: Samples) -> pl.DataFrame:
    """One row per way to decode, with its HR and NDCG for `samples`: `paths` asked, `fusion` ("" for a path alone).

    All paths between modalities that the generator has learned are asked alone; then those within one modality are
    fused, and all of them, by every fusion that takes so many, with all paths counting alike. "tuned" is the decoder
    as it is, whose paths count by the weights chosen on validation users.
    """
    within = [task.name for task in decoder.tables.tasks if task.kind == "sequence" and task.source == task.target]
    names = [task.name for task in decoder.tables.tasks if task.kind == "sequence"]
    rows: list[dict[str, Any]] = []

    def add(paths: str, fusion: str, ranking: Ranking) -> None:
        rows.append({"paths": paths, "fusion": fusion, **ranking_metrics(ranking.rank_of(samples.targets))})

    for name in names:
        add(name.split(",")[0], "", asking(decoder, [name], "mean_floor").recommend(samples, 20))
    for together in (within, names) if len(names) > len(within) else (within,):
        for group in (("union_rescore", "logmeanexp"), ("mean_floor", "published")):
            # Both fusions of a group start from the same rankings: of all candidates, or of each path's beam.
            rankings = asking(decoder, together, group[0]).rankings(samples, 20) if len(together) > 1 else []
            for how in get_args(Fusion):
                if rankings and how in group and (how != "published" or len(together) == 2):
                    add(f"{len(together)} paths", how, fuse(rankings, how, 20))
    if len(within) > 1:
        add(f"{len(decoder.paths)} paths", "tuned", decoder.recommend(samples, 20))
    return pl.DataFrame(rows)


def asking(decoder: PathDecoder, paths: list[str], fusion: Fusion) -> PathDecoder:
    """The same generator with other paths and another fusion."""
    options = replace(decoder.options, paths=tuple(paths), fusion=fusion, weights=None)
    return PathDecoder(decoder.model, decoder.tables, options)


def compare_with_exact(decoder: PathDecoder, samples: Samples, k: int = 10) -> dict[str, float]:
    """How much a beam loses against scoring every item: metrics of both, and the share of users whose lists differ.

    Asks for as many of `samples` as take seconds, one at least. Raises DataError for a catalog that is too large.
    """
    users = max(1, min(len(samples), EXACT_SCORES // decoder.tables.tokens.shape[1]))
    some = samples.take(np.arange(users))
    exact, approximate = decoder.exact(some, k), decoder.recommend(some, k)
    metrics = {"users": float(users), "users whose lists differ": beam_error(approximate, exact)}
    for name, ranking in (("beam", approximate), ("exact", exact)):
        ranks = ranking.rank_of(some.targets)
        metrics |= {f"{metric}, {name}": value for metric, value in ranking_metrics(ranks, (k,)).items()}
    return metrics
