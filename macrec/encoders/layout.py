"""Where the points of a map lie: UMAP, computed once and kept."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.embeddings import UNREADABLE, Embeddings
from macrec.encoders.neighbors import nearest
from macrec.files import replacing

Floats = NDArray[np.float32]

FEWEST = 8
"""Items a map needs at least."""


def umap_layouts(
    embeddings: Mapping[str, Embeddings], seed: int, cache: Path | None = None, max_points: int = 5_000
) -> dict[str, tuple[NDArray[np.int64], Floats]]:
    """A map of each modality: the items placed `[m]` and where `[m, 2]`; items without the modality have no place.

    Of more than `max_points` items a sample is placed, the same for every modality. `cache`: the beginning of the names
    of the files that keep the layouts.
    """
    present = np.stack([table.present for table in embeddings.values()])
    shown = np.flatnonzero(present.any(0))
    if len(shown) > max_points:
        shown = np.sort(np.random.default_rng(seed).choice(shown, max_points, replace=False))
    layouts = {}
    for modality, table in embeddings.items():
        rows = shown[table.present[shown]]
        file = cache.with_name(f"{cache.name}-{modality.replace('/', '-')}.npz") if cache else None
        layouts[modality] = (rows, umap_layout(table.values[rows], seed, file))
    return layouts


def umap_layout(values: NDArray[np.floating], seed: int, cache: Path | None = None) -> Floats:
    """UMAP positions of `values` `[n, d]` by cosine similarity, `[n, 2]`, from the exact neighbors of every row.

    With `cache` (a .npz file) a layout of the same values and seed is read instead of computed. Raises ValueError for
    fewer than `FEWEST` rows. Source: McInnes et al., arXiv 1802.03426, through umap-learn.
    """
    if len(values) < FEWEST:
        raise ValueError(f"a map needs at least {FEWEST} items, got {len(values)}")
    values = np.ascontiguousarray(values, np.float32)
    key = hashlib.blake2b(values.tobytes() + f"{values.shape} {seed}".encode(), digest_size=16).hexdigest()
    if cache is not None and (kept := kept_layout(cache, key, len(values))) is not None:
        return kept

    import umap  # compiles its kernels with numba on the first call of a process: some 5 seconds

    k = min(15, len(values) - 1)
    with warnings.catch_warnings():  # of given neighbors: that further rows could not be placed, which none are
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        mapper = umap.UMAP(
            n_neighbors=k, min_dist=0.15, metric="cosine", random_state=seed, n_jobs=1,
            precomputed_knn=neighbor_distances(values, k),
        )  # fmt: skip
        positions: Floats = mapper.fit_transform(values).astype(np.float32)
    if cache is not None:
        with replacing(cache) as temporary, temporary.open("wb") as file:
            np.savez(file, key=key, positions=positions)
    return positions


def neighbor_distances(values: Floats, k: int) -> tuple[NDArray[np.int32], Floats]:
    """Each row of `values` `[n, d]` and its k - 1 nearest others by cosine, `[n, k]`, and 1 - cosine to each, `[n, k]`.

    What `umap.UMAP` takes as `precomputed_knn`. One GEMM takes a tenth of the seconds of UMAP's own search, most of
    which compiles it.
    """
    near = np.concatenate([np.arange(len(values))[:, None], nearest(values, k - 1)], axis=1)
    unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    distances = 1 - np.stack([(unit * unit[column]).sum(1) for column in near.T], 1)
    distances[:, 0] = 0
    return near.astype(np.int32), distances.clip(min=0).astype(np.float32)


def kept_layout(file: Path, key: str, items: int) -> Floats | None:
    """The layout `[items, 2]` that `file` keeps under `key`; None where it keeps none, or is damaged: it is made anew.

    An .npz file is a zip archive, whose members bear checksums.
    """
    try:
        with ZipFile(file) as archive:  # sizes first: a damaged header may claim any amount of memory
            if sum(member.file_size for member in archive.infolist()) > 8 * items + 10_000:
                return None
        with np.load(file, allow_pickle=False) as kept:
            stored, positions = str(kept["key"]), kept["positions"]
    except (*UNREADABLE, KeyError, BadZipFile, zlib.error, NotImplementedError):
        return None
    sound = positions.shape == (items, 2) and positions.dtype == np.float32 and bool(np.isfinite(positions).all())
    return positions if stored == key and sound else None
