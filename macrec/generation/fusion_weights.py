"""Weights of the paths of a generator, chosen on validation users."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import comb
from typing import Protocol

import numpy as np

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.evaluation.metrics import ranking_metrics
from macrec.generation.decoder import DecodingOptions
from macrec.generation.fusion import fuse

WEIGHING_USERS = 2_000
"""Users that weights are chosen on, where there are so many: with some hundred, chance decides between good ones."""

MOST_DIVISIONS = 300
"""Divisions that are tried at most."""


class Paths(Protocol):
    """Several rankings that are to be fused."""

    @property
    def options(self) -> DecodingOptions:
        """How."""

    def rankings(self, samples: Samples, k: int) -> list[Ranking]:
        """A ranking per path."""


def tuned_weights(decoder: Paths, samples: Samples, steps: int = 10) -> tuple[float, ...]:
    """The weights of the decoder's paths with the best NDCG@10 for `samples`, each a multiple of 1 / `steps`.

    Steps are wider where so many paths would have more than `MOST_DIVISIONS`. Paths are decoded once; only the fusion
    is tried with every division. Of equally good ones the most even is taken, so that without evidence all paths
    count alike. (The specification, 6.5.)
    """
    rankings = decoder.rankings(samples, 10)
    while steps > 1 and comb(steps + len(rankings) - 1, steps) > MOST_DIVISIONS:
        steps -= 1
    best, chosen = (-1.0, -1.0), divisions(len(rankings), steps)[0]
    for weights in divisions(len(rankings), steps):
        ranks = fuse(rankings, decoder.options.fusion, 10, weights).rank_of(samples.targets)
        quality = (round(ranking_metrics(ranks, (10,))["NDCG@10"], 12), -float(np.square(weights).sum()))
        if quality > best:
            best, chosen = quality, weights
    return chosen


def divisions(parts: int, steps: int) -> list[tuple[float, ...]]:
    """All ways to divide 1 into `parts` multiples of 1 / `steps`.

    >>> divisions(2, 2)
    [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    """
    weights = []
    for bars in combinations(range(steps + parts - 1), parts - 1):
        edges = [-1, *bars, steps + parts - 1]
        weights.append(tuple((right - left - 1) / steps for left, right in pairwise(edges)))
    return weights
