"""The k-core of an interaction table: every user and every item left has at least k interactions left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def k_core(user: NDArray[np.integer], item: NDArray[np.integer], k: int) -> NDArray[np.bool_]:
    """Mask `[n]` of the interactions in the k-core; `user` `[n]` and `item` `[n]` are numbers from 0.

    Each round counts what is left and drops the users and the items below `k` together (specification, S5); the result
    is the same whatever the order, as the k-core is unique. `k <= 1` keeps everything. Repeated pairs count each time.

    >>> k_core(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 0]), 2).tolist()
    [True, True, True, True, False]
    """
    if len(user) != len(item):
        raise ValueError(f"user has {len(user)} entries and item has {len(item)}")
    left = np.arange(len(user))
    while len(left):
        users, items = user[left], item[left]
        enough = (np.bincount(users) >= k)[users] & (np.bincount(items) >= k)[items]
        if enough.all():
            break
        left = left[enough]
    mask = np.zeros(len(user), bool)
    mask[left] = True
    return mask
