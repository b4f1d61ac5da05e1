"""Why an item has its codes, without the codebooks: the centroid of the items with a code replaces its codeword."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError
from macrec.quantization.code_centroids import code_means, without_itself
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import Rows, item_rows
from macrec.viz.views.nearest_codewords import Level, card, check_item

Floats = NDArray[np.float64]


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

    IDs alone have no codewords. The codeword of a code is replaced by the mean vector of the items that have the
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
        distinct, means, counts = code_means(vectors[within], codes)
        distances = np.linalg.norm(means - np.asarray(vectors[item], np.float64), axis=1)
        own = distinct == ids.codes[item, level]
        distances[own] = without_itself(distances[own], counts[own])
        levels.append((distances, distinct, partial(_examples, vectors, within, codes, item)))
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
