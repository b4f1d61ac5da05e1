"""What is near an item, in each modality: pictures side by side, and the factors to judge neighborhoods by."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings
from macrec.encoders.neighbors import Neighborhoods, purity
from macrec.viz.labels import item_label
from macrec.viz.pictures import labelled, picture_grid
from macrec.viz.theme import FONT, modality_colors

CURIO_FACTORS = ("category", "purpose", "material", "brand", "palette", "pattern", "shape")


def factors_of(dataset: Dataset) -> dict[str, pl.Series]:
    """The columns a neighborhood may be judged by, each with a value per item ("" where unknown).

    On the built-in catalog all its factors; elsewhere the category (the first position of the category path that tells
    items apart), the brand, and the popularity in thirds of the events, where there are events.
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


def examples(embeddings: Mapping[str, Embeddings], seed: int, how_many: int = 3) -> NDArray[np.int64]:
    """Some example items, drawn from those that have every modality, or else most of them."""
    modalities = np.sum([table.present for table in embeddings.values()], axis=0)
    complete = np.flatnonzero(modalities == modalities.max())
    return np.random.default_rng(seed).choice(complete, min(how_many, len(complete)), replace=False)


def neighbor_strips(dataset: Dataset, near_of: Mapping[str, Neighborhoods], shown: int = 6) -> str:
    """The items of some neighborhoods, each followed by its nearest items in every modality, as HTML."""
    label = f"Some items, and the nearest others by {' and by '.join(near_of)}."
    parts = [f'<div {labelled(label)} style="font:13px {html.escape(FONT, quote=True)};color:#222;background:#fff">']
    colors = modality_colors(near_of)
    for row in dict.fromkeys(int(row) for part in near_of.values() for row in part.rows):
        parts.append(f'<h4 style="margin:12px 0 4px">{html.escape(item_label(dataset, row))}</h4>')
        parts.append(picture_grid(dataset, [row], size=84))
        for modality, (rows, near, _) in near_of.items():
            place = np.flatnonzero(rows == row)
            color = colors[modality]
            parts.append(f'<div style="border-left:5px solid {color};padding-left:8px"><b>nearest by {modality}</b>')
            parts.append(
                picture_grid(dataset, near[place[0], :shown].tolist(), size=84)
                if len(place)
                else "<p>this item has none</p>"
            )
            parts.append("</div>")
    return "".join([*parts, "</div>"])
