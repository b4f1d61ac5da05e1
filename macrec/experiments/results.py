"""The results of a comparison of recommenders: rows for a table, ranks under both protocols, and informative users."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.errors import DataError, NotApplicable
from macrec.evaluation.cold import COLD_METRICS, cold_metrics
from macrec.evaluation.evaluate import Evaluation
from macrec.evaluation.metrics import ranking_metrics
from macrec.evaluation.significance import Comparison, paired_bootstrap
from macrec.experiments.modalities import listed
from macrec.generation.beam import Trace
from macrec.generation.trie import CodeTrie
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import Generative, System

METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10")
MASKED = " masked"
"""What the name of a metric ends in where seen items were masked."""


def masked(metrics: Iterable[str]) -> tuple[str, ...]:
    """The names of the same metrics where seen items are masked."""
    return tuple(f"{metric}{MASKED}" for metric in metrics)


HEADLINE = ("HR@10", "NDCG@10", *masked(("HR@10", "NDCG@10")))
"""What a table that shows both protocols has room for."""


class Search(NamedTuple):
    """One user's beam search: what `macrec.viz.views.beam_trace` draws."""

    trace: Trace
    trie: CodeTrie
    ids: SemanticIds
    target: int
    path: str


@dataclass
class Results:
    """The results of `compare_systems`.

    `rows`: one per system and seed, with the columns system, seed, the metrics of both protocols (the names of the
    masked one end in `MASKED`) and `seconds` of training; `ranks`: protocol → system → seed → ranks `[U]`; `systems` of
    the first seed by name, and their `evaluations` under the protocol `mask_seen`, which figures show; `samples`:
    the users ("test" or "validation" ones, says `asked`), and `groups` they belong to; `stopped` by an interrupt;
    `against`: the system that the others are compared with (empty: the last); `given_ids`: the modalities whose
    semantic IDs come from files; `marks`: oracle → ranks `[U]`.
    """

    samples: Samples
    groups: dict[str, NDArray[np.bool_]]
    seeds: tuple[int, ...]
    mask_seen: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    ranks: dict[bool, dict[str, dict[int, NDArray[np.int64]]]] = field(default_factory=dict)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    stopped: bool = False
    asked: str = "test"
    against: str = ""
    given_ids: tuple[str, ...] = ()
    marks: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def add(self, seed: int, system: System, evaluations: Sequence[Evaluation], **training: Any) -> None:
        """Note what `system` from `seed` reached under both `PROTOCOLS`, and what its `training` took."""
        row: dict[str, Any] = {"system": system.name, "seed": seed}
        for evaluation in evaluations:
            ending = MASKED if evaluation.mask_seen else ""
            row |= {f"{name}{ending}": none_for_nan(value) for name, value in evaluation.metrics().items()}
            of_system = self.ranks.setdefault(evaluation.mask_seen, {}).setdefault(system.name, {})
            of_system[seed] = evaluation.ranks
            if seed == self.seeds[0] and evaluation.mask_seen == self.mask_seen:
                self.evaluations[system.name] = evaluation
        if seed == self.seeds[0]:
            self.systems[system.name] = system
        self.rows.append(row | training)

    def add_mark(self, name: str, ranks: NDArray[np.int64]) -> None:
        """Note the ranks of an oracle, the same under both protocols: the built-in catalog repeats no item."""
        self.marks[name] = ranks
        metrics = ranking_metrics(ranks) | cold_metrics(ranks, self.groups.get("cold"))
        masked = {f"{metric}{MASKED}": value for metric, value in metrics.items()}
        self.rows.append({"system": name, "seed": self.seeds[0], **metrics, **masked})

    @property
    def table(self) -> pl.DataFrame:
        """The rows as a frame."""
        return pl.DataFrame(self.rows, infer_schema_length=None)

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics of the table: `HEADLINE` and, where targets are cold, what is measured of them for the figures'
        protocol.
        """
        return (*HEADLINE, *self._measured(masked(COLD_METRICS) if self.mask_seen else COLD_METRICS))

    def _measured(self, metrics: Sequence[str]) -> tuple[str, ...]:
        """Those of `metrics` that some row has."""
        return tuple(metric for metric in metrics if any(metric in row for row in self.rows))

    @property
    def caption(self) -> str:
        """What the table is of, in words."""
        users = f"{len(self.samples):,} {self.asked} users"
        runs = len({row["seed"] for row in self.rows})
        seeds = f"mean ± standard deviation over {runs} seeds" if runs > 1 else "one seed"
        over = f"; the {listed(self.given_ids)} IDs are given" if self.given_ids else ""
        protocols = f"every item is a candidate; masked: without the items of the history{over}."
        return f"{users}, {seeds}; {protocols}{self.on_cold}"

    @property
    def on_cold(self) -> str:
        """What the columns on cold items are of, in words; empty where there are none."""
        if self.columns == HEADLINE or not self.evaluations:
            return ""
        counts, cold = next(iter(self.evaluations.values())).counts, int(self.groups["cold"].sum())
        return (
            f" Cold: the {cold:,} users whose target has no training event; in-set: the others. Exposure: the share of "
            f"the places shown that cold items take, which are {(counts == 0).mean():.1%} of the catalog."
        )

    @property
    def metric(self) -> str:
        """The metric that figures show: NDCG@10 under the protocol `mask_seen`."""
        return f"NDCG@10{MASKED if self.mask_seen else ''}"

    @property
    def reference(self) -> str:
        """The system that the others are compared with: `against`, or the last where that was not evaluated."""
        return self.against if self.against in self.evaluations else next(reversed(self.evaluations), self.against)

    def differences(
        self, against: str = "", metric: str = "NDCG@10", mask_seen: bool | None = None
    ) -> dict[str, Comparison]:
        """By how much every other system exceeds `against` (default: the reference) for the same users, over all seeds.

        `mask_seen`: under which protocol; None: the one that figures show. Raises DataError for a system that was
        not evaluated.
        """
        against = against or self.reference
        ranks = self.ranks.get(self.mask_seen if mask_seen is None else mask_seen, {})
        if against not in ranks:
            known = ", ".join(ranks) or "nothing: run the table's cell again"
            raise DataError(f"{against} was not evaluated", field="against", fix=f"choose from {known}")
        runs = {name: np.stack(list(of_seed.values())) for name, of_seed in ranks.items()}
        return {
            name: paired_bootstrap(of_seeds, runs[against], metric)
            for name, of_seeds in runs.items()
            if name != against
        }

    def all_differences(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Protocol → system → its difference from the reference as plain values, for metrics.json."""
        return {
            "masked" if mask_seen else "unmasked": {
                name: asdict(difference) for name, difference in self.differences(mask_seen=mask_seen).items()
            }
            for mask_seen in self.ranks
        }

    def lead(self, metric: str = "NDCG@10") -> dict[str, dict[str, Any]]:
        """Protocol → the best system, the next, and by how much it exceeds that, as plain values, for metrics.json.

        The best by their means over seeds; of the oracles there are no paired ranks. Empty for fewer than two systems.
        """
        leads, means = {}, self.by_system()
        for mask_seen, of_protocol in self.ranks.items():
            scores = {name: means[name][f"{metric}{MASKED if mask_seen else ''}"] for name in of_protocol}
            best, *others = sorted(scores, key=scores.__getitem__, reverse=True)
            for second in others[:1]:
                difference = asdict(self.differences(second, metric, mask_seen)[best])
                leads["masked" if mask_seen else "unmasked"] = {"best": best, "next": second, **difference}
        return leads

    def by_group(self) -> dict[str, pl.DataFrame]:
        """System → its metrics in every group of users, of the first seed."""
        return {name: evaluation.by_group() for name, evaluation in self.evaluations.items()}

    def by_system(self) -> dict[str, dict[str, float]]:
        """System → the mean over seeds of HR and NDCG under both protocols, for metrics.json."""
        if not self.rows:  # interrupted before anything was finished
            return {}
        metrics = (*METRICS, *masked(METRICS), *self._measured((*COLD_METRICS, *masked(COLD_METRICS))))
        table = self.table.group_by("system", maintain_order=True).agg(pl.col(*metrics).mean())
        return {row.pop("system"): row for row in table.to_dicts()}

    def informative_users(self, users: int) -> NDArray[np.int64]:
        """Informative users: those whose target some systems rank among the first 10, the fewer the better.

        Half of them (rounded up) are hits of the reference, half are not, as far as there are such.
        """
        hits = np.stack([(each.ranks >= 1) & (each.ranks <= 10) for each in self.evaluations.values()])
        mine = hits[list(self.evaluations).index(self.reference)]
        by_few = np.argsort(np.where(hits.any(0), hits.sum(0), len(hits) + 1), kind="stable")
        hit, missed = by_few[mine[by_few]], by_few[~mine[by_few]]
        first = hit[: max((users + 1) // 2, users - len(missed))]
        return np.concatenate([first, missed[: users - len(first)]])

    def replayed(self, users: int) -> tuple[Samples, range, dict[str, Ranking], dict[str, NDArray[np.bool_]]]:
        """What `replay` shows of so many informative users: samples, their rows, rankings by system, groups."""
        chosen = self.informative_users(users)
        few = self.samples.take(chosen)
        rankings = {name: system.recommend(few, 20, self.mask_seen) for name, system in self.systems.items()}
        return few, range(len(few)), rankings, {name: mask[chosen] for name, mask in self.groups.items()}

    def traced(self) -> Search:
        """The search of the reference, or of the last generator where that is none: one user, its first path.

        Raises NotApplicable when there is no generator.
        """
        last = [self.systems[name] for name in (*self.systems, self.reference) if name in self.systems]
        system = next((one for one in reversed(last) if isinstance(one, Generative)), None)
        if system is None:
            what = "no generator was trained, so there is no beam search to show"
            raise NotApplicable(what, fix="give texts, pictures or semantic IDs, and let the table's cell finish")
        decoder, few = system.decoder, self.samples.take(self.informative_users(1))
        task = decoder.tables.tasks[decoder.paths[0]]
        _, trace = decoder.trace(task.name, few, self.mask_seen)
        ids = decoder.tables.table(task.target)
        return Search(trace, decoder.tries[task.target], ids, int(few.targets[0]), task.name.split(",")[0])


def none_for_nan(value: float) -> float | None:
    """JSON and tables have no NaN."""
    return None if math.isnan(value) else value
