"""Vectors for items that have none in a modality, predicted from the modalities that they have.

A new item has no events, and so no collaborative vector; what its text and its picture say of one is better than the
mean vector, by which it would be quantized otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.embeddings import Embeddings


def filled(target: Embeddings, sources: Sequence[Embeddings], ridge: float = 10.0) -> Embeddings:
    """`target` with vectors for the rows that it lacks and that one of `sources` at least has.

    They are predicted by ridge regression from the standardized `sources` side by side, learned on the rows that
    `target` has. What it has stays as it is, to the bit, and so do its mean and deviation; what was predicted is not
    learned from afterwards (`Embeddings.seen`). Raises ValueError for a `ridge` that is not above 0.
    """
    if ridge <= 0:
        raise ValueError(f"ridge must be above 0, got {ridge}")
    known = np.logical_or.reduce([np.zeros(len(target), bool), *(source.present for source in sources)])
    learned, missing = np.flatnonzero(target.learnable & known), np.flatnonzero(~target.present & known)
    if not len(missing) or not len(learned):
        return target
    x, y = beside(sources, learned), target.standardized(learned).astype(np.float64)
    mean_x, mean_y = x.mean(0), y.mean(0)  # what is regressed is how items differ from those that are learned from
    weights = solved(x - mean_x, y - mean_y, ridge)
    values, present = target.values.copy(), target.present.copy()
    values[missing] = ((beside(sources, missing) - mean_x) @ weights + mean_y) * target.std + target.mean
    present[missing] = True
    return replace(target, encoder=f"{target.encoder}, filled", values=values, present=present, seen=target.learnable)


def beside(sources: Sequence[Embeddings], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """The standardized vectors of `rows` `[n]` in all `sources`, side by side, `[n, d]`; 0 where one has none."""
    return np.concatenate([source.standardized(rows) for source in sources], axis=1, dtype=np.float64)


def solved(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """The weights `[d, k]` that minimize |x w - y|² + `ridge` |w|², by the smaller of the two systems of equations."""
    rows, columns = x.shape
    if columns <= rows:
        weights = np.linalg.solve(x.T @ x + ridge * np.eye(columns), x.T @ y)
    else:
        weights = x.T @ np.linalg.solve(x @ x.T + ridge * np.eye(rows), y)
    return weights.astype(np.float64)
