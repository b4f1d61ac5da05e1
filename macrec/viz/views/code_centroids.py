"""Why an item has its codes, when nobody has the codebooks: what items with a code have in common stands in for it."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import Rows, item_rows
from macrec.viz.views.nearest_codewords import Level, card, check_item

Floats = NDArray[np.float64]

SAMPLE, PAIRS = 4_000, 20_000_000
"""Items that `first_code_fit` measures, and distances that it computes, at most: 160 MB."""


def code_means(vectors: NDArray[np.floating], codes: NDArray[np.integer]) -> tuple[NDArray[np.int64], Floats, Floats]:
    """The codes that occur in `codes` `[n]`, sorted `[C]`, the mean of the vectors `[n, d]` of each `[C, d]`, and how
    many these are `[C]`."""
    found, place, counts = np.unique(codes, return_inverse=True, return_counts=True)
    order = np.argsort(place, kind="stable")
    sums = np.add.reduceat(np.asarray(vectors, np.float64)[order], np.cumsum(counts) - counts, axis=0)
    return found.astype(np.int64), sums / counts[:, None], counts.astype(np.float64)


def without_itself(distance: Floats, counts: Floats) -> Floats:
    """The distance of an item to the mean of the *others* of its group, from its distance to the mean of all `counts`
    items: the mean of the others lies on the same line, n / (n - 1) times as far. Infinite where there is no other."""
    grown: Floats = np.divide(distance * counts, counts - 1, out=np.full(distance.shape, np.inf), where=counts > 1)
    return grown


def first_code_fit(
    vectors: NDArray[np.floating], codes: NDArray[np.integer], seed: int = 0
) -> tuple[Rows, Floats, Floats]:
    """How well vectors `[n, d]` fit first codes `[n]`: the places `[m]` of a sample of items, and their distances to
    the mean of their own code without them and to the nearest mean of another code, `[m]` each.

    Distances are infinite for a code that only one item has, and where there is no other code.
    """
    found, means, counts = code_means(vectors, codes)
    sample = np.sort(np.random.default_rng(seed).permutation(len(codes))[: max(1, min(SAMPLE, PAIRS // len(found)))])
    x = np.asarray(vectors[sample], np.float64)
    squares = (x**2).sum(1)[:, None] - 2 * x @ means.T + (means**2).sum(1)
    distances = np.sqrt(np.maximum(squares, 0))
    at, row = np.searchsorted(found, codes[sample]), np.arange(len(sample))
    own = without_itself(distances[row, at], counts[at])
    distances[row, at] = np.inf
    return sample, own, distances.min(1)


def nearest_code_centroids(
    item: int,
    ids: SemanticIds,
    vectors: NDArray[np.floating],
    present: NDArray[np.bool_],
    data: Dataset | None = None,
    k: int = 5,
    examples: int = 3,
    size: int = 52,
) -> str:
    """One item (a row of `ids`), and at every level the `k` codes whose items are nearest to it, as HTML.

    IDs alone have no codewords. What stands in for the codeword of a code is the mean vector of the items that have the
    item's codes before it and then this code, the item itself left out. `vectors` `[N, d]` are embeddings of the items
    of `ids`, `present` `[N]` says which have one. Examples are the items nearest to the stand-in. Raises DataError for
    an item that is not there or has no vector.
    """
    check_item(item, ids)
    if not present[item]:
        raise DataError(f"the item {ids.item_ids[item]} has no vector", field="item", fix="choose another one")
    rows = item_rows(ids, data) if data is not None else None
    levels: list[Level] = []
    within = np.flatnonzero(present)
    for level in range(ids.num_levels):
        codes = ids.codes[within, level]
        found, means, counts = code_means(vectors[within], codes)
        distances = np.linalg.norm(means - np.asarray(vectors[item], np.float64), axis=1)
        own = found == ids.codes[item, level]
        distances[own] = without_itself(distances[own], counts[own])
        levels.append((distances, found, partial(_examples, vectors, within, codes, item)))
        within = within[codes == ids.codes[item, level]]
    return card(item, ids, data, rows, levels, k, examples, size)


def _examples(vectors: NDArray[np.floating], within: Rows, codes: NDArray[np.integer], item: int, code: int) -> Rows:
    """Of the items `within` `[n]`, all others whose `codes` `[n]` are this one, the nearest to their mean first."""
    members = within[(codes == code) & (within != item)]
    group = np.asarray(vectors[members], np.float64)
    nearest: Rows = (
        members[np.argsort(np.linalg.norm(group - group.mean(0), axis=1), kind="stable")] if len(members) else members
    )
    return nearest
