"""Thumbnails, sprite sheets and strips show the item they name."""

import base64
import dataclasses
import functools
import html
import io
import json
import re

import numpy as np
import polars as pl
import pytest
from PIL import Image

from macrec.data import Histories
from macrec.data.curio import curio
from macrec.viz import Gallery, history_strip, personas, picture_grid
from macrec.viz.labels import item_label
from macrec.viz.pictures import picture_tag, thumbnail


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


@pytest.mark.slow
def test_many_pictures_become_smaller_so_that_the_page_does_not_grow():
    data = curio("tiny", num_items=900)
    data.images.open = functools.cache(data.images.open)  # each is shown many times and need be drawn only once
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


def carried(gallery: Gallery) -> tuple[str, dict]:
    """The key and the contents that a gallery's script hands to the page."""
    arguments = gallery.script().rpartition("\nshowGallery(")[2].removesuffix(");\n})();</script>")
    return tuple(json.loads(f"[{arguments}]"))


def test_the_script_hands_over_what_belongs_to_each_row(data):
    rows = np.array([7, 3, int(np.flatnonzero(~data.images.present)[0])])
    brands = data.items["brand"].gather(rows).to_list()
    gallery = Gallery(data, rows, {"brand": brands, "row": rows.tolist()})
    key, page = carried(gallery)
    assert key == gallery.key and page["rows"] == rows.tolist()
    assert page["titles"] == [item_label(data, int(row)) for row in rows]
    assert page["pictured"] == data.images.present[rows].astype(int).tolist() and page["pictured"][2] == 0
    assert page["lines"] == {"brand": brands, "row": [str(row) for row in rows]}
    assert (page["uri"], page["columns"]) == gallery.sprite[:2]


def test_galleries_of_other_items_or_another_shop_have_other_keys(data):
    rows = np.arange(5)
    keys = {
        Gallery(data, rows).key,
        Gallery(data, rows[::-1]).key,
        Gallery(data, rows, {"brand": list("abcde")}).key,
        Gallery(curio("tiny", seed=1), rows).key,
    }
    assert len(keys) == 4 and Gallery(data, rows).key in keys


def test_labels_are_short_and_never_empty(data):
    titles = ["", "a" * 70, "b" * 71, *data.items["title"][3:]]
    named = dataclasses.replace(data, items=data.items.with_columns(title=pl.Series(titles)))
    assert item_label(named, 0) == f"item {data.items['item_id'][0]}"
    assert item_label(named, 1) == "a" * 70
    assert item_label(named, 2) == "b" * 67 + "…"


def test_a_picture_carries_its_title_as_alternative_text_and_its_own_pixels(data):
    row = int(np.flatnonzero(data.images.present)[2])
    tag = picture_tag(data, row, 48)
    assert html.unescape(re.search(r'alt="([^"]*)"', tag)[1]) == data.items["title"][row]
    shown = decoded(re.search(r'src="([^"]*)"', tag)[1])
    own = np.asarray(thumbnail(data, row, 48), np.float32)
    assert shown.shape == (48, 48, 3) and np.abs(shown - own).mean() < 6


def test_notes_stand_under_their_own_picture_and_are_text(data):
    page = picture_grid(data, [4, 2], notes=["<b>first</b>", "second"])
    cells = page.split("<figure")[1:]
    assert "&lt;b&gt;first" in cells[0] and "second" in cells[1] and "<b>first" not in page


def with_history(data, lengths):
    """The shop with users of these lengths, who take item 0, 1, 2, … in order."""
    histories = Histories.from_lists([list(range(length)) for length in lengths])
    users = pl.Series([f"u{k}" for k in range(len(lengths))])
    return dataclasses.replace(data, histories=histories, user_ids=users)


def test_a_long_history_shows_its_end_and_says_how_much_came_before(data):
    strip = history_strip(with_history(data, [14]), 0, "someone", limit=4)
    assert re.findall(r"<i>([a-z ]+)</i>", strip) == ["train", "train", "validation target", "test target"]
    titles = data.items["title"]
    shown = [html.unescape(title) for title in re.findall(r'line-height:1.2">([^<]*)<', strip)]
    assert shown == [titles[row] for row in range(10, 14)]
    assert "… 10 before" in strip and "someone: u0, 14 events" in strip
    assert "before" not in history_strip(with_history(data, [4]), 0, limit=4)


@pytest.mark.parametrize(("length", "roles"), [(1, ["train"]), (2, ["train"] * 2)])
def test_a_history_too_short_to_split_is_all_training(data, length, roles):
    strip = history_strip(with_history(data, [length]), 0)
    assert re.findall(r"<i>([a-z ]+)</i>", strip) == roles


def test_a_single_user_plays_every_part(data):
    assert set(personas(with_history(data, [5]).histories).values()) == {0}


def test_galleries_of_the_same_items_with_other_cards_do_not_overwrite_each_other(data):
    rows = np.arange(3)
    keys = {Gallery(data, rows, {"ID": values}).key for values in (["1-2", "3-4", "5-6"], ["1-2", "3-4", "5-7"])}
    assert len(keys) == 2
