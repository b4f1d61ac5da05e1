"""Reference scores: the oracle of the built-in catalog, its text-only and image-only oracles, and popularity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.data.split import Samples, Split, item_counts
from macrec.evaluation.metrics import ranking_metrics


def ceiling(dataset: Dataset, max_users: int | None = None) -> dict[str, dict[str, float]]:
    """HR@1/5/10 and NDCG@5/10 on test items, by ranker; empty when no user has 3 events and so nothing can be tested.

    The oracles of `known_ranks` on the built-in catalog, and "popularity", which counts training events, everywhere.
    The first `max_users` users are tested; default: as many as take seconds.
    """
    # The oracle needs histories uncut: an item already taken cannot come again, however long ago it was.
    split = dataset.split()
    test = split.test
    if len(test) == 0:
        return {}
    users = max_users or max(200, min(10_000, 50_000_000 // dataset.num_items))
    test = test.take(np.arange(min(users, len(test))))
    ranks = known_ranks(dataset, test) | {"popularity": popularity_ranks(split, test, dataset.num_items)}
    return {name: ranking_metrics(of_system) for name, of_system in ranks.items()}


def known_ranks(dataset: Dataset, samples: Samples) -> dict[str, NDArray[np.int64]]:
    """The ranks `[B]` of the targets by the true probabilities of the built-in catalog; empty for any other.

    "oracle" uses all rules and the history, which must be uncut: no model scores higher on average. The "text-only
    oracle" lacks the attributes that only pictures show, the "image-only oracle" those that only texts contain; neither
    learns from other users, so a model of one modality can exceed them. Where complement rules are hidden, both lack
    those as well, and the "content-only oracle" lacks nothing else.
    """
    if not isinstance(dataset, Curio):
        return {}
    hidden = {"content-only oracle": "crowd"} if dataset.world.settings.hidden else {}
    blind = {"text-only oracle": "image", "image-only oracle": "text"} | hidden
    last = dataset.last_steps(samples)
    return {"oracle": dataset.oracle.ranks(samples, last)} | {
        name: dataset.oracle_blind_to(modality).ranks(samples, last) for name, modality in blind.items()
    }


def popularity_ranks(split: Split, samples: Samples, num_items: int) -> NDArray[np.int64]:
    """Rank of every target when items are ordered by training events, ties by item number; history not removed."""
    counts = item_counts(split, num_items)
    rank = np.empty(num_items, np.int64)
    rank[np.lexsort((np.arange(num_items), -counts))] = np.arange(1, num_items + 1)
    ranks: NDArray[np.int64] = rank[samples.targets]
    return ranks
