"""Cold items by hold-out: items of any dataset that training does not know and that some test targets are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.histories import TEST
from macrec.errors import DataError


def hold_out_items(
    data: Dataset, share: float = 0.08, seed: int = 0, field: str = "share"
) -> tuple[Dataset, NDArray[np.bool_]]:
    """`data` without the events of a random `share` of its items but where they are test targets; and which, `[N]`.

    An event of such an item stays where it is the last of its user and a test target, so that no history and no
    validation target holds one; every other event stays, as do all items. Users with fewer than 3 events left give no
    test sample (of a published split: with fewer than 2), so theirs go, too, and users without any. The result is an
    ordinary dataset: the oracle of the built-in catalog does not know its law (`curio(cold=…)` has one).

    Raises DataError for a share that holds no item or all, and where nothing would be left; `field`: which parameter
    gave the share.
    """
    count = round(share * data.num_items) if 0 < share < 1 else 0
    if not 0 < count < data.num_items:
        what = f"a share of {share} of {data.num_items:,} items cannot be held out"
        raise DataError(what, field=field, fix="give a share between 0 and 1 that holds some items and not all")
    cold = np.zeros(data.num_items, bool)
    cold[np.random.default_rng(seed).permutation(data.num_items)[:count]] = True

    histories = data.histories
    of_cold = cold[histories.items]
    warm = np.bincount(histories.users[~of_cold], minlength=len(histories))
    # What stays before the last event is warm, so it is counted before anything is taken away.
    tested = warm + 1 >= (3 if histories.parts is None else 2)
    last = np.isin(np.arange(len(of_cold)), histories.offsets[1:] - 1)
    target = last & tested[histories.users]
    if histories.parts is not None:
        target &= histories.parts == TEST
    kept = ~of_cold | target
    users = np.unique(histories.users[kept])
    if not len(users):
        raise DataError("no event is left", field=field, fix="hold out fewer items")
    held = Dataset(
        f"{data.name} ({count:,} of {data.num_items:,} items held out)",
        data.items,
        histories.take(kept, users),
        data.user_ids.gather(users),
        data.images,
        data.source,
        (*data.notes, f"{count:,} items were held out: they are test targets only (seed {seed})"),
    )
    return held, cold
