"""How well the vectors of pictures agree with labels: by their nearest neighbors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 10
MOST = 4_000
"""Pictures that are asked, at regular distances: all pairs of more take too long."""


def neighbor_accuracy(vectors: NDArray[np.floating], labels: NDArray[np.integer], k: int = NEIGHBORS) -> float:
    """The share of labeled pictures whose label most of their `k` nearest have, by cosine, themselves left out.

    `vectors` `[n, d]`, `labels` `[n]` with -1 for none; of equally frequent labels the lowest counts. NaN for fewer
    than two labeled pictures.
    """
    rows = np.flatnonzero(labels >= 0)
    rows = rows[:: -(-len(rows) // MOST) or 1]
    if len(rows) < 2:
        return float("nan")
    unit = vectors[rows] / np.maximum(np.linalg.norm(vectors[rows], axis=1, keepdims=True), 1e-12)
    similar = unit @ unit.T
    np.fill_diagonal(similar, -np.inf)
    k = min(k, len(rows) - 1)
    nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    known, label = np.unique(labels[rows], return_inverse=True)
    votes = np.zeros((len(rows), len(known)), np.int64)
    np.add.at(votes, (np.arange(len(rows))[:, None], label[nearest]), 1)
    return float((votes.argmax(1) == label).mean())
