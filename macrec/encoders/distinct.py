"""Find items whose texts or pictures differ but whose vectors are equal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings, chunks
from macrec.encoders.fields import item_texts
from macrec.encoders.modalities import content_of
from macrec.encoders.words import normalized

EQUAL = 1e-5
"""Vectors nearer than this share of their mean length are one: what lies between them is rounding."""


def confused(dataset: Dataset, embeddings: Embeddings) -> list[NDArray[np.int64]]:
    """Groups of items (their rows) that have one vector though their contents differ.

    Contents are texts once `normalized`, or the bytes of pictures; other modalities have none that could be compared.
    Large language models drop what stands behind their longest text, and characters they have no token for: a title in
    an unknown script says the same as any other.
    """
    rows = np.flatnonzero(embeddings.present)
    groups = [rows[group] for group in equal_rows(embeddings, rows)]
    if not groups:
        return []
    keys: Sequence[Hashable]
    match content_of(embeddings.modality):
        case "text":
            keys = [normalized(text) for text in item_texts(dataset)]
        case "image":
            keys = dataset.images.content_keys()
        case _:
            return []
    return [group for group in groups if len({keys[row] for row in group}) > 1]


def equal_rows(embeddings: Embeddings, rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Groups, of two or more, of places in `rows` `[n]` whose vectors are equal but for rounding.

    Equal vectors are neighbors once all are sorted along a random direction; only neighbors are compared.
    """
    direction = np.random.default_rng(0).standard_normal(embeddings.dim)
    direction /= np.linalg.norm(direction)
    along = np.concatenate(
        [np.asarray(embeddings.values[part], np.float64) @ direction for part in chunks(embeddings.values)]
    )
    order = np.argsort(along[rows], kind="stable")
    ordered = rows[order]
    length = np.zeros(len(rows))
    apart = np.full(len(rows), np.inf)
    step = max(2, (1 << 22) // embeddings.dim)
    for start in range(0, len(rows), step - 1):
        block = np.asarray(embeddings.values[ordered[start : start + step]], np.float64)
        length[start : start + step] = np.linalg.norm(block, axis=1)
        apart[start + 1 : start + step] = np.linalg.norm(np.diff(block, axis=0), axis=1)
    number = np.cumsum(apart > EQUAL * length.mean())
    table = pl.DataFrame({"group": number, "place": order}).group_by("group", maintain_order=True).agg("place")
    return [np.sort(place.to_numpy()) for place in table["place"] if len(place) > 1]


def confusion_note(dataset: Dataset, embeddings: Embeddings) -> str:
    """A sentence on `confused` items, with an example; "" where there are none."""
    groups = confused(dataset, embeddings)
    if not groups:
        return ""
    one, other = (dataset.items["item_id"][int(row)] for row in groups[0][:2])
    what = "picture" if content_of(embeddings.modality) == "image" else "text"
    cure = (
        ""
        if what == "picture" or embeddings.encoder == "tfidf"
        else '; the encoder "tfidf" gives different texts different vectors'
    )
    return (
        f"{sum(map(len, groups)):,} items have a vector by {embeddings.encoder} that an item with another {what} has, "
        f'too, such as "{one}" and "{other}"{cure}.'
    )
