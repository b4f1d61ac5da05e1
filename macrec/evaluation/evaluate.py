"""Full-ranking evaluation of a system: every user counts once, every item is a candidate, nothing is sampled.

There are two protocols, and published tables use both: *unmasked*, where the items of the history stay candidates, and
*masked*, where they do not, and a target from the history cannot be hit. Give histories uncut, as
`Dataset.split` does: each system cuts them to what it reads (`Samples.newest`), and all that is given is masked.

Ties: items with equal scores are in the order of their rows in the item table, the lowest first, in every ranking. So
the same scores give the same ranks everywhere. A system that gives one score to many can gain by it where item rows
are sorted by popularity; `ties="pessimistic"` puts the target last instead and shows how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.card import text_keys
from macrec.data.dataset import Dataset
from macrec.data.ranking import NOT_RANKED, Ranking, exact_ranks, top_k
from macrec.data.split import PADDING, Samples, Split, item_counts
from macrec.errors import DataError
from macrec.evaluation.cold import cold_exposure, cold_metrics
from macrec.evaluation.metrics import mrr, ranking_metrics
from macrec.evaluation.system import ScoringSystem, System, rankings

Mask = NDArray[np.bool_]
Ties = Literal["ranking", "pessimistic"]

UNMASKED, MASKED = False, True
PROTOCOLS = (UNMASKED, MASKED)
"""Both ways to rank: whether what is in the history is masked."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How `system` ranked the targets of U users.

    `ranks` `[U]` int64 in the order of the samples, 1 is best, `NOT_RANKED` for a target that is not among the first
    `depth`; `shown` `[N]` int64, how often each item stood among the first max(ks); `counts` `[N]`, its training
    events; `groups`: name → mask `[U]`.
    """

    system: str
    ranks: NDArray[np.int64]
    shown: NDArray[np.int64]
    counts: NDArray[np.int64]
    ks: tuple[int, ...]
    depth: int
    mask_seen: bool
    groups: Mapping[str, Mask]

    def metrics(self) -> dict[str, float]:
        """All metrics by name, k being each of `ks`, K the largest of them and D the depth.

        HR@k and NDCG@k; MRR@D; missed@D, the share of users whose target is not in the list (1 - missed@D is the
        most that re-ordering the list could reach: the ceiling of a beam search); coverage@K, the share of the
        catalog that is shown to at least one user; novelty@K, the mean of -log2 of the shown items' share of the
        training events, each item's events counted plus one, in bits (NaN when nothing is shown); unfilled@K, the
        share of places without an item, when a generator has too few valid IDs.

        Where `groups` say that targets are cold, `cold_metrics` and exposure@K, the share of places of cold items.
        """
        largest = max(self.ks)
        places = len(self.ranks) * largest
        filled = int(self.shown.sum())
        surprise = np.log2(self.counts.sum() + len(self.counts)) - np.log2(self.counts + 1.0)
        return self._of(self.ranks) | {
            f"coverage@{largest}": float((self.shown > 0).mean()),
            f"novelty@{largest}": float(self.shown @ surprise) / filled if filled else float("nan"),
            f"unfilled@{largest}": 1.0 - filled / places,
            **self._of_cold(largest),
        }

    def _of_cold(self, k: int) -> dict[str, float]:
        found = cold_metrics(self.ranks, self.groups.get("cold"), k)
        return found | ({f"exposure@{k}": cold_exposure(self.shown, self.counts)} if found else {})

    def by_group(self) -> pl.DataFrame:
        """One row per group, "all" first: `group`, `users`, and HR, NDCG, MRR and missed; null in an empty group."""
        everyone = {"all": np.ones(len(self.ranks), bool)}
        rows = [
            {"group": name, "users": int(mask.sum())} | (self._of(self.ranks[mask]) if mask.any() else {})
            for name, mask in (everyone | dict(self.groups)).items()
        ]
        schema = {"group": pl.String, "users": pl.Int64} | dict.fromkeys(self._of(self.ranks), pl.Float64)
        return pl.DataFrame(rows, schema=schema)

    def _of(self, ranks: NDArray[np.int64]) -> dict[str, float]:
        return ranking_metrics(ranks, self.ks) | {
            f"MRR@{self.depth}": mrr(ranks, self.depth),
            f"missed@{self.depth}": float((ranks == NOT_RANKED).mean()),
        }


class Options(TypedDict, total=False):
    """What `evaluate` passes on to `evaluate_each`."""

    ks: tuple[int, ...]
    depth: int
    groups: Mapping[str, Mask] | None
    ties: Ties
    batch: int


def evaluate(
    system: System,
    samples: Samples,
    counts: NDArray[np.int64],
    *,
    mask_seen: bool = False,
    **options: Unpack[Options],
) -> Evaluation:
    """`evaluate_each` under one protocol."""
    return evaluate_each(system, samples, counts, (mask_seen,), **options)[0]


def evaluate_each(
    system: System,
    samples: Samples,
    counts: NDArray[np.int64],
    masks: Sequence[bool] = PROTOCOLS,
    *,
    ks: tuple[int, ...] = (1, 5, 10),
    depth: int = 20,
    groups: Mapping[str, Mask] | None = None,
    ties: Ties = "ranking",
    batch: int = 1024,
) -> list[Evaluation]:
    """Rank the catalog by `system` for every sample, `batch` at a time, and note the ranks of the targets.

    One evaluation for each of `masks` (mask what is seen?); what scores items scores them once for all. `counts` `[N]`:
    training events per item, as `item_counts` gives them. Ranks are taken in the first `depth` places of the ranking,
    the same for a system that scores every item and for a beam. `ties`: among items with one score the ranking's own
    order holds, or the target comes last ("pessimistic", which needs a `ScoringSystem` and holds `[batch, N]` scores at
    a time). `groups`: name → mask `[U]` of samples, such as `target_groups` makes.

    Raises DataError when there are no samples, ValueError for arguments that do not fit each other.
    """
    if len(samples) == 0:
        raise DataError("there is no user to evaluate on", fix="give users with 3 events or more")
    if not ks or min(ks) < 1 or depth < max(ks):
        raise ValueError(f"ks must be 1 or more each and depth at least the largest, got {ks} and {depth}")
    for name, mask in (groups or {}).items():
        if mask.shape != (len(samples),) or mask.dtype != np.bool_:
            raise ValueError(f'group "{name}" is {mask.dtype} {mask.shape} for {len(samples)} samples')
    if ties == "pessimistic" and not isinstance(system, ScoringSystem):
        raise ValueError(f"pessimistic ties need a system that scores every item; {system.name} does not")
    evaluations = [
        Evaluation(
            system.name, np.zeros(len(samples), np.int64), np.zeros(len(counts), np.int64), counts, tuple(ks), depth,
            mask_seen, dict(groups or {}),
        )
        for mask_seen in masks
    ]  # fmt: skip
    for begin in range(0, len(samples), batch):
        place = np.arange(begin, min(begin + batch, len(samples)))
        part = samples.take(place)
        if ties == "pessimistic" and isinstance(system, ScoringSystem):
            ranked = _pessimistic(system, part, depth, masks)
        else:
            ranked = [(each, each.rank_of(part.targets)) for each in rankings(system, part, depth, masks)]
        for evaluation, (ranking, ranks) in zip(evaluations, ranked, strict=True):
            if ranking.k > depth:
                raise ValueError(f"{system.name} returned {ranking.k} items instead of at most {depth}")
            evaluation.ranks[place] = ranks
            first = ranking.items[:, : max(ks)]
            evaluation.shown[:] += np.bincount(first[first != PADDING], minlength=len(counts))
    return evaluations


def _pessimistic(
    system: ScoringSystem, samples: Samples, depth: int, masks: Sequence[bool]
) -> list[tuple[Ranking, NDArray[np.int64]]]:
    ranked = []
    for mask_seen, scores in zip(masks, system.scored(samples, masks), strict=True):
        seen = samples.padded() if mask_seen else None
        ranks = exact_ranks(scores, samples.targets, seen, ties="pessimistic")
        ranked.append((top_k(scores, depth, exclude=seen), np.where(ranks <= depth, ranks, NOT_RANKED)))
    return ranked


def target_groups(data: Dataset, split: Split, samples: Samples, head: float = 0.2, short: int = 5) -> dict[str, Mask]:
    """Masks `[U]` of samples by their target and by their history.

    "head": the target is among the share `head` of all items with most training events (ties by item number), "tail":
    another item of the training events, "cold": not in them; "with picture" and "without picture"; "short history":
    at most `short` items, "long history": more. Each of the three partitions is complete.
    """
    counts = item_counts(split, data.num_items)
    order = np.lexsort((np.arange(len(counts)), -counts))
    popular = np.zeros(len(counts), bool)
    popular[order[: round(head * len(counts))]] = True
    cold = counts == 0
    kinds = {"head": popular & ~cold, "tail": ~popular & ~cold, "cold": cold}
    kinds |= {"with picture": data.images.present, "without picture": ~data.images.present}
    brief = samples.lengths <= short
    by_target = {name: items[samples.targets] for name, items in kinds.items()}
    return by_target | {"short history": brief, "long history": ~brief}


def content_groups(data: Dataset, samples: Samples) -> dict[str, Mask]:
    """Masks `[U]` of samples by what is known of their target's contents.

    "with picture" and "without picture", "without description", "without text" (no text at all); only those that hold
    some users and not all.
    """
    kinds = {
        "with picture": data.images.present,
        "without picture": ~data.images.present,
        "without description": (data.items["description"] == "").to_numpy(),
        "without text": text_keys(data.items).is_null().to_numpy(),
    }
    groups = {name: items[samples.targets] for name, items in kinds.items()}
    return {name: mask for name, mask in groups.items() if mask.any() and not mask.all()}
