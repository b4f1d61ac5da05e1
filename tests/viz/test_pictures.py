"""Thumbnails, sprite sheets and strips show the item they name."""

import base64
import dataclasses
import io
import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from macrec.data.curio import curio
from macrec.viz import Gallery, history_strip, personas, picture_grid
from macrec.viz.pictures import thumbnail


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert("RGB"), np.float32)


def test_every_tile_of_the_sprite_is_its_item(data):
    rows = np.flatnonzero(data.images.present)[[3, 1, 4, 15, 9]]
    uri, columns, size = Gallery(data, rows).sprite
    sheet = decoded(uri)
    tiles = [sheet[place // columns * size :, place % columns * size :][:size, :size] for place in range(len(rows))]
    own = [np.asarray(thumbnail(data, int(row), size), np.float32) for row in rows]
    distance = np.array([[np.abs(tile - picture).mean() for picture in own] for tile in tiles])
    assert (distance.argmin(1) == np.arange(len(rows))).all()
    assert distance.diagonal().max() < 6  # of 255: what the compression costs


def test_many_pictures_become_smaller_so_that_the_page_does_not_grow():
    data = curio("tiny", num_items=900)
    few, many = (Gallery(data, np.arange(n)).sprite for n in (90, 900))
    assert few[2] == 64 and many[2] == 64
    pages = {n: len(Gallery(data, np.arange(n) % 900).sprite[0]) for n in (2_000, 4_000)}
    assert pages[4_000] < 1.5 * pages[2_000] < 1_500_000


def test_an_item_without_a_picture_shows_a_frame_and_its_title(data):
    row = int(np.flatnonzero(~data.images.present)[0])
    page = picture_grid(data, [row])
    assert "no picture" in page and "<img" not in page and data.items["title"][row].split()[0] in page


def test_titles_are_text_and_never_markup(data):
    evil = data.items.with_columns(title=pl.lit('<img src=x onerror="alert(1)">'))
    page = picture_grid(dataclasses.replace(data, items=evil), [0, 1]) + history_strip(
        dataclasses.replace(data, items=evil), 0
    )
    assert "<img src=x" not in page and "&lt;img src=x" in page


def test_strip_marks_what_the_split_holds_out(data):
    user = personas(data.histories)["a typical user"]
    strip = history_strip(data, user, limit=100)
    assert re.findall(r"<i>(\w+)", strip)[-2:] == ["validation", "test"]
    assert strip.count("<figure") == len(data.histories[user])


def test_personas_are_the_shortest_the_median_and_the_longest(data):
    short, median, long = (data.histories.lengths[user] for user in personas(data.histories).values())
    assert (short, long) == (data.histories.lengths.min(), data.histories.lengths.max())
    assert (data.histories.lengths < median).mean() <= 0.5 <= (data.histories.lengths <= median).mean()
