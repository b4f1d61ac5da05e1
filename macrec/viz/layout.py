"""Where the points of a map lie: UMAP, computed once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.embeddings import Embeddings
from macrec.files import replacing

Floats = NDArray[np.float32]


def umap_layouts(
    embeddings: Mapping[str, Embeddings], seed: int, cache: Path | None = None, max_points: int = 5_000
) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """A map of each modality: the items placed `[m]` and where `[m, 2]`; items without the modality have no place.

    `cache`: the beginning of the names of the files that keep the layouts. More than `max_points` items are sampled.
    """
    layouts = {}
    for modality, found in embeddings.items():
        rows = np.flatnonzero(found.present)
        file = cache.with_name(f"{cache.name}-{modality}.npz") if cache else None
        placed, positions = umap_layout(found.values[rows], seed, file, max_points)
        layouts[modality] = (rows[placed], positions)
    return layouts


def umap_layout(
    values: NDArray[np.floating], seed: int, cache: Path | None, max_points: int
) -> tuple[NDArray[np.int64], Floats]:
    """UMAP positions by cosine similarity: which rows of `values` `[n, d]` were placed, and where `[m, 2]`.

    More than `max_points` rows are sampled. With `cache` (a .npz file) a layout of the same values, seed and number of
    points is read instead of computed. Source: McInnes et al., arXiv 1802.03426, through umap-learn.
    """
    values = np.ascontiguousarray(values, np.float32)
    rows = np.arange(len(values))
    if len(rows) > max_points:
        rows = np.sort(np.random.default_rng(seed).choice(rows, max_points, replace=False))
    key = hashlib.blake2b(values[rows].tobytes() + f"{seed}".encode(), digest_size=16).hexdigest()
    if cache is not None and cache.exists():
        with np.load(cache) as kept:
            if str(kept["key"]) == key:
                return rows, kept["positions"]

    import umap  # compiles its kernels with numba on the first call of a process: some 10 seconds

    neighbors = min(15, len(rows) - 1)
    if neighbors < 2 or len(rows) < 8:
        raise ValueError(f"a map needs at least 8 items, got {len(rows)}")
    mapper = umap.UMAP(n_neighbors=neighbors, min_dist=0.15, metric="cosine", random_state=seed, n_jobs=1)
    positions: Floats = mapper.fit_transform(values[rows]).astype(np.float32)
    if cache is not None:
        with replacing(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, key=key, positions=positions)
    return rows, positions
