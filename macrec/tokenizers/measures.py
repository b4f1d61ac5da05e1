"""How much the codes of one modality say about another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from macrec.quantization.health import mutual_information
from macrec.quantization.semantic_ids import SemanticIds


def cross_modal_information(
    ids: SemanticIds, modality: str, labels: Mapping[str, NDArray[np.int32]], seed: int = 0, shuffles: int = 5
) -> list[float]:
    """Per level, how much the codes of `modality` say about the pseudo-labels of the others, in nats above chance.

    Many codes and many labels on few items share information by accident: the mean over `shuffles` random orders of
    the labels is taken off. `ids` has the items whose label of `modality` is not -1; `labels` `[N]` have all. The mean
    over the others.
    """
    rng = np.random.default_rng(seed)
    per_level = np.zeros(ids.num_levels)
    others = [other for name, other in labels.items() if name != modality]
    for other in others:
        other = other[labels[modality] >= 0]  # the rows that `ids` has
        both = other >= 0
        orders = [rng.permutation(other[both]) for _ in range(shuffles)]
        for level, column in enumerate(ids.codes[both].T):
            chance = np.mean([mutual_information(column, order) for order in orders])
            per_level[level] += (mutual_information(column, other[both]) - chance) / len(others)
    return per_level.tolist()
