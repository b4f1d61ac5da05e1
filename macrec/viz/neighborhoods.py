"""What is near an item, in each modality: pictures side by side, and the factors to judge neighborhoods by."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings
from macrec.encoders.neighbors import NEIGHBORS, nearest, overlap, purity
from macrec.viz.pictures import item_label, picture_grid
from macrec.viz.theme import FONT, MODALITY

CURIO_FACTORS = ("category", "purpose", "material", "brand", "palette", "pattern", "shape")


def factors_of(dataset: Dataset) -> dict[str, pl.Series]:
    """The columns a neighborhood may be judged by, each with a value per item ("" where unknown).

    On the built-in catalog all its factors; elsewhere the category (the first position of the category path that tells
    items apart), the brand, and the popularity in thirds of the events.
    """
    items = dataset.items
    if isinstance(dataset, Curio):
        return {name: items[name] for name in CURIO_FACTORS}
    factors = {}
    for place in range(int(items["categories"].list.len().max() or 0)):  # type: ignore[arg-type]
        level = items.select(level=pl.col("categories").list.get(place, null_on_oob=True).fill_null(""))["level"]
        common = level.value_counts(sort=True)["count"][0] / len(level)
        if common < 0.9:
            factors["category"] = level
            break
    if (items["brand"] != "").any():
        factors["brand"] = items["brand"]
    return factors | {"popularity": popularity_thirds(dataset)}


def popularity_thirds(dataset: Dataset) -> pl.Series:
    """Head, middle and tail: the most popular items that take a third of the events, the next third, the rest."""
    counts = dataset.histories.counts(dataset.num_items)
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    third = np.empty(len(counts), np.int64)
    third[order] = np.minimum(before * 3 // max(int(counts.sum()), 1), 2)
    return pl.Series("popularity", np.array(["head", "middle", "tail"])[third])


def neighbor_lists(embeddings: Mapping[str, Embeddings]) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """For each modality the items that have it `[n]`, and their nearest items `[n, 10]`, both as item rows."""
    lists = {}
    for modality, found in embeddings.items():
        rows = np.flatnonzero(found.present)
        lists[modality] = (rows, rows[nearest(found.values[rows].astype(np.float32), min(NEIGHBORS, len(rows) - 1))])
    return lists


def purity_table(dataset: Dataset, lists: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]]) -> pl.DataFrame:
    """How often a neighbor shares a factor: columns `factor`, `modality`, `purity`, `chance`."""
    records = []
    for name, values in factors_of(dataset).items():
        levels = values.cast(pl.String).fill_null("")
        codes = levels.rank("dense").to_numpy().astype(np.int64) - 1
        codes = np.where((levels == "").to_numpy(), -1, codes)
        for modality, (rows, near) in lists.items():
            place = np.full(dataset.num_items, -1)
            place[rows] = np.arange(len(rows))
            same, chance = purity(place[near], codes[rows])
            records.append({"factor": name, "modality": modality, "purity": same, "chance": chance})
    return pl.DataFrame(records)


def shared_neighbors(
    lists: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> tuple[NDArray[np.int64], float]:
    """How many neighbors text and image have in common, for items that have both `[m]`; and what chance would give."""
    (text_rows, text_near), (image_rows, image_near) = lists["text"], lists["image"]
    both, in_text, in_image = np.intersect1d(text_rows, image_rows, return_indices=True)
    k = text_near.shape[1]
    return overlap(text_near[in_text], image_near[in_image]), k * k / max(len(both), 1)


def neighbor_strips(
    dataset: Dataset,
    lists: Mapping[str, tuple[NDArray[np.int64], NDArray[np.int64]]],
    rows: Sequence[int],
    shown: int = 6,
) -> str:
    """Some items, each followed by its nearest items in every modality, as HTML."""
    parts = [f'<div style="font:13px {html.escape(FONT, quote=True)};color:#222;background:#fff">']
    for row in rows:
        parts.append(f'<h4 style="margin:12px 0 4px">{html.escape(item_label(dataset, row))}</h4>')
        parts.append(picture_grid(dataset, [row], size=84))
        for modality, (having, near) in lists.items():
            place = np.flatnonzero(having == row)
            color = MODALITY[modality]
            parts.append(f'<div style="border-left:5px solid {color};padding-left:8px"><b>nearest by {modality}</b>')
            parts.append(
                picture_grid(dataset, near[place[0], :shown].tolist(), size=84)
                if len(place)
                else "<p>this item has none</p>"
            )
            parts.append("</div>")
    return "".join([*parts, "</div>"])
