"""The dataset card, counted by hand on a catalog of five items."""

import json

import polars as pl
import pytest

from macrec.data import from_events
from macrec.data.card import dataset_card, near_duplicates
from macrec.data.curio import curio
from macrec.errors import DataError


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
    ],
)
def test_near_duplicate_titles(titles, expected):
    assert near_duplicates(pl.Series(titles)).to_list() == expected


def test_card_of_the_built_in_catalog_shows_its_settings():
    card = dataset_card(curio("tiny", no_picture=0.25, no_description=0.5, num_items=2_000), decode_images=10)
    assert card.missing["picture"] == pytest.approx(0.25, abs=0.03)
    assert card.missing["description"] == pytest.approx(0.5, abs=0.04)
    assert (card.repeats, card.duplicate_images, card.images_decoded) == (0, 0.0, 10)


def test_a_broken_picture_is_found(toy, tmp_path):
    import dataclasses

    from macrec.data.images import FolderImages

    (tmp_path / "x.png").write_bytes(b"noise")
    broken = dataclasses.replace(toy, images=FolderImages(tmp_path, ["x.png", *[None] * 4], list("abcde")))
    with pytest.raises(DataError, match="does not decode"):
        dataset_card(broken, decode_images=1)
