"""Cold targets beside the others: how well systems find items without training events, and how often they show them.

Source: LIGER (arXiv 2411.18814), whose tables have an in-set and a cold column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.evaluation.metrics import hit_rate, ndcg

FEWEST, LEAST = 10, 0.01
"""Cold targets, and their share of all, from which they are measured apart: the few of any data say little."""

COLD_METRICS = ("HR@10 in-set", "NDCG@10 in-set", "HR@10 cold", "NDCG@10 cold", "exposure@10")
"""What tables show of cold targets."""


def cold_metrics(ranks: NDArray[np.int64], cold: NDArray[np.bool_] | None, k: int = 10) -> dict[str, float]:
    """HR@k and NDCG@k of the targets with training events ("in-set") and of those without ("cold"), from `ranks` `[U]`.

    `cold` `[U]`: which targets have none. Empty where that is not known, where fewer than `FEWEST` of them or less
    than the share `LEAST` are cold, and where all are.
    """
    if cold is None or cold.sum() < FEWEST or not LEAST <= cold.mean() < 1:
        return {}
    return {
        f"{name}@{k} {kind}": measure(ranks[mask], k)
        for kind, mask in (("in-set", ~cold), ("cold", cold))
        for name, measure in (("HR", hit_rate), ("NDCG", ndcg))
    }


def cold_exposure(shown: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """The share of the places shown that cold items take; NaN when nothing is shown.

    `shown` `[N]`: places of each item, `counts` `[N]`: its training events. A ranking at random has the share of cold
    items in the catalog.
    """
    places = int(shown.sum())
    return float(shown[counts == 0].sum()) / places if places else float("nan")
