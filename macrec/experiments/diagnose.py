"""Scores of simple baselines on a dataset, which a learned model should exceed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrec.data.card import tied_times
from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts, training_places
from macrec.data.transitions import transition_counts
from macrec.errors import NotApplicable
from macrec.evaluation.evaluate import PROTOCOLS
from macrec.evaluation.metrics import hit_rate, hits, ndcg
from macrec.systems.item_knn import ItemKNN
from macrec.systems.sparse_scores import SparseScores
from macrec.systems.text_knn import TextKNN, similar_texts
from macrec.systems.transition_graph import TransitionGraph
from macrec.systems.tuned import Tuned
from macrec.training import drain

K = 10
ORDER_MATTERS = 0.8
"""Order matters when shuffling leaves less than this share."""
WORDS = ("unmasked", "masked")
"""The names of `PROTOCOLS`."""


@dataclass(frozen=True)
class Diagnosis:
    """Scores of simple baselines on the test targets of a dataset; shares are of these targets by default.

    `reached`: shortcut → metric → value, metrics ending in "unmasked" or "masked"; `settings` what validation chose for
    them; `union`: protocol → share that at least one of the single shortcuts has among its first 10. `follows`: share
    that came directly after the last item of the history somewhere in training; `repeats`: in the history already;
    `cold`: not in training. `tied`: share of neighboring events of a user with one and the same time (None
    without times); `ascending`: share of neighboring events whose item ids ascend, a half where their order means
    nothing. `shuffled`: NDCG@10 of the transitions, counted in training histories in random order.
    """

    name: str
    users: int
    items: int
    events: int
    reached: dict[str, dict[str, float]]
    settings: dict[str, dict[str, Any]]
    union: dict[str, float]
    follows: float
    repeats: float
    cold: float
    tied: float | None
    ascending: float
    shuffled: dict[str, float]
    cpu_seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and strings, and the sentence."""
        return asdict(self) | {"sentence": self.sentence}

    @property
    def order(self) -> float:
        """The share of the transitions' NDCG@10 (masked) that is left when training histories are shuffled."""
        whole = self.reached["transitions"]["NDCG@10 masked"]
        return self.shuffled["masked"] / whole if whole else float("nan")

    @property
    def sentence(self) -> str:
        """What a learned model should exceed here, and what would show that it learned more."""
        best = {word: max(self.reached, key=lambda name: self.reached[name][f"NDCG@10 {word}"]) for word in WORDS}
        beat = " and ".join(
            f"NDCG@10 {self.reached[name][f'NDCG@10 {word}']:.4f} {word} ({name})" for word, name in best.items()
        )
        missed = 1 - self.union["masked"]
        kept = f"over shuffled training histories transitions keep {self.order:.0%} of their NDCG@10"
        order = (
            f"and if shuffling lowers its score, too: {kept}"
            if self.order < ORDER_MATTERS
            else f"whether or not it uses the order, which matters little: {kept}"
        )
        return (
            f"On {self.name} a learned model should exceed {beat}, by a paired interval over three seeds; it has "
            f"learned more if it finds targets among the {missed:.0%} that no baseline has in its first {K}, {order}."
        )

    def __str__(self) -> str:
        row = "{:18}{:>8} {:>8} {:>12} {:>8}"
        lines = [
            f"{self.name}: {self.users:,} test users, {self.items:,} items, {self.events:,} events",
            row.format("", "HR@10", "NDCG@10", "masked HR@10", "NDCG@10"),
        ]
        for name, scores in self.reached.items():
            values = [scores[f"{metric} {word}"] for word in WORDS for metric in ("HR@10", "NDCG@10")]
            lines.append(row.format(name, *(f"{value:.4f}" for value in values)))
        union, shuffled = ([f"{scores[word]:.4f}" for word in WORDS] for scores in (self.union, self.shuffled))
        lines.append(row.format("any of the single", union[0], "", union[1], ""))
        lines.append(row.format("order shuffled", "", shuffled[0], "", shuffled[1]) + "  (transitions)")
        tied = "no times" if self.tied is None else f"{self.tied:.1%} of neighboring events"
        lines += [
            f"targets that followed the last item in training: {self.follows:.1%}",
            f"targets in the history already: {self.repeats:.1%}; not in training: {self.cold:.1%}",
            f"tied times: {tied}; item ids ascend in {self.ascending:.1%} of neighboring events (by chance a half)",
            self.sentence,
            f"({self.cpu_seconds:.0f} CPU-seconds)",
        ]
        return "\n".join(lines)


def diagnose(data: Dataset, seed: int = 0) -> Diagnosis:
    """Measure all shortcuts on all test users of `data`, their settings chosen on validation users.

    `seed`: of the shuffled training histories. Raises NotApplicable without test users.
    """
    start = time.process_time()
    split = data.split()
    test = split.test
    if len(test) == 0:
        raise NotApplicable("there is no user to test on", file=data.name, fix="give users with 3 events or more")
    singles: dict[str, Tuned[Any]] = {
        "transitions": TransitionGraph(texts=False, walks=False),
        "item-kNN": ItemKNN(),
    }
    similar = similar_texts(data)
    if similar is not None:
        singles["text-kNN"] = TextKNN(similar=similar)
    whole = TransitionGraph(similar=similar, texts=similar is not None)
    ranks = {"popularity": popularity_ranks(split, data.num_items)}
    for name, system in (singles | {"all together": whole}).items():
        drain(system.fit(data, split))
        ranks[name] = system.exact_ranks(test)
    alone = [ranks[name] for name in ("popularity", *singles)]
    union = {
        word: float(np.logical_or.reduce([hits(ranks_of[mask_seen], K) for ranks_of in alone]).mean())
        for mask_seen, word in zip(PROTOCOLS, WORDS, strict=True)
    }
    counts = item_counts(split, data.num_items)
    return Diagnosis(
        data.name,
        len(test),
        data.num_items,
        data.num_events,
        {name: metrics_of(ranks_of) for name, ranks_of in ranks.items()},
        {name: system.about for name, system in (singles | {"all together": whole}).items()},
        union,
        float(follows_last(split, data.num_items).mean()),
        float((test.padded() == test.targets[:, None]).any(axis=1).mean()),
        float((counts[test.targets] == 0).mean()),
        tied_times(data),
        ascending_ids(data),
        shuffled_order(data, split, singles["transitions"], seed),
        time.process_time() - start,
    )


def metrics_of(ranks: Mapping[bool, NDArray[np.int64]]) -> dict[str, float]:
    """HR@10 and NDCG@10 under both protocols, by name."""
    return {
        f"{metric} {word}": value
        for mask_seen, word in zip(PROTOCOLS, WORDS, strict=True)
        for metric, value in (("HR@10", hit_rate(ranks[mask_seen], K)), ("NDCG@10", ndcg(ranks[mask_seen], K)))
    }


def popularity_ranks(split: Split, num_items: int) -> dict[bool, NDArray[np.int64]]:
    """Protocol → the ranks of the test targets by training events."""
    test = split.test
    scores = SparseScores(csr_array((len(test), num_items)), item_counts(split, num_items).astype(np.float64))
    return {mask_seen: scores.ranks(test.targets, test.padded() if mask_seen else None) for mask_seen in PROTOCOLS}


def follows_last(split: Split, num_items: int) -> NDArray[np.bool_]:
    """Which test targets came directly after the last item of their history somewhere in training, `[U]`."""
    counts = transition_counts(split.train, num_items, gaps=1)
    last = split.test.items[split.test.target - 1]
    return np.asarray(counts[last, split.test.targets]).ravel() > 0


def ascending_ids(data: Dataset) -> float:
    """Share of neighboring events of one user, of different items, whose item ids ascend, numbers as numbers.

    Far from a half says that the order of the data is not that of time alone: sorted ids stand where times were tied.
    """
    ids = data.items["item_id"]
    numbers = ids.cast(int, strict=False)
    place = np.empty(len(ids), np.int64)
    place[(ids if numbers.null_count() else numbers).arg_sort().to_numpy()] = np.arange(len(ids))
    user, at = data.histories.users, place[data.histories.items]
    pairs = (user[1:] == user[:-1]) & (at[1:] != at[:-1])
    return float((at[1:] > at[:-1])[pairs].mean()) if pairs.any() else 0.5


def shuffled_order(data: Dataset, split: Split, transitions: Tuned[Any], seed: int = 0) -> dict[str, float]:
    """Protocol → NDCG@10 of the `transitions`, with their settings, when each training history is in random order.

    What is left comes from who took what together; what is lost came from the order.
    """
    ndcg_of = {}
    train = shuffled(split.train, np.random.default_rng(seed))
    for mask_seen, word in zip(PROTOCOLS, WORDS, strict=True):
        system = TransitionGraph(transitions.chosen[mask_seen], texts=False)
        drain(system.fit(data, split._replace(train=train)))
        ndcg_of[word] = ndcg(system.exact_ranks(split.test)[mask_seen], K)
    return ndcg_of


def shuffled(train: Samples, rng: np.random.Generator) -> Samples:
    """The same samples over an event array in which the training events of every user are in random order."""
    place, user = training_places(train)
    items = train.items.copy()
    items[place] = items[place[np.lexsort((rng.random(len(place)), user))]]
    return Samples(items, train.user, train.start, train.target)
