"""All recommenders on one dataset: trained from every seed, ranked on the same users, in one table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts
from macrec.discovery import OWN_FILE
from macrec.errors import DataError, NotApplicable, say_left_out
from macrec.evaluation.ceiling import known_ranks
from macrec.evaluation.evaluate import evaluate_each, target_groups
from macrec.evaluation.validation import split_for
from macrec.experiments.modalities import listed
from macrec.experiments.results import Results
from macrec.systems import Generative, LateFusion, System
from macrec.systems.budget import Budget, effort, matched
from macrec.systems.registry import Context, Entry, entries, entry_of, open_generator, systems
from macrec.systems.settings import profile_named
from macrec.training import Event, drain

Systems = Mapping[str, System]


def by_name(*systems: System) -> dict[str, System]:
    """Systems by name."""
    return {system.name: system for system in systems}


@dataclass(frozen=True)
class SystemComparison:
    """The registered systems over one dataset with one choice of settings.

    `names`: which, between commas; empty: those of `usual` and the reference (no `usual`: all) whose needs are met.
    `reference`: the system that the others are compared with, whose terms an ablation leaves out. Every generator may
    spend what the reference takes for its epochs, counted in units of `budget`. `asked`: to whom they recommend, "test"
    users or, where settings are to be chosen, "validation" users.
    """

    context: Context
    names: str = ""
    reference: str = "MACRec"
    budget: Budget = "epochs"
    asked: str = "test"
    usual: tuple[str, ...] = ()

    def make(self, seed: int) -> Systems:
        """The systems from this seed, not yet trained."""
        context = self.context
        usual = [entry for entry in self.usual_entries() if not entry.unmet_in(context)]
        return systems(context.with_seed(seed), self.names.strip() or ", ".join(entry.name for entry in usual))

    def usual_entries(self) -> list[Entry]:
        """The entries that are compared where none are named and their needs are met; none where that is all."""
        found = [*map(entry_of, self.usual), entry_of(self.reference, "reference")] if self.usual else []
        return list({entry.name: entry for entry in found}.values())

    @property
    def against(self) -> str:
        """The name of the reference, also where it was given as a file."""
        return entry_of(self.reference).name if OWN_FILE.fullmatch(self.reference) else self.reference

    @property
    def spent(self) -> str:
        """What the table of efforts is of, in words."""
        what = "What each training took, codebooks and measurements left out"
        context, entry = self.context, entry_of(self.reference, "reference")
        if entry.family != "generative" or entry.unmet_in(context):
            return f"{what}; every generator was trained for the epochs of the profile."
        unit = {"epochs": "epochs", "steps": "optimizer steps", "seconds": "seconds of CPU time"}[self.budget]
        return f"{what}; generators were given as many {unit} as {self.against}."

    def within_budget(self, system: System, report: Callable[[Event], None]) -> System:
        """`system` with as many steps as the budget has; only a budget in seconds needs what codebooks have learned."""
        if isinstance(system, LateFusion):
            parts = [cast(Generative, self.within_budget(part, report)) for part in system.parts]
            return LateFusion(parts, system.name)
        context, entry = self.context, entry_of(self.reference)
        unmet = entry.unmet_in(context)
        if not isinstance(system, Generative) or self.budget == "epochs" or unmet:
            return system
        reference = open_generator(context.with_seed(system.settings.recipe.seed), self.reference)
        if self.budget == "seconds":
            for stage in (reference, system):
                for event in stage.learn_ids(context.data, context.split):
                    report(event)
        return matched(system, reference, self.budget, context.data, context.split)

    def run(self, seeds: Sequence[int], users: int = 0, mask_seen: bool = False, progress: bool = False) -> Results:
        """Train and rank the systems from every seed; see `compare_systems`.

        Where the reference is not among them the one it comes to is, or the last; which is printed. Raises DataError
        for a reference that was chosen and is not among the systems that were named.
        """
        made = list(self.make(seeds[0]))
        self.say_unmet()
        chosen = self.reference != SystemComparison.reference and self.names.strip()
        if chosen and entry_of(self.against, "reference").name not in {entry_of(name).name for name in made}:
            what = f"{self.against} is not among the systems"
            raise DataError(what, field="reference", fix=f"add it to systems, or choose from {', '.join(made)}")
        results = self._compare(self.make, seeds, users, mask_seen, progress)
        results.asked = self.asked
        results.given_ids = tuple(self.context.given)
        results.against = self.against if self.against in made else replacement_of(self.reference, made)
        if results.against != self.against:
            print(f"The reference is {results.against}, as {self.against} is not among the systems.")
        return results

    def say_unmet(self) -> None:
        """Print which systems are left out because data or settings lack what they need, or because they are not among
        the usual ones; those that were named are refused.
        """
        lacking: dict[str, list[str]] = {}
        usual = self.usual_entries()
        for name, entry in ({} if self.names.strip() else entries()).items():
            if need := entry.unmet_in(self.context):
                lacking.setdefault(need.name, []).append(name)
            elif usual and entry not in usual:
                say_left_out(name, "this profile compares fewer; name it in systems to have it")
        for what, names in lacking.items():
            say_left_out(listed(names), f"{'they need' if len(names) > 1 else 'it needs'} {what}")

    def ablate(self, results: Results, wanted: bool = True, without: str = "", progress: bool = False) -> Results:
        """The reference without each of its terms, for the seeds and users of `results`, and the reference itself.

        `without`: which terms, between commas, several together joined by "+"; empty: each, and all of them. Only the
        reference when it is not `wanted`, or where the reference was replaced. Their `differences` are from the
        reference. Raises DataError for a term that there is none of.
        """
        only = [term.strip() for term in without.split(",") if term.strip()]
        made: list[str] = []

        def make(seed: int) -> Systems:
            if not (wanted or only) or results.stopped or results.reference != self.against:
                return {}
            ablated = entry_of(self.reference).ablations(self.context.with_seed(seed), only)
            made.extend(ablated)
            return ablated

        ablations = self._compare(make, results.seeds, len(results.samples), results.mask_seen, progress)
        full = results.reference
        own_rows = [row for row in results.rows if row["system"] == full]
        ablations.rows = own_rows + [row for row in ablations.rows if row["system"] in made]
        for mask_seen, of_protocol in results.ranks.items():
            ablations.ranks[mask_seen] = {full: of_protocol[full]} | ablations.ranks.get(mask_seen, {})
        if full in results.evaluations:
            ablations.evaluations = {full: results.evaluations[full]} | ablations.evaluations
        ablations.against = full
        return ablations

    def _compare(
        self, make: Callable[[int], Systems], seeds: Sequence[int], users: int, mask_seen: bool, progress: bool
    ) -> Results:
        seedless = [name for name in make(seeds[0]) if entry_of(name).counts]
        split, ready = split_for(self.asked, self.context.split), self.within_budget
        return compare_systems(make, self.context.data, split, seeds, users, mask_seen, progress, ready, seedless)


def replacement_of(reference: str, names: Sequence[str]) -> str:
    """The reference among `names` where `reference` is missing: the system that replaces it, or else the last."""
    entry = entry_of(reference)
    return next((name for name in names if entry_of(name).name in (entry.name, entry.otherwise)), names[-1])


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
    ready: Callable[[System, Callable[[Event], None]], System] = lambda system, report: system,
    seedless: Collection[str] = (),
) -> Results:
    """Train what `make` gives for every seed, and let it rank the catalog for test users, the same for all.

    Systems that are trained already are not trained again. `users`: how many test users, drawn at random; 0 is all.
    Both protocols are measured, from one training; `mask_seen` is the one that figures show. On the built-in catalog
    the oracles (oracle, text-only, image-only) join as systems. After an interrupt what was finished is returned.
    `progress` shows a bar. `ready` is given every system before it learns, and a sink of events, and returns the
    one that is trained. `seedless`: names of systems that no seed changes; they are made from the first alone. Raises
    DataError without test users.
    """
    samples = chosen_users(split.test, users)
    counts, groups = item_counts(split, data.num_items), target_groups(data, split, samples)
    results = Results(samples, groups, tuple(seeds), mask_seen)
    first = make(seeds[0])
    todo = [(seed, name) for seed in seeds for name in first if seed == seeds[0] or name not in seedless]
    bar = tqdm(todo, desc="systems", unit="systems", disable=not (progress and todo), leave=False)
    with bar, suppress(KeyboardInterrupt):  # an interrupt may also come between two trainings
        results.stopped = True
        for seed, name in bar:
            report = ProgressSink(bar, f"{name}, seed {seed}")
            system = ready(make(seed)[name], report)  # only those of the first seed are kept
            trained = drain(system.fit(data, split), report)
            if trained.stopped:
                break
            evaluations = evaluate_each(system, results.samples, counts, groups=groups)
            results.add(seed, system, evaluations, seconds=seconds_of(trained.events), **effort(system))
        else:
            results.stopped = False
    for name, ranks in known_ranks(data, results.samples).items():
        results.add_mark(name, ranks)
    return results


class ProgressSink:
    """A sink that shows the progress of the training of `name` on a bar."""

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
        raise NotApplicable("there is no user to evaluate on", fix="give users with 3 events or more")
    if not users or users >= len(samples):
        return samples
    return samples.take(np.sort(np.random.default_rng(0).permutation(len(samples))[:users]))


def seconds_of(events: Sequence[Event]) -> float:
    """Seconds spent on the steps of all trainings that follow each other in `events`."""
    ends = [now for now, then in pairwise(events) if then.steps != now.steps or then.step <= now.step]
    return float(sum(event.seconds for event in [*ends, *events[-1:]]))
