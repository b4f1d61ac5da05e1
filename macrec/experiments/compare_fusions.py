"""Ways of asking one generator: each path alone, and groups of paths fused in every way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.evaluation.by_group import GroupComparison, compare_in_group
from macrec.evaluation.metrics import gains, ranking_metrics
from macrec.experiments.standing import standing_in_group
from macrec.generation.decoder import PathDecoder
from macrec.generation.exact import beam_error
from macrec.generation.fusion import Fusion, fuse
from macrec.generation.tasks import CodeTask

METRIC = "NDCG@10"
"""The metric of groups of users."""

EXACT_SCORES = 500_000
"""Users times items that are scored one by one: seconds on a CPU."""

DEFAULT = "the default"
"""What sentences call the decoder as it is."""


@dataclass(frozen=True, eq=False)
class Fusions:
    """Ways to decode, and the ranks of the targets by each.

    `ranks`: `paths` asked and `fusion` ("" for a path alone, "tuned" for the decoder as it is) → `[U]`; `groups`: name
    → mask `[U]` of users.
    """

    ranks: Mapping[tuple[str, str], NDArray[np.int64]]
    groups: Mapping[str, NDArray[np.bool_]]

    @property
    def table(self) -> pl.DataFrame:
        """One row per way to decode: `paths`, `fusion`, HR and NDCG, and NDCG@10 in every group, such as the column
        "NDCG@10 without picture"."""
        return pl.DataFrame([
            {"paths": paths, "fusion": fusion, **ranking_metrics(ranks)}
            | {f"{METRIC} {name}": float(gains(ranks[mask], METRIC).mean()) for name, mask in self.groups.items()}
            for (paths, fusion), ranks in self.ranks.items()
        ])  # fmt: skip

    @property
    def shown(self) -> pl.DataFrame:
        """The columns of `table` that there is room for, those of groups with the number of their users."""
        columns = {f"{METRIC} {name}": f"{name} ({mask.sum():,} users)" for name, mask in self.groups.items()}
        return self.table.select("paths", "fusion", "HR@10", METRIC, *columns).rename(columns)

    @property
    def caption(self) -> str:
        """What the table is of, in words."""
        users = len(next(iter(self.ranks.values())))
        by_target = f"; last columns: {METRIC} by the target's contents" if self.groups else ""
        return f"{users:,} test users. Single paths; equal weights; last row, the default{by_target}."

    @property
    def by_group(self) -> dict[str, GroupComparison]:
        """Group ("all" first) → the default compared with every path alone; empty where it asks but one path."""
        tuned = [ranks for (_, fusion), ranks in self.ranks.items() if fusion == "tuned"]
        if not tuned:
            return {}
        alone = {paths: ranks for (paths, fusion), ranks in self.ranks.items() if not fusion}
        everyone = {"all": np.ones(len(tuned[0]), bool)}
        return {
            name: compare_in_group({DEFAULT: tuned[0], **alone}, mask, DEFAULT, alone, METRIC)
            for name, mask in (everyone | dict(self.groups)).items()
        }

    @property
    def in_words(self) -> str:
        """A line on each group of `by_group`, below one that says what the numbers are."""
        head = f"{METRIC} of the default minus that of a path alone, for the same users, with 95% intervals over users:"
        lines = [f"- {standing_in_group(name, found, intervals=True)}" for name, found in self.by_group.items()]
        return "\n".join([head, *lines]) if lines else "The default asks one path, so nothing is fused."

    @property
    def groups_record(self) -> dict[str, Any]:
        """`by_group` as plain values, for metrics.json."""
        return {name: asdict(found) for name, found in self.by_group.items()}


def compare_fusions(
    decoder: PathDecoder, samples: Samples, groups: Mapping[str, NDArray[np.bool_]] | None = None
) -> Fusions:
    """Ask in every way: each path alone, and groups of paths fused.

    All paths between modalities that the generator has learned are asked alone. Then groups of them are fused, by every
    fusion that takes so many, with all paths counting alike: see `groups_of_paths`. "tuned" is the decoder as it is,
    whose paths count by the weights chosen on validation users. `groups`: name → mask `[U]` of `samples`, such as
    `content_groups` makes.
    """
    tasks = [task for task in decoder.tables.tasks if task.kind == "sequence"]
    ranks: dict[tuple[str, str], NDArray[np.int64]] = {}

    def add(paths: str, fusion: str, ranking: Ranking) -> None:
        ranks[paths, fusion] = ranking.rank_of(samples.targets)

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
    return Fusions(ranks, groups or {})


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
