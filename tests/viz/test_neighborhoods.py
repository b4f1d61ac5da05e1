"""Neighborhoods: the factors they are judged by, what two modalities share, and the strips that show them."""

import dataclasses
import html
import re

import numpy as np
import polars as pl
import pytest

from macrec.data import from_events
from macrec.data.curio import curio
from macrec.encoders import Embeddings
from macrec.encoders.neighbors import Neighborhoods
from macrec.viz import examples, factors_of, neighbor_strips, purity_table


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


def shop(events, **columns):
    """A dataset of as many items as the columns have rows, met in `events` (item numbers of one user)."""
    items = pl.DataFrame({"item_id": [f"i{k}" for k in range(len(next(iter(columns.values()))))], **columns})
    met = pl.DataFrame({"user_id": ["u"] * len(events), "item_id": [f"i{k}" for k in events]})
    return from_events("toy", met, items, events_file="events", items_file="items")


def test_the_category_is_the_first_position_that_tells_items_apart():
    paths = [["Shop", "Music", "Guitars"]] * 6 + [["Shop", "Kitchen"]] * 3 + [[]]
    factors = factors_of(shop([0], categories=paths, title=["t"] * 10))
    assert list(factors) == ["category", "popularity"]  # nobody has a brand
    assert factors["category"].to_list() == ["Music"] * 6 + ["Kitchen"] * 3 + [""]
    same = factors_of(shop([0], categories=[["Shop"]] * 4, brand=["B", "", "", "C"]))
    assert list(same) == ["brand", "popularity"] and same["brand"].to_list() == ["B", "", "", "C"]


def test_a_third_of_the_events_makes_head_middle_and_tail():
    events = [0] * 3 + [1] * 2 + [2] * 2 + [3] + [4]  # 9 events: the head has item 0, the middle 1 and 2
    popularity = factors_of(shop(events, title=list("abcdef")))["popularity"].to_list()
    assert popularity == ["head", "middle", "middle", "tail", "tail", "tail"]


def test_purity_leaves_out_items_whose_level_is_unknown():
    data = shop([0], brand=["A", "A", "B", ""])
    lists = {"text": Neighborhoods(np.arange(4), np.array([[1], [3], [0], [0]]), np.arange(4))}
    (row,) = purity_table(data, lists).filter(pl.col("factor") == "brand").iter_rows(named=True)
    # Known pairs: 0-1 (alike) and 2-0; random pairs of {A, A, B}: 2 of 6.
    assert (row["purity"], row["chance"]) == (pytest.approx(1 / 2), pytest.approx(2 / 6))


def test_purity_reads_the_levels_of_the_items_and_not_of_their_places():
    data = shop([0], brand=["A", "B", "A", "B", "A"])
    lists = {
        "image": Neighborhoods(np.array([1, 3, 4]), np.array([[3], [1], [3]]), np.array([1, 3, 4]))
    }  # items 0 and 2 have no picture
    (row,) = purity_table(data, lists).filter(pl.col("factor") == "brand").iter_rows(named=True)
    assert (row["purity"], row["chance"]) == (pytest.approx(2 / 3), pytest.approx(2 / 6))


def strips_of(rows, near):
    """The neighborhoods of some items in the text modality."""
    return {"text": Neighborhoods(np.array(rows), np.array(near), np.arange(160))}


def test_strips_show_the_neighbors_of_the_item_they_name(data):
    pictured = np.flatnonzero(data.images.present)
    row, missing = int(pictured[7]), int(np.flatnonzero(~data.images.present)[0])
    found = strips_of([row, missing], [[int(pictured[9])], [row]])
    found["image"] = Neighborhoods(np.array([row]), np.array([[int(pictured[8])]]), pictured)
    first, second = neighbor_strips(data, found, shown=1).split("<h4")[1:]
    alts = [html.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', first)]
    assert alts == [data.items["title"][int(k)] for k in (row, pictured[9], pictured[8])]
    assert "this item has none" in second and "this item has none" not in first


def test_strips_show_no_more_than_asked_for(data):
    assert neighbor_strips(data, strips_of([20], [list(range(10))]), shown=4).count("<figure") == 1 + 4


def test_titles_in_strips_are_text_and_never_markup(data):
    evil = dataclasses.replace(data, items=data.items.with_columns(title=pl.lit("<script>x</script>")))
    page = neighbor_strips(evil, strips_of([1], [[0]]))
    assert "<script>" not in page and page.count("&lt;script&gt;") >= 3


def test_examples_are_items_with_every_modality_where_there_are_such():
    def made(modality, present):
        return Embeddings.from_values(
            modality, "made", np.ones((len(present), 2), np.float32) * present[:, None], present
        )

    text, image = made("text", np.arange(30) < 20), made("image", np.arange(30) >= 18)
    assert set(examples({"text": text, "image": image}, seed=0)) <= {18, 19}
    assert len(examples({"text": text}, seed=0)) == 3 and max(examples({"text": text}, seed=0)) < 20
