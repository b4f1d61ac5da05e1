"""Known factors of items, and how often neighbors in the space of the embeddings share them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from macrec.data.curio import Curio
from macrec.data.curio.world import CROWD_FACTORS
from macrec.data.dataset import Dataset
from macrec.encoders.neighbors import Neighborhoods, purity

CURIO_FACTORS = ("category", "purpose", "material", "brand", "palette", "pattern", "shape")


def factors_of(dataset: Dataset) -> dict[str, pl.Series]:
    """The columns a neighborhood may be judged by, each with a value per item ("" where unknown).

    On the built-in catalog all its factors; elsewhere the category (the first position of the category path that tells
    items apart), the brand, and the popularity in thirds of the events, where there are events.
    """
    items = dataset.items
    if isinstance(dataset, Curio):
        return {name: items[name] for name in (*CURIO_FACTORS, *CROWD_FACTORS.values()) if name in items.columns}
    factors = {}
    for place in range(int(items["categories"].list.len().max() or 0)):  # type: ignore[arg-type]
        level = items.select(level=pl.col("categories").list.get(place, null_on_oob=True).fill_null(""))["level"]
        common = level.value_counts(sort=True)["count"][0] / len(level)
        if common < 0.9:
            factors["category"] = level
            break
    if (items["brand"] != "").any():
        factors["brand"] = items["brand"]
    return factors | ({"popularity": popularity_thirds(dataset)} if dataset.num_events else {})


def popularity_thirds(dataset: Dataset) -> pl.Series:
    """Head, middle and tail: the most popular items that take a third of the events, the next third, the rest."""
    counts = dataset.histories.counts(dataset.num_items)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    third = np.empty(len(counts), np.int64)
    third[order] = np.minimum(before * 3 // max(int(counts.sum()), 1), 2)
    return pl.Series("popularity", np.array(["head", "middle", "tail"])[third])


def purity_table(dataset: Dataset, near_of: Mapping[str, Neighborhoods]) -> pl.DataFrame:
    """How often a neighbor shares a factor: columns `factor`, `modality`, `purity`, `chance`."""
    records = []
    for name, values in factors_of(dataset).items():
        levels = values.cast(pl.String).fill_null("")
        codes = levels.rank("dense").to_numpy().astype(np.int64) - 1
        codes = np.where((levels == "").to_numpy(), -1, codes)
        for modality, (rows, near, among) in near_of.items():
            same, chance = purity(codes[rows], codes[near], codes[among])
            records.append({"factor": name, "modality": modality, "purity": same, "chance": chance})
    return pl.DataFrame(records)
