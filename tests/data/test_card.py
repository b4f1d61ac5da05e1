"""The dataset card, counted by hand on a catalog of five items."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from macrec.data import from_events
from macrec.data.card import dataset_card, near_duplicates
from macrec.data.curio import curio
from macrec.data.images import FolderImages, PackedImages


@pytest.fixture
def toy():
    items = pl.DataFrame(
        {
            "item_id": list("abcde"),
            "title": ["Acme Oak Lamp", "Acme Oak Lamp, Large", "Acme Oak Lamp", "", "Blue Glass Vase"],
            "description": ["warm", "", "warm", "", "tall"],
        }
    )
    events = pl.DataFrame(
        {
            "user_id": ["u"] * 5 + ["v"] * 2,
            "item_id": ["a", "b", "a", "c", "d", "a", "b"],
            "timestamp": [1, 1, 2, 3, 3, 9, 9],
        }
    )
    return from_events("toy", events, items, events_file="events", items_file="items")


def test_card_counts_what_one_counts_by_hand(toy):
    card = dataset_card(toy)
    assert (card.users, card.items, card.events, card.density) == (2, 5, 7, 0.7)
    assert (card.history_length.min, card.history_length.median, card.history_length.max) == (2, 3.5, 5)
    assert (card.item_events.min, card.item_events.max, card.core, card.cold_items) == (1, 3, 1, 1)
    assert card.repeats == 1  # user u has item a twice
    assert card.tied_times == pytest.approx(3 / 5)  # 1-1, 3-3 and 9-9 of the 5 neighboring pairs
    assert card.missing == {"title": 0.2, "brand": 1.0, "description": 0.4, "categories": 1.0, "picture": 1.0}
    assert card.duplicate_texts == pytest.approx(1 / 5)  # item c has the text of item a; the empty text is no text
    assert card.near_duplicate_titles == pytest.approx(3 / 5)
    assert (card.split.train, card.split.valid, card.split.test) == (2 + 1, 1, 1)
    assert (card.split.unseen_valid, card.split.unseen_test) == (1, 1)  # c and d occur nowhere else
    assert json.loads(json.dumps(card.to_json()))["split"]["train"] == 3
    assert "70.000%" in str(card)


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (["Acme Oak Lamp", "acme lamp (oak)"], [True, True]),  # case, order and punctuation do not count
        (["Acme Oak Lamp, Set of 2", "Acme Oak Lamp Set of 3"], [True, True]),  # nor do numbers
        (["Acme Oak Lamp", "Acme Oak Lamp Mini"], [True, True]),  # one word more
        (["Acme Oak Lamp", "Acme Oak Lamp Very Mini"], [False, False]),  # two words more
        (["Acme Oak Lamp", "Acme Oak Clock"], [False, False]),  # another word is another thing
        (["Heat", "Alien"], [False, False]),
        (["Oak Lamp", "Oak Lamp"], [False, False]),  # too short to tell
        (["", ""], [False, False]),
        (["Acme Oak Lamp Red", "Acme Oak Lamp Blue"], [False, False]),  # alike only where both lost a word
        (["Acme Oak Lamp Red", "Acme Oak Lamp Blue", "Acme Oak Lamp"], [True, True, True]),
    ],
)
def test_near_duplicate_titles(titles, expected):
    assert near_duplicates(pl.Series(titles)).to_list() == expected


@pytest.mark.slow
def test_card_of_the_built_in_catalog_shows_its_settings():
    card = dataset_card(curio("tiny", no_picture=0.25, no_description=0.5, num_items=2_000), decode_images=10)
    assert card.missing["picture"] == pytest.approx(0.25, abs=0.03)
    assert card.missing["description"] == pytest.approx(0.5, abs=0.04)
    assert (card.repeats, card.duplicate_images, card.images_decoded) == (0, 0.0, 10)


def test_a_broken_picture_is_found(toy, tmp_path):
    (tmp_path / "x.png").write_bytes(b"noise")
    broken = dataclasses.replace(toy, images=FolderImages(tmp_path, ["x.png", *[None] * 4], list("abcde")))
    card = dataset_card(broken, decode_images=1)
    assert card.images_decoded == 0 and card.images_broken[0].startswith("item a, x.png: the image does not decode")
    assert "0; 1 do not decode: item a, x.png" in str(card)


def test_popularity_counts_the_top_tenth_of_all_items():
    # 20 items, of which one never occurs: the top tenth is the first two, with 10 + 6 of 33 events.
    counts = [10, 6, *[1] * 17, 0]
    met = np.repeat(np.arange(20), counts)
    events = pl.DataFrame({"user_id": np.arange(len(met)), "item_id": met})
    items = pl.DataFrame({"item_id": np.arange(20)})
    card = dataset_card(from_events("toy", events, items, events_file="events", items_file="items"))
    assert card.head_share == pytest.approx(16 / 33)
    assert (card.core, card.cold_items, card.tied_times) == (1, 1, None)


def test_the_split_is_described_at_its_cap():
    lengths = [30, 5, 2]  # train parts 28, 3 and 2: 27 + 2 + 1 samples, of which those of place 20 to 27 are full
    events = pl.DataFrame({"user_id": np.repeat(["a", "b", "c"], lengths)}).with_columns(item_id=pl.lit("x"))
    items = pl.DataFrame({"item_id": ["x"]})
    split = dataset_card(from_events("toy", events, items, events_file="events", items_file="items")).split
    assert (split.train, split.valid, split.test) == (30, 2, 2)
    assert split.full_history == pytest.approx(8 / 30)
    assert (split.history.min, split.history.max) == (1, 20)
    assert split.history.mean == pytest.approx((sum(range(1, 21)) + 7 * 20 + 1 + 2 + 1) / 30)
    assert split.test_history_mean == pytest.approx((20 + 4) / 2)
    assert (split.unseen_valid, split.unseen_test) == (0, 0)


def test_behaviors_are_counted_by_name(toy):
    events = pl.DataFrame({"user_id": ["u"] * 4, "item_id": list("abca"), "behavior": ["view", "view", "buy", "view"]})
    card = dataset_card(from_events("toy", events, toy.items, events_file="events", items_file="items"))
    assert card.behaviors == {"buy": 1, "view": 3}
    assert "buy 1, view 3" in str(card)
    assert dataset_card(toy).behaviors == {} and "behaviors" not in str(dataset_card(toy))


@pytest.mark.parametrize("field", ["title", "brand", "categories", "description"])
def test_texts_that_differ_in_one_field_are_no_duplicates(field):
    items = pl.DataFrame({"item_id": ["a", "b"], "title": "t", "brand": "b", "description": "d"}).with_columns(
        categories=pl.lit(["c", "d"])
    )
    events = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"]})

    def share(items):
        return dataset_card(from_events("toy", events, items, events_file="e", items_file="i")).duplicate_texts

    assert share(items) == 0.5
    other = [["cd"], ["c", "d"]] if field == "categories" else ["other", "t"]
    assert share(items.with_columns(pl.Series(field, other))) == 0


def test_equal_pictures_are_counted_and_only_so_many_are_decoded(toy):
    def png(color):
        buffer = io.BytesIO()
        Image.new("RGB", (2, 2), color).save(buffer, "PNG")
        return buffer.getvalue()

    red, blue = png("red"), png("blue")
    pictures = pl.Series([red, None, red, blue, b"noise"], dtype=pl.Binary)
    pictured = dataclasses.replace(toy, images=PackedImages(Path("pack"), pictures, list("abcde")))
    card = dataset_card(pictured, decode_images=3)
    assert card.duplicate_images == pytest.approx(1 / 5) and card.missing["picture"] == pytest.approx(1 / 5)
    assert card.images_decoded == 3 and "3, all whole" in str(card)
    card = dataset_card(pictured, decode_images=4)
    assert card.images_decoded == 3 and [line.partition(",")[0] for line in card.images_broken] == ["item e"]


def test_a_card_without_text_or_pictures_shares_nothing(toy):
    bare = from_events(
        "bare",
        pl.DataFrame({"user_id": ["u"] * 3, "item_id": list("aba")}),
        toy.items.select("item_id"),
        events_file="events",
        items_file="items",
    )
    card = dataset_card(bare, decode_images=10)
    assert (card.duplicate_texts, card.duplicate_images, card.near_duplicate_titles, card.images_decoded) == (
        0,
        0,
        0,
        0,
    )
    assert set(card.missing.values()) == {1.0} and "no times" in str(card)
