"""How an item is called wherever it is shown: by its title in one line, or by its id where it has none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.quantization.semantic_ids import SemanticIds

LONGEST = 70
"""Letters of a title that are shown."""


def labels_of(titles: pl.Series, item_ids: pl.Series) -> pl.Series:
    """The rule: one line of at most `LONGEST` letters per item, "item ID" for an empty title.

    >>> labels_of(pl.Series(["A  tea pot", ""]), pl.Series(["x1", "x2"])).to_list()
    ['A tea pot', 'item x2']
    """
    one_line = titles.str.replace_all(r"\s+", " ").str.strip_chars()
    cut = one_line.str.head(LONGEST - 3).str.strip_chars_end() + "…"
    short = pl.when(one_line.str.len_chars() > LONGEST).then(cut).otherwise(one_line)
    named = "item " + item_ids.str.replace_all(r"\s+", " ")
    return pl.select(pl.when(one_line == "").then(named).otherwise(short).alias("label"))["label"]


def item_labels(dataset: Dataset, rows: Sequence[int] | NDArray[np.integer]) -> list[str]:
    """The labels of some items of a dataset."""
    items = dataset.items[np.asarray(rows, np.int64)]
    return labels_of(items["title"], items["item_id"]).to_list()


def item_label(dataset: Dataset, row: int) -> str:
    """The label of one item of a dataset."""
    return item_labels(dataset, [row])[0]


def member_labels(
    ids: SemanticIds,
    members: Sequence[int] | NDArray[np.integer],
    data: Dataset | None = None,
    rows: NDArray[np.integer] | None = None,
) -> list[str]:
    """The labels of some rows of a table of IDs; `rows` `[N]` are the rows of all in `data`, where there is one."""
    members = np.asarray(members, np.int64)
    if data is not None and rows is not None:
        return item_labels(data, rows[members])
    item_ids = ids.item_ids.gather(members)
    return labels_of(pl.repeat("", len(members), eager=True), item_ids).to_list()
