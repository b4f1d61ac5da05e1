"""Ways of asking one generator: each path alone, and two or four paths fused in every way."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import polars as pl

from macrec.data.split import Samples
from macrec.evaluation.metrics import ranking_metrics
from macrec.generation.exact import beam_error
from macrec.generation.fusion import Fusion
from macrec.generation.paths import PathDecoder


def compare_fusions(decoder: PathDecoder, samples: Samples) -> pl.DataFrame:
    """One row per way, with its HR and NDCG for `samples`: `paths` asked, `fusion` ("" for a path alone).

    All paths between modalities that the generator has learned are asked alone; then those within one modality are
    fused, and all of them, by every fusion that takes so many (paths count alike).
    """
    names = [task.name for task in decoder.tables.tasks if task.kind == "sequence"]
    within = [task.name for task in decoder.tables.tasks if task.kind == "sequence" and task.source == task.target]
    ways: list[tuple[list[str], Fusion | None]] = [([name], None) for name in names]
    for together in (within, names) if len(names) > len(within) else (within,):
        if len(together) > 1:
            ways += [(together, how) for how in get_args(Fusion) if how != "official" or len(together) == 2]
    rows = []
    for paths, how in ways:
        fusion = how or decoder.options.fusion
        options = replace(decoder.options, paths=tuple(paths), weights=None, fusion=fusion)
        asked = PathDecoder(decoder.model, decoder.tables, options)
        ranks = asked.recommend(samples, 20).rank_of(samples.targets)
        label = paths[0].split(",")[0] if len(paths) == 1 else f"{len(paths)} paths"
        rows.append({"paths": label, "fusion": how or "", **ranking_metrics(ranks)})
    return pl.DataFrame(rows)


def compare_with_exact(decoder: PathDecoder, samples: Samples, k: int = 10) -> dict[str, float]:
    """How much a beam loses against scoring every item: metrics of both, and the share of users whose lists differ.

    Raises DataError for a catalog that is too large for that.
    """
    exact, found = decoder.exact(samples, k), decoder.recommend(samples, k)
    metrics: dict[str, float] = {}
    for name, ranking in (("beam", found), ("exact", exact)):
        metrics |= {f"{metric}, {name}": value for metric, value in
                    ranking_metrics(ranking.rank_of(samples.targets), (k,)).items()}  # fmt: skip
    return metrics | {"users whose lists differ": beam_error(found, exact)}
