"""All recommenders on one dataset: trained from every seed, ranked on the same users, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.evaluation.ceiling import known_ranks
from macrec.evaluation.evaluate import Evaluation, evaluate, target_groups
from macrec.evaluation.metrics import ranking_metrics
from macrec.evaluation.significance import Comparison, paired_bootstrap
from macrec.systems import (
    TIGER,
    CodebookSettings,
    GeneratorSettings,
    ItemKNN,
    MACRec,
    Markov,
    MQL4GRec,
    Popularity,
    SASRec,
    SASRecRecipe,
    System,
)
from macrec.systems.macrec import Term
from macrec.training import Event, drain

MAIN = "MACRec"
SIMPLE = ("popularity", "Markov-1", "item-kNN")
"""Systems that count: no seed changes them."""
METRICS = ("HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10")

Roster = Mapping[str, System]


def every_system(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> dict[str, System]:
    """The systems of the table by name, from simple to MACRec; those over two modalities only where there are two."""
    seed = generator.recipe.seed
    found: list[System] = [Popularity(), Markov(), ItemKNN(), SASRec(SASRecRecipe(seed=seed), folder / "sasrec")]
    found += [TIGER(folder, embeddings, modality, codebooks, generator) for modality in embeddings]
    if len(embeddings) > 1:
        found += [MQL4GRec(folder, embeddings, codebooks, generator), MACRec(folder, embeddings, codebooks, generator)]
    return {system.name: system for system in found}


def ablated_systems(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> dict[str, System]:
    """MACRec and MACRec without each of its terms, as in the paper's Table 3."""
    found = [MACRec(folder, embeddings, codebooks, generator)]
    found += [MACRec(folder, embeddings, codebooks, generator, (term,)) for term in get_args(Term)]
    return {system.name: system for system in found}


@dataclass
class Results:
    """What `compare_systems` found.

    `rows`: one per system and seed, with the columns system, seed, the metrics and `seconds` of training;
    `evaluations` and `systems`, of the first seed, by system; `samples`: the users; `stopped` by an interrupt.
    """

    samples: Samples
    seeds: tuple[int, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    stopped: bool = False

    @property
    def table(self) -> pl.DataFrame:
        """The rows as a frame."""
        return pl.DataFrame(self.rows)

    def differences(self, against: str = MAIN, metric: str = "NDCG@10") -> dict[str, Comparison]:
        """By how much every other system exceeds `against` for the same users, of the first seed.

        Raises DataError for a system that was not evaluated.
        """
        if against not in self.evaluations:
            known = ", ".join(self.evaluations)
            raise DataError(f"{against} was not evaluated", field="against", fix=f"choose from {known}")
        ranks = {name: found.ranks for name, found in self.evaluations.items()}
        return {
            name: paired_bootstrap(found, ranks[against], metric) for name, found in ranks.items() if name != against
        }

    def by_system(self) -> dict[str, dict[str, float]]:
        """System → the mean over seeds of HR and NDCG, for metrics.json."""
        table = self.table.group_by("system", maintain_order=True).agg(pl.col(*METRICS).mean())
        return {row.pop("system"): row for row in table.to_dicts()}


def compare_systems(
    make: Callable[[int], Roster],
    data: Dataset,
    split: Split,
    seeds: Sequence[int],
    users: int = 0,
    mask_seen: bool = False,
    progress: bool = False,
) -> Results:
    """Train what `make` gives for every seed, and let it rank the catalog for test users, the same for all.

    Systems that are trained already are not trained again. `users`: how many test users, drawn at random; 0 is all.
    On the built-in catalog the marks (oracle, reads only, sees only) join as systems. After an interrupt what was
    finished is returned. `progress` shows a bar. Raises DataError when nobody can be tested.
    """
    results = Results(chosen_users(split.test, users), tuple(seeds))
    counts, groups = item_counts(split, data.num_items), target_groups(data, split, results.samples)
    todo = [(seed, name) for seed in seeds for name in make(seed) if seed == seeds[0] or name not in SIMPLE]
    bar = tqdm(todo, desc="systems", unit="systems", disable=not progress)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        results.stopped = True
        for seed, name in bar:
            bar.set_postfix_str(f"{name}, seed {seed}")
            system = make(seed)[name]
            trained = drain(system.fit(data, split))
            if trained.stopped:
                break
            found = evaluate(system, results.samples, counts, groups=groups, mask_seen=mask_seen)
            row = {"system": name, "seed": seed, **found.metrics(), "seconds": seconds_of(trained.events)}
            results.rows.append(row)
            if seed == seeds[0]:
                results.evaluations[name], results.systems[name] = found, system
        else:
            results.stopped = False
    for name, ranks in known_ranks(data, results.samples).items():
        results.rows.append({"system": name, "seed": seeds[0], **ranking_metrics(ranks)})
    return results


def chosen_users(samples: Samples, users: int) -> Samples:
    """`users` of `samples` at random, always the same ones, in their order; all for 0."""
    if users < 0:
        raise DataError(f"{users} cannot be used", field="users", fix="give a number of users, or 0 for all")
    if not users or users >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(0).permutation(len(samples))[:users]))


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds spent on the steps of all trainings that follow each other in `events`."""
    ends = [
        event.seconds for event, following in zip(events, [*events[1:], None], strict=True)
        if following is None or following.step < event.step
    ]  # fmt: skip
    return float(sum(ends))
