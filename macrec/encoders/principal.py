"""The strongest directions of embeddings, as a network reads them beside codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.embeddings import Embeddings, chunks


def principal_components(
    embeddings: Embeddings, count: int = 64, further: Embeddings | None = None
) -> NDArray[np.float32]:
    """The first `count` principal components of the standardized vectors, `[N, min(count, dim)]`, scaled to RMS 1.

    Directions and scale are those of the rows that may be learned from (`Embeddings.seen`); the others are mapped like
    them. Absent rows are 0. Rows are read chunk by chunk, so that memory does not grow with the catalog beyond the
    result. The sign of a component is such that its largest loading is positive. With `further` vectors, which are
    standardized as `embeddings` are, theirs are given, `[M, min(count, dim)]`: nothing is learned from them. Raises
    ValueError for a `count` below 1.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more, got {count}")
    seen = np.ones(len(embeddings), bool) if embeddings.seen is None else embeddings.seen
    covariance = np.zeros((embeddings.dim, embeddings.dim))
    parts = [np.arange(rows.start, rows.stop) for rows in chunks(embeddings.values)]
    for rows in parts:
        part = embeddings.standardized(rows[seen[rows]]).astype(np.float64)
        covariance += part.T @ part
    directions = np.linalg.eigh(covariance).eigenvectors[:, ::-1][:, :count]
    largest = np.take_along_axis(directions, np.abs(directions).argmax(0, keepdims=True), 0)
    directions = (directions * np.sign(largest)).astype(np.float32)
    components = np.empty((len(embeddings), directions.shape[1]), np.float32)
    for rows in parts:
        components[rows] = embeddings.standardized(rows) @ directions
    scale = np.sqrt(np.mean(np.square(components[embeddings.learnable]), dtype=np.float64))
    if further is not None:
        components = further.standardized() @ directions
    components /= np.float32(max(scale, 1e-12))
    return components
