"""What is near an item, in each modality: pictures side by side."""

from __future__ import annotations

import html
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings
from macrec.encoders.neighbors import Neighborhoods
from macrec.viz.labels import item_label
from macrec.viz.pictures import labelled, picture_grid
from macrec.viz.theme import FONT, modality_colors


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
