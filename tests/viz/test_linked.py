"""What the linked views carry to a page is what the arrays say."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.curio import curio
from macrec.errors import DataError
from macrec.quantization.prefix_tree import prefix_tree
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import linked_items
from macrec.viz.linked.linked import linked


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def some_ids(items: int, seed: int = 0, codewords: int = 3) -> SemanticIds:
    return SemanticIds.from_codes(np.random.default_rng(seed).integers(0, codewords, (items, 3)))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(0, 10**6), st.integers(2, 40), st.integers(1, 3))
def test_the_boxes_that_hold_an_item_count_it_once_at_every_depth(items, seed, nodes, depth):
    ids = some_ids(items, seed)
    about = linked(ids, {}, nodes=nodes, depth=depth).about
    tree, deepest = about["tree"], unpacked(about["node"], "<u2")
    counts = np.zeros(len(tree["parents"]), int)
    for node in deepest:
        while node >= 0:
            counts[node] += 1
            node = tree["parents"][node]
    assert counts.tolist() == tree["counts"]
    assert all(parent < node for node, parent in enumerate(tree["parents"]))
    assert tree["names"][1:] == [
        f"{merged} more" if merged else f"{'abc'[at - 1]}_{ids.codes[example, at - 1]}"
        for merged, example, at in list(
            zip(tree["merged"], prefix_tree(ids, nodes, depth).examples, tree["depths"], strict=True)
        )[1:]
    ]


@settings(max_examples=40)
@given(st.integers(1, 80), st.integers(0, 10**6), st.integers(1, 80))
def test_conflicts_are_asked_of_all_items_also_where_a_sample_is_shown(items, seed, most):
    ids = some_ids(items, seed)
    found = linked(ids, {}, most=most)
    _, group, sizes = np.unique(ids.codes, axis=0, return_inverse=True, return_counts=True)
    same_id = sizes[group.reshape(-1)]
    shown = np.ones(len(found.members), int)
    conflicted = unpacked(found.about["conflicted"], "<i4")
    shown[conflicted] = unpacked(found.about["sharing"], "<i4")
    assert len(found.members) == min(items, most) and len(set(found.members.tolist())) == len(found.members)
    assert shown.tolist() == same_id[found.members].tolist()
    assert (np.diff(shown[conflicted]) <= 0).all()  # the largest groups first
    codes = unpacked(found.about["codes"], "u1").reshape(-1, 3)
    np.testing.assert_array_equal(codes, ids.codes[found.members])


def test_every_dot_stands_where_the_layout_puts_its_item():
    data = curio("tiny")
    rows = np.random.default_rng(1).permutation(data.num_items)[:120]  # the IDs' order is not the dataset's
    codes = np.random.default_rng(2).integers(0, 9, (120, 3))
    ids = SemanticIds.from_codes(codes, item_ids=data.items["item_id"].gather(rows))
    where = np.arange(0, data.num_items, 2)
    positions = np.stack((where * 1.0, -where), 1).astype(np.float32)
    about = linked(ids, {"text": (where, positions)}, data, pictures=30).about
    items = unpacked(about["maps"][0]["items"], "<i4")
    grid = unpacked(about["maps"][0]["grid"], "<i2").reshape(-1, 2)
    assert set(rows[items]) == set(rows) & set(where)
    order = np.argsort(rows[items])
    assert (np.diff(grid[order, 0]) > 0).all() and (np.diff(grid[order, 1]) < 0).all()
    titles = about["titles"].split("\n")
    assert [title.rstrip("…") for title in titles] == [
        data.items["title"][int(row)][: len(title.rstrip("…"))] for row, title in zip(rows, titles, strict=True)
    ]
    assert len(unpacked(about["sprite"]["items"], "<i4")) == 30


def test_colors_name_the_level_of_every_item_and_the_last_ones_are_conflicts():
    data = curio("tiny")
    ids = SemanticIds.from_codes(np.arange(data.num_items)[:, None] // 2, item_ids=data.items["item_id"])
    about = linked(ids, {}, data, factors={"category": data.items["category"]}, pictures=1).about
    category, conflict = about["factors"]
    names = [level[0] for level in category["levels"]]
    told = [names[level] for level in unpacked(category["of"], "u1")]
    assert all(name in (value, "other") for name, value in zip(told, data.items["category"], strict=True))
    assert len({tuple(level[1:3]) for level in category["levels"]}) == len(names)  # color and marker tell levels apart
    assert conflict["name"] == "conflict" and unpacked(conflict["of"], "u1").all()


def test_titles_cannot_break_out_of_the_script():
    data = curio("tiny")
    evil = '</script><img src=x onerror="alert(1)">\nnext line'
    data = replace(data, items=data.items.with_columns(title=pl.lit(evil)))
    ids = SemanticIds.from_codes(np.zeros((data.num_items, 1), int), item_ids=data.items["item_id"])
    page = linked_items(ids, {}, data, pictures=1)
    assert page.count("</script>") == 1 and "<img src=x" not in page
    about = json.loads(re.search(r"const about = (\{.*\});\n", page)[1])
    assert len(about["titles"].split("\n")) == data.num_items


def test_the_view_says_what_it_shows_without_scripts():
    page = linked_items(some_ids(50), {"text": (np.arange(50), np.random.default_rng(0).normal(size=(50, 2)))}, most=20)
    assert re.search(r'role="group" aria-label="Linked views of 20 items: the map by text, the tree of codes', page)
    assert "20 items, a sample of 50:" in page.split("</p>")[0]


def test_ids_of_several_lines_are_one_title_each():
    ids = SemanticIds.from_codes(np.zeros((2, 1), int), item_ids=pl.Series(["a\nb", "c\r\n d"]))
    assert linked(ids, {}).about["titles"] == "item a b\nitem c d"


def test_one_item_and_no_map_are_told_as_they_are():
    about = linked(some_ids(1), {}).about
    assert about["sentence"].startswith("1 item: 0 of them") and "dots" not in about["sentence"]
    assert about["label"].startswith("Linked views of 1 item: the tree")


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ((np.arange(3), np.zeros((2, 2))), "two finite numbers per item"),
        ((np.arange(2), np.full((2, 2), np.nan)), "two finite numbers per item"),
        ((np.array([0, 50]), np.zeros((2, 2))), "rows of the same dataset"),
        ((np.array([-1, 5]), np.zeros((2, 2))), "rows of the same dataset"),
    ],
)
def test_layouts_that_do_not_fit_are_refused(layout, said):
    with pytest.raises(DataError, match=said):
        linked_items(some_ids(50), {"text": layout})


def test_bad_factors_trees_and_tables_are_refused():
    data = curio("tiny")
    ids = SemanticIds.from_codes(np.zeros((data.num_items, 1), int), item_ids=data.items["item_id"])
    with pytest.raises(DataError, match="one value per item"):
        linked_items(ids, {}, data, factors={"x": pl.Series(["a"])})
    with pytest.raises(DataError, match="choose 2 to 1,500"):
        linked_items(ids, {}, nodes=1)
    with pytest.raises(DataError, match="no items"):
        linked_items(SemanticIds.from_codes(np.zeros((0, 2), int), sizes=(1, 1)), {})
