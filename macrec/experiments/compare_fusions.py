"""Ways of asking one generator: each path alone, and groups of paths fused in every way."""

from __future__ import annotations

from collections.abc import Sequence
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
from macrec.generation.tasks import CodeTask

EXACT_SCORES = 500_000
"""Users times items that are scored one by one: seconds on a CPU."""


def compare_fusions(decoder: PathDecoder, samples: Samples) -> pl.DataFrame:
    """One row per way to decode, with its HR and NDCG for `samples`: `paths` asked, `fusion` ("" for a path alone).

    All paths between modalities that the generator has learned are asked alone. Then groups of them are fused, by every
    fusion that takes so many, with all paths counting alike: see `groups_of_paths`. "tuned" is the decoder as it is,
    whose paths count by the weights chosen on validation users.
    """
    tasks = [task for task in decoder.tables.tasks if task.kind == "sequence"]
    rows: list[dict[str, Any]] = []

    def add(paths: str, fusion: str, ranking: Ranking) -> None:
        rows.append({"paths": paths, "fusion": fusion, **ranking_metrics(ranking.rank_of(samples.targets))})

    for task in tasks:
        add(short(task.name), "", asking(decoder, [task.name], "mean_floor").recommend(samples, 20))
    for name, together in groups_of_paths(tasks).items():
        for alike in (("union_rescore", "logmeanexp"), ("mean_floor", "published")):
            # Both fusions start from the same rankings: of all candidates, or of each path's beam.
            rankings = asking(decoder, together, alike[0]).rankings(samples, 20)
            for how in get_args(Fusion):
                if how in alike and (how != "published" or len(together) == 2):
                    add(name, how, fuse(rankings, how, 20))
    if len(decoder.paths) > 1:
        asked = ", ".join(short(decoder.tables.tasks[path].name) for path in decoder.paths)
        add(asked, "tuned", decoder.recommend(samples, 20))
    return pl.DataFrame(rows)


def groups_of_paths(tasks: Sequence[CodeTask]) -> dict[str, list[str]]:
    """Group → the names of its paths, two or more: those that read all modalities at once; those within a modality; and
    all that read one modality, where there are further ones. Two paths are called by their names.
    """
    groups = {
        "joint paths": [task.name for task in tasks if len(task.sources) > 1],
        "paths within": [task.name for task in tasks if task.source == task.target],
        "paths from one": [task.name for task in tasks if len(task.sources) == 1],
    }
    if groups["paths from one"] == groups["paths within"]:
        del groups["paths from one"]
    return {
        ", ".join(map(short, group)) if len(group) == 2 else f"{len(group)} {kind}": group
        for kind, group in groups.items()
        if len(group) > 1
    }


def short(path: str) -> str:
    """The name of a path without the kind of its task: "text→image"."""
    return path.split(",")[0]


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
