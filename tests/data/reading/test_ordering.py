from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.reading.ordering import chronological
from macrec.errors import DataError

FILES = {"events_file": Path("events"), "items_file": Path("items")}
EVENTS = st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abc"), st.integers(0, 4)), min_size=1, max_size=12)
SCHEMA = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}


@given(EVENTS, st.booleans())
def test_users_stay_in_file_order_and_ties_too(events, grouped):
    if grouped:
        events = sorted(events, key=lambda event: event[0])
    frame = pl.DataFrame(events, schema=SCHEMA, orient="row").with_row_index("row")
    users = list(dict.fromkeys(user for user, _, _ in events))
    expected = sorted(range(len(events)), key=lambda row: (users.index(events[row][0]), events[row][2]))
    ordered = chronological(frame, pl.Series(["a", "b", "c"]), by="timestamp", **FILES)
    assert ordered["row"].to_list() == expected
    assert chronological(frame, pl.Series(["a", "b", "c"]), by=None, **FILES).equals(frame)


def test_an_unknown_item_is_named_with_its_row_in_the_file():
    frame = pl.DataFrame([("u", "a", 9), ("u", "x", 1)], schema=SCHEMA, orient="row")
    with pytest.raises(DataError, match='events, row 12, field "item_id": the item "x" of user "u"'):
        chronological(frame, pl.Series(["a"]), by="timestamp", first_row=11, **FILES)
