"""Held-out items: test targets and nothing else, while every other event stays where it was."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.cold import hold_out_items
from macrec.data.curio import Curio, curio
from macrec.data.dataset import Dataset, item_table
from macrec.data.histories import CONTEXT, TEST, TRAIN, VALID, Histories
from macrec.data.images import NoImages
from macrec.data.split import item_counts
from macrec.errors import DataError

ITEMS = 12
HISTORIES = st.lists(st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=9), min_size=1, max_size=8)


def toy(sequences, published=False):
    """A dataset of these histories; a published split tests the last two events of every third user."""
    histories = Histories.from_lists(sequences)
    if published:
        ends = ([VALID, TEST, TEST], [], [VALID])  # of users in turn
        of_user = [[CONTEXT, *[TRAIN] * 9, *ends[user % 3]][-len(one) :] for user, one in enumerate(sequences)]
        histories = replace(histories, parts=np.array([part for one in of_user for part in one], np.int8))
    items = item_table(pl.DataFrame({"item_id": [f"i{row}" for row in range(ITEMS)]}), file="made")
    users = pl.Series([f"u{row}" for row in range(len(sequences))])
    return Dataset("toy", items, histories, users, NoImages(ITEMS), "made")


@given(sequences=HISTORIES, published=st.booleans(), share=st.floats(0.1, 0.9), seed=st.integers(0, 9))
def test_no_history_and_no_target_but_of_a_test_holds_a_cold_item(sequences, published, share, seed):
    data = toy(sequences, published)
    try:
        held, cold = hold_out_items(data, share, seed)
    except DataError as error:
        assert "no event is left" in str(error).lower()
        return
    split = held.split()
    assert cold.sum() == round(share * ITEMS) and not item_counts(split, ITEMS)[cold].any()
    assert not cold[split.train.targets].any() and not cold[split.valid.targets].any()
    for samples in split:
        assert not any(cold[samples.history(row)].any() for row in range(len(samples)))
    # Every cold event that is left is a test target.
    assert np.isin(np.flatnonzero(cold[held.histories.items]), split.test.target).all()


@given(sequences=HISTORIES, published=st.booleans(), seed=st.integers(0, 9))
def test_other_events_stay_in_their_order_and_with_their_columns(sequences, published, seed):
    data = toy(sequences, published)
    data = replace(data, histories=replace(data.histories, timestamps=np.arange(len(data.histories.items))))
    try:
        held, cold = hold_out_items(data, 0.4, seed)
    except DataError:
        return
    after, before = held.histories, data.histories
    stayed = after.timestamps
    assert (before.items[stayed] == after.items).all() and (np.diff(stayed) > 0).all()
    assert (stayed[~cold[after.items]] == np.flatnonzero(~cold[before.items])).all()
    assert [data.user_ids[int(user)] for user in before.users[stayed]] == [
        held.user_ids[int(user)] for user in after.users
    ]
    assert (after.parts is None) == (before.parts is None)
    assert after.parts is None or (after.parts == before.parts[stayed]).all()
    # What goes of cold items is all that may not stay: a last event after two others is kept.
    if not published:
        for sequence, name in zip(sequences, data.user_ids, strict=True):
            if cold[sequence[-1]] and sum(~cold[sequence]) >= 2:
                user = held.user_ids.to_list().index(name)
                assert after[user][-1] == sequence[-1]


def test_the_catalog_loses_its_oracle_and_keeps_its_items():
    data = curio("tiny")
    held, cold = hold_out_items(data)
    assert not isinstance(held, Curio) and held.items is data.items and held.images is data.images
    assert cold.sum() == round(0.08 * 160)
    share = cold[held.split().test.targets].mean()
    assert 0.02 < share < 0.2
    assert "13 of 160 items held out" in held.name and "held out" in held.notes[-1]


def test_the_seed_chooses_and_the_same_seed_chooses_the_same():
    data = curio("tiny")
    (first, one), (again, two), (_, other) = (hold_out_items(data, 0.1, seed) for seed in (1, 1, 2))
    assert (one == two).all() and first.fingerprint == again.fingerprint and (one != other).any()


@pytest.mark.parametrize("share", [0, 1, -0.5, 0.001, 0.999, float("nan")])
def test_shares_of_nothing_or_all_are_refused(share):
    with pytest.raises(DataError, match="cannot be held out"):
        hold_out_items(curio("tiny"), share)
