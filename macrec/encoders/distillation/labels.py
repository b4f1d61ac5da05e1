"""What pictures show, where a dataset says it: labels that measure a network and that it never learns from."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset


def category_labels(dataset: Dataset) -> NDArray[np.int64]:
    """The number of every item's category `[N]`, -1 for an item without: of the last, most special one it has.

    Categories that one item has alone count as none.
    """
    last = dataset.items["categories"].list.last()
    known = last.is_duplicated() & last.is_not_null()
    return last.set(~known, None).cast(pl.Categorical).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
