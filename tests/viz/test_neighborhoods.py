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
from macrec.viz import factors_of, neighbor_lists, neighbor_strips, purity_table, shared_neighbors


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


def made(modality, values, present):
    return Embeddings.from_values(modality, "made", np.where(present[:, None], values, 0).astype(np.float32), present)


def test_lists_hold_item_rows_of_those_that_have_the_modality():
    rng = np.random.default_rng(0)
    present = np.arange(40) % 3 > 0
    rows, near = neighbor_lists({"image": made("image", rng.standard_normal((40, 4)), present)})["image"]
    assert rows.tolist() == np.flatnonzero(present).tolist() and near.shape == (len(rows), 10)
    assert present[near].all() and (near != rows[:, None]).all()
    few = neighbor_lists({"text": made("text", rng.standard_normal((5, 4)), np.ones(5, bool))})["text"][1]
    assert np.sort(few, axis=1).tolist() == [[k for k in range(5) if k != row] for row in range(5)]


def test_shared_neighbors_are_counted_item_by_item():
    text = (np.array([0, 1, 2, 5]), np.array([[1, 2], [0, 5], [0, 1], [2, 1]]))
    image = (np.array([1, 2, 4, 5]), np.array([[5, 0], [4, 5], [0, 3], [1, 2]]))
    overlaps, _ = shared_neighbors({"text": text, "image": image})
    assert overlaps.tolist() == [2, 0, 2]  # items 1, 2 and 5


def test_unrelated_modalities_share_what_chance_says():
    rng = np.random.default_rng(0)
    others = [np.delete(np.arange(400), row) for row in range(400)]
    random = {
        modality: (np.arange(400), np.stack([rng.choice(rest, 50, replace=False) for rest in others]))
        for modality in ("text", "image")
    }
    overlaps, chance = shared_neighbors(random)
    assert overlaps.mean() == pytest.approx(chance, rel=0.08)


def test_purity_leaves_out_items_whose_level_is_unknown():
    data = shop([0], brand=["A", "A", "B", ""])
    lists = {"text": (np.arange(4), np.array([[1], [3], [0], [0]]))}
    (row,) = purity_table(data, lists).filter(pl.col("factor") == "brand").iter_rows(named=True)
    # Known pairs: 0-1 (alike) and 2-0; random pairs of {A, A, B}: 2 of 6.
    assert (row["purity"], row["chance"]) == (pytest.approx(1 / 2), pytest.approx(2 / 6))


def test_purity_reads_the_levels_of_the_items_and_not_of_their_places():
    data = shop([0], brand=["A", "B", "A", "B", "A"])
    lists = {"image": (np.array([1, 3, 4]), np.array([[3], [1], [3]]))}  # items 0 and 2 have no picture
    (row,) = purity_table(data, lists).filter(pl.col("factor") == "brand").iter_rows(named=True)
    assert (row["purity"], row["chance"]) == (pytest.approx(2 / 3), pytest.approx(2 / 6))


def test_strips_show_the_neighbors_of_the_item_they_name(data):
    pictured = np.flatnonzero(data.images.present)
    lists = {"text": (np.arange(len(data.items)), np.roll(np.arange(len(data.items)), -1)[:, None])}
    lists["image"] = (pictured, np.roll(pictured, -1)[:, None])
    row, missing = int(pictured[7]), int(np.flatnonzero(~data.images.present)[0])
    alts = [html.unescape(alt) for alt in re.findall(r'alt="([^"]*)"', neighbor_strips(data, lists, [row], shown=1))]
    titles = data.items["title"]
    assert alts[0] == titles[row] and alts[-1] == titles[int(pictured[8])]
    page = neighbor_strips(data, lists, [missing])
    assert "this item has none" in page and "nearest by text" in page
    assert "this item has none" not in neighbor_strips(data, lists, [row])


def test_strips_show_no_more_than_asked_for(data):
    lists = {"text": (np.arange(160), np.tile(np.arange(10), (160, 1)))}
    assert neighbor_strips(data, lists, [20], shown=4).count("<figure") == 1 + 4


def test_titles_in_strips_are_text_and_never_markup(data):
    evil = dataclasses.replace(data, items=data.items.with_columns(title=pl.lit("<script>x</script>")))
    page = neighbor_strips(evil, {"text": (np.arange(160), np.zeros((160, 1), int))}, [1])
    assert "<script>" not in page and page.count("&lt;script&gt;") >= 3
