from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.formats.kcore import k_core

EVENTS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)


def naive(events, k):
    """Drop one offending interaction at a time, in whatever order: another way to the same, unique, k-core."""
    left = list(range(len(events)))
    while True:
        users = Counter(events[i][0] for i in left)
        items = Counter(events[i][1] for i in left)
        bad = next((i for i in left if users[events[i][0]] < k or items[events[i][1]] < k), None)
        if bad is None:
            return left
        left.remove(bad)


def mask(events, k):
    user, item = (np.array([event[side] for event in events], np.int64) for side in (0, 1))
    return k_core(user, item, k)


@given(EVENTS, st.integers(0, 4))
def test_equals_the_naive_reference(events, k):
    assert np.flatnonzero(mask(events, k)).tolist() == naive(events, k)


@given(EVENTS, st.integers(1, 4))
def test_is_idempotent(events, k):
    kept = [event for event, keep in zip(events, mask(events, k), strict=True) if keep]
    assert mask(kept, k).all()


@given(EVENTS, st.integers(0, 4), st.randoms())
def test_does_not_depend_on_the_order(events, k, random):
    order = list(range(len(events)))
    random.shuffle(order)
    shuffled = mask([events[i] for i in order], k)
    assert shuffled.tolist() == mask(events, k)[order].tolist()


def test_a_chain_falls_one_round_after_another():
    events = [(u, i) for u in range(6) for i in (u, u + 1)]
    assert not mask(events, 2).any()


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="2 entries and item has 1"):
        k_core(np.array([0, 1]), np.array([0]), 1)
