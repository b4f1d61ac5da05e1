"""Where the reference is ahead and where it is not: paired differences by group of users, and a line on each group."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.evaluation.by_group import GroupComparison, compare_in_group
from macrec.evaluation.metrics import gains
from macrec.experiments.results import Results
from macrec.experiments.standing import standing_in_group
from macrec.systems.registry import Entry, entry_of

ONE_MODALITY = ("TIGER", "TIGERs fused late")
"""The generators whose semantic IDs are of one modality each."""


def group_differences(
    results: Results, only: Collection[str] = (), metric: str = "NDCG@10"
) -> dict[str, GroupComparison]:
    """Group → the reference compared with its `rivals` there, under the protocol that figures show, over all seeds.

    `only`: these groups; none means all. Groups without users are left out. Empty where the reference was not
    evaluated.
    """
    of_protocol = results.ranks.get(results.mask_seen, {})
    ranks = {name: np.stack(list(of_seed.values())) for name, of_seed in of_protocol.items()}
    if results.reference not in ranks:
        return {}
    return {
        name: compare_in_group(ranks, group, results.reference, rivals(ranks, group, results.reference, metric), metric)
        for name, group in results.groups.items()
        if group.any() and (not only or name in only)
    }


def rivals(
    ranks: Mapping[str, NDArray[np.int64]], group: NDArray[np.bool_], reference: str, metric: str = "NDCG@10"
) -> list[str]:
    """What the reference is compared with: the best in the group of the systems that only count, the sequential ones,
    which know no contents, and the generators over one modality.

    The best that counts is chosen on the very users it is measured on, which favors it and not the reference.
    """
    registered = {name: entry for name in ranks if name != reference and (entry := entry_or_none(name))}
    scores = {
        name: float(gains(ranks[name][:, group], metric).mean()) for name, entry in registered.items() if entry.counts
    }
    best = [max(scores, key=scores.__getitem__)] if scores else []
    others = [name for name, entry in registered.items() if entry.family == "sequential" or entry.name in ONE_MODALITY]
    return best + others


def entry_or_none(name: str) -> Entry | None:
    """The entry of a system; None for one that is not registered."""
    try:
        return entry_of(name)
    except DataError:
        return None


def groups_in_words(results: Results, groups: Mapping[str, GroupComparison]) -> str:
    """A line on each group of `group_differences`, below one that says what the numbers are."""
    if not groups:
        return "No system was compared by group."
    seeds = " and seeds" if len(results.seeds) > 1 else ""
    head = (
        f"{results.metric} of {results.reference} minus that of others (of the systems that only count, the best in "
        f"the group) for the same users, with 95% intervals over users{seeds}:"
    )
    lines = [f"- {standing_in_group(name, group, intervals=True)}" for name, group in groups.items()]
    return "\n".join([head, *lines])


def recorded(results: Results, groups: Mapping[str, GroupComparison]) -> dict[str, Any]:
    """Protocol → group → what was compared there, as plain values, for metrics.json."""
    return {"masked" if results.mask_seen else "unmasked": {name: asdict(group) for name, group in groups.items()}}
