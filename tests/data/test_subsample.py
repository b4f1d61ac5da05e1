"""A part of a dataset: which users, which events, and what stays."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import Histories, from_events
from macrec.data.curio import Curio, curio
from macrec.data.subsample import subsample
from macrec.errors import DataError


def made(sequences):
    events = pl.DataFrame(
        [{"user_id": f"u{user}", "item_id": str(item)} for user, items in enumerate(sequences) for item in items]
    )
    items = pl.DataFrame({"item_id": [str(item) for item in range(9)]})
    return from_events("made", events, items, events_file="events", items_file="items")


@given(
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=8), min_size=1, max_size=6),
    st.integers(0, 8),
    st.integers(0, 9),
)
def test_the_users_that_are_left_have_their_newest_events(sequences, users, newest):
    whole = made(sequences)
    part = subsample(whole, users, newest)
    assert part.num_users == (min(users, len(sequences)) or len(sequences))
    names = part.user_ids.to_list()
    assert names == sorted(names, key=lambda name: int(name[1:]))
    for place, name in enumerate(names):
        theirs = sequences[int(name[1:])]
        assert part.histories[place].tolist() == theirs[-newest:] if newest else theirs
    assert part.items is whole.items


def test_other_seeds_draw_other_users_and_equal_ones_the_same():
    whole = made([[user % 9] for user in range(50)])
    drawn = [subsample(whole, 10, seed=seed).user_ids.to_list() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_timestamps_go_with_their_events_and_a_part_has_a_fingerprint_of_its_own():
    whole = made([[1, 2, 3], [4, 5]])
    timed = Histories(whole.histories.offsets, whole.histories.items, np.arange(5))
    part = subsample(type(whole)("t", whole.items, timed, whole.user_ids, whole.images), newest=2)
    assert part.histories.timestamps.tolist() == [1, 2, 3, 4]
    assert part.fingerprint != whole.fingerprint


def test_the_oracle_stays_only_where_histories_do():
    shop = curio("tiny")
    assert subsample(shop) is shop
    assert isinstance(subsample(shop, users=50), Curio)
    assert not isinstance(subsample(shop, newest=3), Curio)


@pytest.mark.parametrize("field", ["users", "newest"])
def test_negative_numbers_are_refused(field):
    with pytest.raises(DataError, match=field):
        subsample(made([[1]]), **{field: -1})
