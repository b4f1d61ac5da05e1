"""A part of a dataset: fewer users, or only the newest events of each, where the whole takes too long."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.errors import DataError


def drawn(users: int, seed: int = 0) -> NDArray[np.int64]:
    """The order in which users are drawn, `[users]`: more users always hold the fewer ones of the same seed."""
    return np.random.default_rng(seed).permutation(users)


def subsample(dataset: Dataset, users: int = 0, newest: int = 0, seed: int = 0) -> Dataset:
    """`users` users drawn at random, in their order, with their `newest` events; 0 is all. Items stay as they are.

    Where events are cut from the built-in catalog it becomes an ordinary dataset: its oracle reads whole histories.
    Raises DataError for a negative number.
    """
    for field, count in (("users", users), ("newest", newest)):
        if count < 0:
            raise DataError(f"{count} cannot be used", field=field, fix="give a number, or 0 for all")
    histories = dataset.histories
    lengths = histories.lengths
    chosen = np.arange(len(histories))
    if 0 < users < len(histories):
        chosen = np.sort(drawn(len(histories), seed)[:users])
    kept = np.minimum(lengths, newest) if newest else lengths
    if len(chosen) == len(histories) and (kept == lengths).all():
        return dataset
    place = np.arange(len(histories.items)) - histories.offsets[:-1][histories.users]
    mask = place >= (lengths - kept)[histories.users]
    part = histories.take(mask, chosen)
    cut = bool((kept < lengths)[chosen].any())
    about = [f"{len(chosen):,} of {len(histories):,} users"] if len(chosen) < len(histories) else []
    about += [f"the newest {newest} events of each"] if cut else []
    name = f"{dataset.name} ({', '.join(about)})"
    if not cut:
        return replace(dataset, name=name, histories=part, user_ids=dataset.user_ids.gather(chosen))
    return Dataset(
        name,
        dataset.items,
        part,
        dataset.user_ids.gather(chosen),
        dataset.images,
        dataset.source,
        dataset.notes,
    )
