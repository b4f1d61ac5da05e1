"""How often items follow each other in the training histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from macrec.data.split import Samples

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def transition_counts(train: Samples, num_items: int, gaps: int) -> csr_array:
    """How often item j came up to `gaps` steps after item i in training, each time 1 / gap, `[N, N]`.

    Every target of `train` counts once with each of the items before it in its history.
    """
    from scipy.sparse import coo_array  # takes a while, and who only imports this module need not wait for it

    earlier, later, weight = [], [], []
    for gap in range(1, gaps + 1):
        place = train.target[train.target - gap >= train.start]
        earlier.append(train.items[place - gap])
        later.append(train.items[place])
        weight.append(np.full(len(place), 1.0 / gap))
    pairs = (np.concatenate(earlier), np.concatenate(later))
    return coo_array((np.concatenate(weight), pairs), shape=(num_items, num_items)).tocsr()
