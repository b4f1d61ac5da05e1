"""Different contents in one vector are found, whatever the encoder."""

import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.data.dataset import from_events
from macrec.encoders import Embeddings, HogColorEncoder, TfidfEncoder
from macrec.encoders.distinct import confused, confusion_note, equal_rows


def titled(titles):
    items = pl.DataFrame({"item_id": [f"i{row}" for row in range(len(titles))], "title": titles})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    return from_events("texts", events, items, events_file="events", items_file="items")


def vectors(values, encoder="toy"):
    return Embeddings.from_values("text", encoder, np.asarray(values, np.float32))


def test_items_of_different_texts_in_one_vector_are_named_and_equal_texts_are_not():
    data = titled(["red cup", "blue cup", "Red  CUP", "tea pot", "tea kettle", "", "drum"])
    found = vectors([[1, 0], [0, 1], [1, 0], [0.5, 0.5], [0.5, 0.5], [0, 0], [2, 0]], "minilm")
    assert [group.tolist() for group in confused(data, found)] == [[3, 4]]
    assert confusion_note(data, found) == (
        '2 items have a vector by minilm that an item with another text has, too, such as "i3" and "i4"; '
        'the encoder "tfidf" gives different texts different vectors.'
    )
    assert confusion_note(data, vectors(np.eye(7) + 1)) == ""


@pytest.mark.parametrize("noise", [0, 1e-7])
def test_equal_rows_are_those_of_brute_force(noise):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((40, 6))
    chosen = rng.integers(40, size=100)
    found = vectors(base[chosen] + noise * rng.standard_normal((100, 6)))
    groups = equal_rows(found, np.arange(100))
    expected = [np.flatnonzero(chosen == number) for number in range(40)]
    expected = sorted(group.tolist() for group in expected if len(group) > 1)
    assert sorted(group.tolist() for group in groups) == expected


@pytest.mark.slow
def test_the_built_in_encoders_tell_the_items_of_the_built_in_catalog_apart():
    data = curio("tiny")
    every = np.arange(data.num_items)
    for encoder in (TfidfEncoder(), HogColorEncoder()):
        encoder.prepare(data)
        rows = every[encoder.present(data)]
        encoded = encoder.encode(data, rows)
        values = np.zeros((data.num_items, encoded.shape[1]), np.float32)
        values[rows] = encoded
        found = Embeddings.from_values(encoder.modality, encoder.name, values, encoder.present(data))
        assert confused(data, found) == []
