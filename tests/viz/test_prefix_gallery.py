"""The prefix gallery shows every prefix with its items, within its bounds, and needs no script."""

import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from macrec.data.curio import curio
from macrec.errors import DataError
from macrec.quantization.prefix_tree import prefix_tree
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import prefix_gallery
from macrec.viz.views.prefix_gallery import common_words, examples_of, pool

tables = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 4)).map(
    lambda codes: SemanticIds.from_codes(codes[:, :4])
)


class Entries(HTMLParser):
    """The prefixes of a page with the number of their items, read from its nesting."""

    def __init__(self):
        super().__init__()
        self.path, self.found, self.in_code, self.open = [], {}, False, []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.in_code = tag == "b"

    def handle_data(self, data):
        if self.in_code:
            self.path.append(data)
            self.in_code = False
        elif self.open and self.open[-1] == "summary" and " item" in data:
            number = int(re.search(r"([\d,]+) items?", data)[1].replace(",", ""))
            self.found[tuple(int(code.split("_")[1]) for code in self.path)] = number

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "details":
            self.path.pop()


def entries(page):
    reader = Entries()
    reader.feed(page)
    assert not reader.open
    return reader.found


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def ids(data):
    codes = np.stack([data.items[name].rank("dense").to_numpy() - 1 for name in ("purpose", "palette")], 1)
    return SemanticIds.from_codes(codes, item_ids=data.items["item_id"])


@settings(max_examples=40)
@given(tables)
def test_with_room_for_all_every_prefix_stands_below_its_parent_with_its_items(ids):
    page = prefix_gallery(ids, limit=10_000)
    prefixes = Counter(tuple(row[:length]) for row in ids.codes.tolist() for length in range(1, ids.num_levels + 1))
    assert entries(page) == prefixes
    assert f"all {len(prefixes):,} prefixes" in page and "more code" not in page


@settings(max_examples=40)
@given(tables, st.integers(2, 30))
def test_within_a_limit_what_is_left_out_is_counted_in_words(ids, limit):
    page = prefix_gallery(ids, limit=limit)
    assert page.count("<details>") < limit
    found = entries(page)
    top = sum(items for prefix, items in found.items() if len(prefix) == 1)
    rest = re.findall(r"more codes? with ([\d,]+) items? in all</p></section>", page)
    assert top + sum(map(int, rest)) == (len(ids) if found else 0)  # a limit of 2 may leave room for no first code


@given(tables, st.integers(1, 20), st.data())
def test_the_pool_keeps_its_limit_and_gives_every_prefix_an_example_while_there_is_room(ids, limit, drawn):
    tree = prefix_tree(ids, 60)
    order = np.array(drawn.draw(st.permutations(range(len(ids)))), np.int64)
    wanted = [3] * tree.node_of.shape[1]
    kept = pool(tree, order, wanted, limit)
    assert len(kept) <= limit and len(set(kept.tolist())) == len(kept)
    shown = examples_of(tree, kept, wanted)
    for node, members in shown.items():
        assert len(members) <= 3 and (tree.node_of[members, tree.depths[node] - 1] == node).all()
    if limit >= len(ids):
        assert set(shown) == set(np.flatnonzero((tree.merged == 0) & (tree.depths > 0)).tolist())


def test_no_script_and_no_request_and_a_sentence_for_ears(ids, data):
    page = prefix_gallery(ids, data)
    assert "<script" not in page and "http" not in page and " on" not in re.sub(r">[^<]*<", "><", page)
    label = re.search(r'role="group" aria-label="([^"]+)"', page)[1]
    assert "160 items" in label and label.endswith(".")


@pytest.mark.slow
def test_pictures_come_once_and_below_their_bound(ids, data):
    page = prefix_gallery(ids, data)
    assert page.count("data:image/webp") == 1 and page.count("<i style=") > 40
    few = prefix_gallery(ids, data, pictures=12)
    assert len(set(re.findall(r"background-position:([^;]+)", few))) <= 12
    assert entries(few) == entries(page)


def test_titles_and_ids_stand_in_where_there_are_no_pictures(ids, data):
    assert "item " + data.items["item_id"][0] in prefix_gallery(ids, examples=200)
    evil = SemanticIds.from_codes(np.zeros((1, 1), int), item_ids=pl.Series(["<b>&"]))
    assert "item &lt;b&gt;&amp;" in prefix_gallery(evil)


def test_what_the_items_of_a_prefix_have_in_common_is_what_the_code_was_made_from(ids, data):
    tree = prefix_tree(ids)
    words = common_words(tree, data, np.arange(data.num_items))
    for node in np.flatnonzero((tree.depths == 1) & (tree.merged == 0)).tolist():
        assert f"purpose: {data.items['purpose'][int(tree.examples[node])]} (100%)" in words[node]


def test_items_of_another_dataset_are_refused(data):
    with pytest.raises(DataError, match="is not among the 160 items"):
        prefix_gallery(SemanticIds.from_codes(np.zeros((2, 1), int)), data)


@pytest.mark.browser
def test_prefixes_open_by_keyboard_alone_offline(ids, data, chromium, tmp_path):
    (tmp_path / "page.html").write_text(f"<!doctype html><meta charset=utf-8>{prefix_gallery(ids, data)}")
    context = chromium.new_context(offline=True, java_script_enabled=False)
    page = context.new_page()
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "page.html").as_uri())
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("details[open] > details[open]").count() == 1
    assert page.locator("details[open] > ul i").first.bounding_box()["width"] == 64
    assert all(url.startswith(("file:", "data:")) for url in requests)
