"""One system compared with others in groups of users, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrec.evaluation.metrics import gains
from macrec.evaluation.significance import Comparison, paired_bootstrap

FEWEST = 10
"""Where two systems differ for fewer users no interval is given: users are drawn from those few, so it would be too
narrow. With one user for whom the systems differ and no other it would have no width at all."""


@dataclass(frozen=True)
class GroupComparison:
    """A system, the reference, compared with others for the `users` of one group.

    `scores`: system → the mean of the metric over users and seeds, the reference first; `differ`: other → the number of
    users for whom it and the reference differ; `differences`: other → by how much it exceeds the reference, where they
    differ for `FEWEST` users or more.
    """

    users: int
    scores: Mapping[str, float]
    differ: Mapping[str, int]
    differences: Mapping[str, Comparison]

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> GroupComparison:
        """From plain values, as `dataclasses.asdict` makes them for metrics.json."""
        differences = {name: Comparison(**paired) for name, paired in record["differences"].items()}
        return cls(record["users"], record["scores"], record["differ"], differences)


def compare_in_group(
    ranks: Mapping[str, NDArray[np.int64]],
    group: NDArray[np.bool_],
    reference: str,
    others: Iterable[str],
    metric: str = "NDCG@10",
) -> GroupComparison:
    """Compare `reference` with `others` for the users in `group` `[U]`, of whom there must be one at least.

    `ranks`: system → its ranks `[U]`, or `[R, U]` of R seeds, all of the same users. Raises ValueError for an empty
    group and for an unknown metric.
    """
    inside = {name: np.atleast_2d(ranks[name])[:, group] for name in dict.fromkeys((reference, *others))}
    gained = {name: gains(of_seeds, metric).mean(0) for name, of_seeds in inside.items()}
    own = gained[reference]
    differ = {
        name: int(np.count_nonzero(~np.isclose(gain, own, rtol=0, atol=1e-12)))
        for name, gain in gained.items()
        if name != reference
    }
    differences = {
        name: paired_bootstrap(inside[name], inside[reference], metric)
        for name, users in differ.items()
        if users >= FEWEST
    }
    return GroupComparison(int(group.sum()), {name: float(gain.mean()) for name, gain in gained.items()}, differ,
                           differences)  # fmt: skip
