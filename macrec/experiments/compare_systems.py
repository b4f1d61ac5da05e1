"""All recommenders on one dataset: trained from every seed, ranked on the same users, in one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts
from macrec.encoders import Embeddings
from macrec.errors import DataError, NotApplicable
from macrec.evaluation.ceiling import known_ranks
from macrec.evaluation.evaluate import evaluate_each, target_groups
from macrec.evaluation.validation import split_for
from macrec.experiments.open_system import Given, over_given
from macrec.experiments.results import MAIN, Results
from macrec.systems import (
    TIGER,
    Generative,
    GeneratorSettings,
    ItemKNN,
    LateFusion,
    MACRec,
    Markov,
    MQL4GRec,
    Popularity,
    SASRec,
    SASRecRecipe,
    System,
    TransitionGraph,
)
from macrec.systems.budget import Budget, effort, matched
from macrec.systems.macrec import Term
from macrec.systems.settings import profile_named
from macrec.tokenizers import CodebookSettings
from macrec.training import Event, drain

SIMPLE = ("popularity", "Markov-1", "item-kNN", "transition graph")
"""Systems that count: no seed changes them."""

LATE = "TIGERs, fused late"
"""The control for generators over two modalities: those over one, trained apart."""

Systems = Mapping[str, System]


def by_name(*systems: System) -> dict[str, System]:
    """Systems by name."""
    return {system.name: system for system in systems}


def every_system(
    folder: Path,
    embeddings: Mapping[str, Embeddings],
    codebooks: CodebookSettings,
    generator: GeneratorSettings,
    given: Given | None = None,
) -> dict[str, System]:
    """The systems of the table by name, from simple to MACRec; those over two modalities only where there are two.

    The generators are over the `given` IDs where there are any, else over codebooks of the embeddings; without either
    there are none.
    """
    seed = generator.recipe.seed
    found: list[System] = [Popularity(), Markov(), ItemKNN(), TransitionGraph()]
    found.append(SASRec(SASRecRecipe(seed=seed), folder / "sasrec"))
    if given:
        alone = [over_given(folder, {modality: ids}, generator) for modality, ids in given.items()]
        if len(given) == 1:
            return by_name(*found, *alone)
        return by_name(*found, *alone, LateFusion(alone, LATE), over_given(folder, given, generator))
    tigers = [TIGER(folder, embeddings, modality, codebooks, generator) for modality in embeddings]
    found += tigers
    if len(embeddings) > 1:
        found.append(LateFusion(tigers, LATE))
        found += [MQL4GRec(folder, embeddings, codebooks, generator), MACRec(folder, embeddings, codebooks, generator)]
    return by_name(*found)


def ablated_systems(
    folder: Path, embeddings: Mapping[str, Embeddings], codebooks: CodebookSettings, generator: GeneratorSettings
) -> dict[str, System]:
    """MACRec without each of its terms, as in the paper's Table 3, and without all of them."""
    without: list[tuple[Term, ...]] = [*((term,) for term in get_args(Term)), get_args(Term)]
    found: list[System] = [MACRec(folder, embeddings, codebooks, generator, terms) for terms in without]
    return by_name(*found)


@dataclass(frozen=True)
class SystemComparison:
    """All systems over one dataset with one choice of settings, kept in `folder`.

    Every generator may spend what MACRec takes for its epochs, counted in units of `budget`. `asked`: to whom they
    recommend, "test" users or, where settings are to be chosen, "validation" users.
    """

    folder: Path
    data: Dataset
    split: Split
    embeddings: Mapping[str, Embeddings]
    codebooks: CodebookSettings
    generator: GeneratorSettings
    given: Given | None = None
    budget: Budget = "epochs"
    asked: str = "test"

    @property
    def spent(self) -> str:
        """What the table of efforts is of, in words."""
        unit = {"epochs": "epochs", "steps": "optimizer steps", "seconds": "seconds of CPU time"}[self.budget]
        given = f"generators were given as many {unit} as MACRec"
        return f"What each training took, codebooks and measurements left out; {given}."

    def within_budget(self, system: System, told: Callable[[Event], None]) -> System:
        """`system` with as many steps as the budget has; only a budget in seconds needs what codebooks have learned."""
        if isinstance(system, LateFusion):
            parts = [cast(Generative, self.within_budget(part, told)) for part in system.parts]
            return LateFusion(parts, system.name)
        if not isinstance(system, Generative) or len(self.given or self.embeddings) < 2:
            return system
        seed = system.settings.recipe.seed
        books, generator = self.codebooks.with_seed(seed), self.generator.with_seed(seed)
        reference: Generative
        if self.given:
            reference = over_given(self.folder, self.given, generator)
        else:
            reference = MACRec(self.folder, self.embeddings, books, generator)
        if self.budget == "seconds":
            for stage in (reference, system):
                for event in stage.learn_ids(self.data):
                    told(event)
        return matched(system, reference, self.budget, self.data, self.split)

    def run(self, seeds: Sequence[int], users: int = 0, mask_seen: bool = False, progress: bool = False) -> Results:
        """Train and rank `every_system` from every seed; see `compare_systems`."""

        def make(seed: int) -> Systems:
            books, generator = self.codebooks.with_seed(seed), self.generator.with_seed(seed)
            return every_system(self.folder, self.embeddings, books, generator, self.given)

        split = split_for(self.asked, self.split)
        found = compare_systems(make, self.data, split, seeds, users, mask_seen, progress, self.within_budget)
        found.asked = self.asked
        return found

    def ablate(self, results: Results, wanted: bool = True, progress: bool = False) -> Results:
        """MACRec without each of its terms, for the seeds and users of `results`, whose reference it is compared with.

        Only that one when it is not `wanted`, or where there are not two modalities.
        """

        def make(seed: int) -> Systems:
            if not wanted or results.stopped or self.given or len(self.embeddings) < 2:
                return {}
            books, generator = self.codebooks.with_seed(seed), self.generator.with_seed(seed)
            return ablated_systems(self.folder, self.embeddings, books, generator)

        found = compare_systems(
            make,
            self.data,
            split_for(self.asked, self.split),
            results.seeds,
            len(results.samples),
            results.mask_seen,
            progress,
            self.within_budget,
        )
        full = [row for row in results.rows if row["system"] == results.reference]
        found.rows = full + [row for row in found.rows if row["system"].startswith(MAIN)]
        return found


def seeds_of(profile: str, seeds: int = 0, seed: int = 0) -> range:
    """`seeds` seeds from `seed` on; 0 means as many as the profile says.

    Raises DataError for a negative number.
    """
    if seeds < 0:
        raise DataError(f"{seeds} is too small", field="seeds", fix="give a whole number of 0 or more")
    return range(seed, seed + (seeds or profile_named(profile).seeds))


def compare_systems(
    make: Callable[[int], Systems],
    data: Dataset,
    split: Split,
    seeds: Sequence[int],
    users: int = 0,
    mask_seen: bool = False,
    progress: bool = False,
    ready: Callable[[System, Callable[[Event], None]], System] = lambda system, told: system,
) -> Results:
    """Train what `make` gives for every seed, and let it rank the catalog for test users, the same for all.

    Systems that are trained already are not trained again. `users`: how many test users, drawn at random; 0 is all.
    Both protocols are measured, from one training; `mask_seen` says which one figures look at. On the built-in catalog
    the oracles (oracle, text-only, image-only) join as systems. After an interrupt what was finished is returned.
    `progress` shows a bar. `ready` is given every system before it learns, and somebody to tell events, and gives the
    one that is trained. Raises DataError when nobody can be tested.
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
            told = ProgressSink(bar, f"{name}, seed {seed}")
            system = ready(make(seed)[name], told)  # only those of the first seed are kept
            trained = drain(system.fit(data, split), told)
            if trained.stopped:
                break
            found = evaluate_each(system, results.samples, counts, groups=groups)
            results.add(seed, system, found, seconds=seconds_of(trained.events), **effort(system))
        else:
            results.stopped = False
    for name, ranks in known_ranks(data, results.samples).items():
        results.add_mark(name, ranks)
    return results


class ProgressSink:
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
        raise NotApplicable("there is nobody to evaluate on", fix="give users with 3 events or more")
    if not users or users >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(0).permutation(len(samples))[:users]))


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds spent on the steps of all trainings that follow each other in `events`."""
    ends = [now for now, then in pairwise(events) if then.steps != now.steps or then.step <= now.step]
    return float(sum(event.seconds for event in [*ends, *events[-1:]]))
