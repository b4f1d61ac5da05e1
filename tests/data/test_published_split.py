"""A published split is data: who asks for samples gets it, what is held out is not learned, and it comes back."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import Histories, from_events, leave_one_out, save_parquet, train_part
from macrec.data.card import dataset_card
from macrec.data.formats.parquet import load_parquet
from macrec.data.histories import PARTS
from macrec.data.split import item_counts, parts_of
from macrec.data.subsample import subsample
from macrec.errors import DataError
from macrec.evaluation.ceiling import ceiling

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"r": "train", "v": "valid", "t": "test", "c": "context"}


def made(histories: list[list[tuple[str, str]]]):
    """A dataset of users whose histories are (item, letter of its part)."""
    rows = [
        {"user_id": f"u{user}", "item_id": item, "part": SHORT[part]}
        for user, events in enumerate(histories)
        for item, part in events
    ]
    items = pl.DataFrame({"item_id": list("abcdefgh")})
    return from_events("made", pl.DataFrame(rows), items, events_file="events", items_file="items")


TIMED = [list(zip("abcdef", "rrvvtt", strict=True)), list(zip("hgf", "crr", strict=True))]
"""By time: user 0 has two targets of each kind, user 1 was only there early."""


def samples(part):
    return [(part.history(i).tolist(), int(part.targets[i])) for i in range(len(part))]


def test_the_split_of_a_dataset_is_the_published_one():
    train, valid, test = made(TIMED).split()
    assert samples(train) == [([0], 1), ([7], 6), ([7, 6], 5)]
    assert samples(valid) == [([0, 1], 2), ([0, 1, 2], 3)]
    assert samples(test) == [([0, 1, 2, 3], 4), ([0, 1, 2, 3, 4], 5)]
    assert samples(made(TIMED).split(max_history=2).test) == [([2, 3], 4), ([3, 4], 5)]


def test_what_is_held_out_is_not_in_the_training_part():
    data = made(TIMED)
    assert [history.tolist() for history in train_part(data.histories)] == [[0, 1], [6, 5]]
    assert item_counts(data.split(), 8)[2:5].tolist() == [0, 0, 0]  # c, d and e are only asked for
    assert ceiling(data)["popularity"]["HR@1"] < 0.5  # e and f would be known from their own test events


sequences = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=7), min_size=1, max_size=5)


@pytest.mark.slow
@given(sequences, st.integers(1, 8))
def test_without_a_published_split_it_is_leave_one_out(lists, longest):
    data = made([[("abcdefgh"[item], "r") for item in items] for items in lists[:1]] + TIMED)
    plain = from_events(
        "plain",
        pl.DataFrame([{"user_id": u, "item_id": str(i)} for u, items in enumerate(lists) for i in items]),
        pl.DataFrame({"item_id": [str(i) for i in range(8)]}),
        events_file="events",
        items_file="items",
    )
    for ours, theirs in zip(plain.split(longest), leave_one_out(plain.histories, longest), strict=True):
        assert samples(ours) == samples(theirs)
    assert len(data.split().test) == 2


def test_a_split_that_is_leave_one_out_changes_nothing():
    same = made([list(zip("abcd", "rrvt", strict=True)), list(zip("ab", "rr", strict=True))])
    assert same.histories.parts is None and "leave-one-out" in same.notes[0]
    assert made(TIMED).fingerprint != same.fingerprint
    other = made([list(zip("abcdef", "rrrvtt", strict=True)), TIMED[1]])
    assert other.fingerprint != made(TIMED).fingerprint  # the same events, other targets


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ("rrtrvt", ['user "u0"', "train follows one for test", "split"]),
        ("rrvtvt", ["valid follows one for test"]),
        ("rrrrrt", ["no valid event"]),
        ("rrrrvv", ["no test event"]),
        ("ccccvt", ["no train event"]),
    ],
)
def test_a_split_that_cannot_be_kept_is_refused(parts, words):
    with pytest.raises(DataError) as caught:
        made([list(zip("abcdef", parts, strict=True))])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_context_may_stand_anywhere():
    parts = made([list(zip("abcdef", "crcvct", strict=True))]).histories.parts
    assert [PARTS[part] for part in parts] == ["context", "train", "context", "valid", "context", "test"]


def test_it_comes_back_from_parquet_and_stays_in_a_part(tmp_path):
    data = made(TIMED)
    save_parquet(data, tmp_path / "copy")
    again = load_parquet(tmp_path / "copy")
    assert again.fingerprint == data.fingerprint and again.notes == data.notes
    assert again.histories.parts.tolist() == data.histories.parts.tolist()
    part = subsample(data, newest=4)
    assert [PARTS[number] for number in part.histories.parts] == [
        "valid",
        "valid",
        "test",
        "test",
        *["context"],
        *["train"] * 2,
    ]


def test_a_column_that_is_no_split_is_named(tmp_path):
    save_parquet(made(TIMED), tmp_path)
    events = pl.read_parquet(tmp_path / "interactions.parquet")
    events.with_columns(split=pl.lit("holdout")).write_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=r'field "split": "holdout" is no part of a split; write one of train, valid'):
        load_parquet(tmp_path)


def test_the_card_says_which_split_it_is():
    card = dataset_card(made(TIMED))
    assert card.split.kind == "published" and (card.split.train, card.split.valid, card.split.test) == (3, 2, 2)
    assert "as published with the data" in str(card) and "the split is the one in the files" in str(card)
    assert (card.split.unseen_valid, card.split.unseen_test) == (2, 1)  # c, d; e: f is in a training part of user 1
    plain = dataset_card(made([list(zip("abcd", "rrvt", strict=True))]))
    assert plain.split.kind == "leave-one-out"
    assert json.loads(json.dumps(card.to_json()))["split"]["kind"] == "published"


def test_a_part_for_every_event():
    histories = Histories.from_lists([[1, 2, 3, 4], [5, 6], [7]])
    assert parts_of(histories).tolist() == [0, 0, 1, 2, 0, 0, 0]
    with pytest.raises(ValueError, match="parts has 1 entries"):
        Histories(np.array([0, 2]), np.zeros(2, np.int32), parts=np.zeros(1, np.int8))


def test_nobody_goes_around_the_published_split():
    """Library and notebooks ask the dataset: `leave_one_out` does not look at what was published."""
    files = [*ROOT.glob("macrec/**/*.py"), *ROOT.glob("notebooks/*.ipynb")]
    around = [file.name for file in files if re.search(r"leave_one_out\(", file.read_text(encoding="utf-8"))]
    assert around == ["split.py"]
