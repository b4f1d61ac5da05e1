"""All recommenders on one dataset: trained from every seed, ranked on the same users, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking
from macrec.data.split import Samples, Split, item_counts
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.evaluation.ceiling import known_ranks
from macrec.evaluation.evaluate import Evaluation, evaluate, target_groups
from macrec.evaluation.metrics import ranking_metrics
from macrec.evaluation.significance import Comparison, paired_bootstrap
from macrec.generation.beam import Trace
from macrec.generation.trie import CodeTrie
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems import (
    TIGER,
    CodebookSettings,
    Generative,
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


def roster(*systems: System) -> dict[str, System]:
    """Systems by name."""
    return {system.name: system for system in systems}


def every_system(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> dict[str, System]:
    """The systems of the table by name, from simple to MACRec; those over two modalities only where there are two."""
    seed = generator.recipe.seed
    found: list[System] = [Popularity(), Markov(), ItemKNN(), SASRec(SASRecRecipe(seed=seed), folder / "sasrec")]
    found += [TIGER(folder, embeddings, modality, codebooks, generator) for modality in embeddings]
    if len(embeddings) > 1:
        found += [MQL4GRec(folder, embeddings, codebooks, generator), MACRec(folder, embeddings, codebooks, generator)]
    return roster(*found)


def ablated_systems(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> dict[str, System]:
    """MACRec without each of its terms, as in the paper's Table 3."""
    found: list[System] = [MACRec(folder, embeddings, codebooks, generator, (term,)) for term in get_args(Term)]
    return roster(*found)


class Search(NamedTuple):
    """One user's beam search: what `macrec.viz.beam_trace` draws."""

    trace: Trace
    trie: CodeTrie
    ids: SemanticIds
    target: int
    path: str


@dataclass
class Results:
    """What `compare_systems` found.

    `rows`: one per system and seed, with the columns system, seed, the metrics and `seconds` of training; `evaluations`
    and `systems`, of the first seed, by name; `samples`: the users, and `groups` they belong to; `stopped` by an
    interrupt.
    """

    samples: Samples
    groups: dict[str, NDArray[np.bool_]]
    seeds: tuple[int, ...]
    mask_seen: bool = False
    rows: list[dict[str, Any]] = field(default_factory=list)
    evaluations: dict[str, Evaluation] = field(default_factory=dict)
    systems: dict[str, System] = field(default_factory=dict)
    stopped: bool = False

    @property
    def table(self) -> pl.DataFrame:
        """The rows as a frame."""
        return pl.DataFrame(self.rows, infer_schema_length=None)

    @property
    def caption(self) -> str:
        """What the table is of, in words."""
        users = f"{len(self.samples):,} test users"
        runs = len({row["seed"] for row in self.rows})
        seeds = f"mean ± standard deviation over {runs} seeds" if runs > 1 else "one seed"
        return f"{users}, {seeds}, seen items {'masked' if self.mask_seen else 'not masked'}."

    @property
    def reference(self) -> str:
        """The system that the others are compared with: MACRec, or the last that was evaluated."""
        return MAIN if MAIN in self.evaluations else next(reversed(self.evaluations), MAIN)

    def differences(self, against: str = "", metric: str = "NDCG@10") -> dict[str, Comparison]:
        """By how much every other system exceeds `against` (default: the reference) for the same users, first seed.

        Raises DataError for a system that was not evaluated.
        """
        against = against or self.reference
        if against not in self.evaluations:
            known = ", ".join(self.evaluations) or "nothing: run the table's cell again"
            raise DataError(f"{against} was not evaluated", field="against", fix=f"choose from {known}")
        ranks = {name: found.ranks for name, found in self.evaluations.items()}
        return {
            name: paired_bootstrap(found, ranks[against], metric) for name, found in ranks.items() if name != against
        }

    def by_group(self) -> dict[str, pl.DataFrame]:
        """System → its metrics in every group of users, of the first seed."""
        return {name: found.by_group() for name, found in self.evaluations.items()}

    def by_system(self) -> dict[str, dict[str, float]]:
        """System → the mean over seeds of HR and NDCG, for metrics.json."""
        if not self.rows:  # interrupted before anything was finished
            return {}
        table = self.table.group_by("system", maintain_order=True).agg(pl.col(*METRICS).mean())
        return {row.pop("system"): row for row in table.to_dicts()}

    def telling(self, users: int) -> NDArray[np.int64]:
        """Users worth a look: those whose target some systems find among the first 10, the fewer the better.

        Half of them (rounded up) are found by the reference, half are not, as far as there are such.
        """
        hits = np.stack([(found.ranks >= 1) & (found.ranks <= 10) for found in self.evaluations.values()])
        mine = hits[list(self.evaluations).index(self.reference)]
        by_few = np.argsort(np.where(hits.any(0), hits.sum(0), len(hits) + 1), kind="stable")
        found, missed = by_few[mine[by_few]], by_few[~mine[by_few]]
        first = found[: max((users + 1) // 2, users - len(missed))]
        return np.concatenate([first, missed[: users - len(first)]])

    def replayed(self, users: int) -> tuple[Samples, range, dict[str, Ranking], dict[str, NDArray[np.bool_]]]:
        """What `macrec.viz.replay` shows of so many telling users: samples, their rows, rankings by system, groups."""
        chosen = self.telling(users)
        few = self.samples.take(chosen)
        rankings = {name: system.recommend(few, 20, self.mask_seen) for name, system in self.systems.items()}
        return few, range(len(few)), rankings, {name: mask[chosen] for name, mask in self.groups.items()}

    def traced(self) -> Search:
        """The search of the last generator, MACRec if it was trained, for the first telling user, on its first path.

        Raises DataError when there is no generator yet.
        """
        system = next((found for found in reversed(self.systems.values()) if isinstance(found, Generative)), None)
        if system is None:
            raise DataError(
                "no generator was trained, so there is no beam to look at", fix="run the table's cell again"
            )
        decoder, few = system.decoder, self.samples.take(self.telling(1))
        task = decoder.tables.tasks[decoder.paths[0]]
        _, trace = decoder.trace(task.name, few, self.mask_seen)
        ids = decoder.tables.ids[task.target]
        return Search(trace, decoder.tries[task.target], ids, int(few.targets[0]), task.name.split(",")[0])


@dataclass(frozen=True)
class Contest:
    """All systems over one dataset with one choice of settings, kept in `folder`."""

    folder: Path
    data: Dataset
    split: Split
    embeddings: Mapping[str, Embeddings]
    codebooks: CodebookSettings
    generator: GeneratorSettings

    def run(self, seeds: Sequence[int], users: int = 0, mask_seen: bool = False, progress: bool = False) -> Results:
        """Train and rank `every_system` from every seed; see `compare_systems`."""

        def make(seed: int) -> Roster:
            books, generator = self.codebooks.with_seed(seed), self.generator.with_seed(seed)
            return every_system(self.folder, self.embeddings, books, generator)

        return compare_systems(make, self.data, self.split, seeds, users, mask_seen, progress)

    def ablate(self, results: Results, wanted: bool = True, progress: bool = False) -> Results:
        """MACRec without each of its terms, for the seeds and users of `results`, whose reference it is compared with.

        Only that one when it is not `wanted`, or where there are not two modalities.
        """

        def make(seed: int) -> Roster:
            if not wanted or results.stopped or len(self.embeddings) < 2:
                return {}
            books, generator = self.codebooks.with_seed(seed), self.generator.with_seed(seed)
            return ablated_systems(self.folder, self.embeddings, books, generator)

        found = compare_systems(
            make, self.data, self.split, results.seeds, len(results.samples), results.mask_seen, progress
        )
        full = [row for row in results.rows if row["system"] == results.reference]
        found.rows = full + [row for row in found.rows if row["system"].startswith(MAIN)]
        return found


def seeds_of(profile: str, seeds: int = 0, seed: int = 0) -> range:
    """`seeds` seeds from `seed` on; 0 means what the profile does: three in a study, one otherwise.

    Raises DataError for a negative number.
    """
    if seeds < 0:
        raise DataError(f"{seeds} is too small", field="seeds", fix="give a whole number of 0 or more")
    return range(seed, seed + (seeds or {"study": 3}.get(profile, 1)))


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
    samples = chosen_users(split.test, users)
    counts, groups = item_counts(split, data.num_items), target_groups(data, split, samples)
    results = Results(samples, groups, tuple(seeds), mask_seen)
    names = list(make(seeds[0]))
    todo = [(seed, name) for seed in seeds for name in names if seed == seeds[0] or name not in SIMPLE]
    bar = tqdm(todo, desc="systems", unit="systems", disable=not (progress and todo), leave=False)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        results.stopped = True
        for seed, name in bar:
            system = make(seed)[name]  # only those of the first seed are kept
            trained = drain(system.fit(data, split), Told(bar, f"{name}, seed {seed}"))
            if trained.stopped:
                break
            found = evaluate(system, results.samples, counts, groups=groups, mask_seen=mask_seen)
            metrics = {key: None if np.isnan(value) else value for key, value in found.metrics().items()}
            row = {"system": name, "seed": seed, **metrics, "seconds": seconds_of(trained.events)}
            results.rows.append(row)
            if seed == seeds[0]:
                results.evaluations[name], results.systems[name] = found, system
        else:
            results.stopped = False
    for name, ranks in known_ranks(data, results.samples).items():
        results.rows.append({"system": name, "seed": seeds[0], **ranking_metrics(ranks)})
    return results


class Told:
    """A sink that tells on a progress bar how far the training of `name` is."""

    def __init__(self, bar: Any, name: str) -> None:
        self.bar, self.name = bar, name
        bar.set_postfix_str(name)

    def __call__(self, event: Event) -> None:
        """Called for every event."""
        self.bar.set_postfix_str(f"{self.name}, step {event.step:,} of {event.steps:,}")


def chosen_users(samples: Samples, users: int) -> Samples:
    """`users` of `samples` at random, always the same ones, in their order; all for 0."""
    if users < 0:
        raise DataError(f"{users} cannot be used", field="users", fix="give a number of users, or 0 for all")
    if len(samples) == 0:
        raise DataError("there is nobody to evaluate on", fix="give users with 3 events or more")
    if not users or users >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(0).permutation(len(samples))[:users]))


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds spent on the steps of all trainings that follow each other in `events`."""
    ends = [now for now, then in pairwise(events) if then.steps != now.steps or then.step <= now.step]
    return float(sum(event.seconds for event in [*ends, *events[-1:]]))
