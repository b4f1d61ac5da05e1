"""A dataset with further items behind those that it has: nobody has taken them, and no row changes its number."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from macrec.data.dataset import ITEM_COLUMNS, Dataset
from macrec.data.images import ImageSource


class JoinedImages:
    """The pictures of N items, then those of M others."""

    def __init__(self, first: ImageSource, second: ImageSource) -> None:
        self.first, self.second = first, second
        self.present: NDArray[np.bool_] = np.concatenate([first.present, second.present])

    @property
    def fingerprint(self) -> str:
        """A digest of both."""
        both = f"{self.first.fingerprint} {self.second.fingerprint}"
        return hashlib.blake2b(both.encode(), digest_size=16).hexdigest()

    def open(self, row: int) -> Image.Image:
        """Decode one picture."""
        known = len(self.first.present)
        return self.first.open(row) if row < known else self.second.open(row - known)

    def content_keys(self) -> list[bytes | None]:
        """Those of both."""
        return [*self.first.content_keys(), *self.second.content_keys()]


def with_further_items(data: Dataset, items: Dataset) -> Dataset:
    """`data` and behind its items those of `items`, in that order; histories and user ids stay.

    Further columns of the item table are null for the new items. The result is no `Curio`, whose truth knows no others.
    """
    if not items.num_items:
        return data
    table = pl.concat([data.items, items.items.select(list(ITEM_COLUMNS))], how="diagonal")
    images = JoinedImages(data.images, items.images)
    notes = (*data.notes, f"{items.num_items:,} items were appended")
    return Dataset(data.name, table, data.histories, data.user_ids, images, data.source, notes)


def stacked(first: Dataset, second: Dataset) -> Dataset:
    """The items of two tables without histories, one behind the other."""
    table = pl.concat([one.items.select(list(ITEM_COLUMNS)) for one in (first, second)])
    return replace(first, items=table, images=JoinedImages(first.images, second.images))
