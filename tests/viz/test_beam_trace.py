"""The view of a beam search shows the search that was made: its beams, their ends, and the way of the target."""

import dataclasses
import html
import re

import numpy as np
import polars as pl
import pytest
import torch

from macrec.data.curio import curio
from macrec.errors import DataError
from macrec.generation.beam import Trace, beam_search
from macrec.generation.trie import CodeTrie
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import Gallery
from macrec.viz.views.beam_trace import MOST, beam_trace, levels_of, percent, target_path

USERS = 3


class FixedLogits:
    """A model whose logits depend on user and level alone."""

    def __init__(self, sizes):
        generator = torch.Generator().manual_seed(0)
        self.tables = [torch.randn((USERS, 1, size), generator=generator) for size in sizes]

    def first(self):
        return self.tables[0]

    def next(self, level, parents, codes):
        return self.tables[level].expand(-1, parents.shape[1], -1)


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def ids(data):
    """Random IDs of three levels of 8 codewords; some items share theirs."""
    codes = np.random.default_rng(0).integers(0, 8, (data.num_items, 3))
    return SemanticIds.from_codes(codes, ("text_a", "text_b", "text_c"), (8, 8, 8), data.items["item_id"])


@pytest.fixture(scope="module")
def gallery(data):
    return Gallery(data, np.arange(data.num_items), {"brand": data.items["brand"].to_list()})


def searched(ids, width, seen=None):
    trie, trace = CodeTrie.of(ids), Trace()
    ranking = beam_search(FixedLogits(ids.sizes), trie, width, seen=seen, trace=trace)
    return trie, trace, ranking


def prefixes(levels, number):
    """The codes of every beam of a level, spelled from its parents."""
    if number < 0:
        return [()]
    before = prefixes(levels, number - 1)
    level = levels[number]
    return [(*before[parent], code) for parent, code in zip(level.parents.tolist(), level.codes.tolist(), strict=True)]


@pytest.mark.parametrize("width", [4, 20])
def test_levels_are_the_beams_of_the_user_with_their_probabilities_children_and_ends(ids, width):
    _, trace, ranking = searched(ids, width)
    table = [tuple(codes) for codes in ids.codes.tolist()]
    for user in range(USERS):
        levels = levels_of(trace, user)
        for number, level in enumerate(levels):
            found = prefixes(levels, number)
            assert set(found) <= {codes[: number + 1] for codes in table} and len(set(found)) == len(found)
            assert (np.diff(level.p) <= 1e-12).all()
            before = levels[number - 1].p if number else np.ones(1)
            np.testing.assert_allclose(level.step * before[level.parents], level.p, rtol=1e-5)
            follow = [len({codes[number + 1] for codes in table if codes[: number + 1] == one}) for one in found] if (
                number < 2) else [0] * len(found)  # fmt: skip
            assert level.children.tolist() == follow
            kept = {one[: number + 1] for one in prefixes(levels, min(number + 1, 2))}
            assert level.alive.tolist() == [one in kept for one in found]
        np.testing.assert_allclose(levels[-1].p[0], np.exp(ranking.scores[user, 0]), rtol=1e-5)


def test_the_way_of_every_item_is_where_its_prefixes_stand(ids):
    trie, trace, ranking = searched(ids, 6)
    levels = levels_of(trace, 1)
    kept = [prefixes(levels, number) for number in range(3)]
    fates = set()
    for item, codes in enumerate(map(tuple, ids.codes.tolist())):
        way = target_path(item, levels, trie, ids)
        expected = []
        for number in range(3):
            if codes[: number + 1] not in kept[number]:
                break
            expected.append(kept[number].index(codes[: number + 1]))
        assert way.places == tuple(expected)
        if len(expected) == 3:
            assert f"came out with rank {expected[-1] + 1} of 6" in way.words
        else:
            spelled = " ".join(f"{name}_{code}" for name, code in zip("abc", codes[: len(expected) + 1], strict=False))
            assert f"prefix {spelled} fell out at level {len(expected)}: all 6 places" in way.words
            after = f"after rank {expected[-1] + 1} at level {len(expected) - 1}" if expected else "or more."
            assert after in way.words
        fates.add(len(expected))
        # An item of the ranking has come out; items that share its ID may have found no place there.
        assert len(expected) == 3 or item not in ranking.items[1]
    assert fates == {0, 1, 2, 3}


def test_a_target_that_was_masked_is_said_to_be_left_out(ids):
    target = 7
    trie, trace, _ = searched(ids, 400, seen=torch.tensor([[target]] * USERS))
    words = target_path(target, levels_of(trace, 0), trie, ids).words
    assert "fell out at level 2" in words and "set to leave it out" in words


def alts(page):
    return [html.unescape(found) for found in re.findall(r'role="img" aria-label="([^"]*)"', page)]


def titles(data, rows):
    return [data.items["title"][int(row)] for row in rows]


def test_the_page_shows_the_beams_the_items_and_the_target(data, ids, gallery):
    trie, trace, ranking = searched(ids, 12)
    levels = levels_of(trace, 2)
    first = [int(trie.items[trie.first[node]]) for node in levels[-1].nodes.tolist()]
    target = first[4]
    page = beam_trace(trace, trie, ids, 2, gallery, target, "text→text, sequence")
    beams = re.findall(r'<li class="beam([^"]*)"', page)
    assert len(beams) == sum(len(level.nodes) for level in levels)
    assert beams.count(" target") == 3  # one per level
    ways = target_path(target, levels, trie, ids).places
    assert beams.count(" dead") == sum(int((~level.alive).sum()) for level in levels)
    assert page.count("<path") == sum(len(level.nodes) for level in levels[1:])
    assert page.count('<path class="target"') == 2 and f'<path class="target" data-to="2-{ways[2]}"' in page
    assert alts(page) == titles(data, [target, *first])
    assert page.count("✓") == 1 and "came out with rank 5 of" in page
    assert int(ranking.items[2, 0]) == first[0]


def test_a_lost_target_is_told_and_nothing_is_marked(data, ids, gallery):
    trie, trace, _ = searched(ids, 4)
    levels = levels_of(trace, 0)
    lost = next(k for k in range(data.num_items) if not target_path(k, levels, trie, ids).places)
    page = beam_trace(trace, trie, ids, 0, gallery, lost)
    assert "fell out at level 0" in page and '<li class="beam target"' not in page and "✓" not in page
    assert alts(page)[0] == data.items["title"][lost]


def test_the_followed_item_is_called_and_colored_as_the_caller_says(data, ids, gallery):
    trie, trace, ranking = searched(ids, 12)
    best = int(ranking.items[0, 0])
    page = beam_trace(trace, trie, ids, 0, gallery, best, target_name="<i>recommendation 1", target_color="#123456")
    title = html.escape(data.items["title"][best])
    assert f"&lt;i&gt;recommendation 1 is “{title}”. Its ID a_" in page and "true next item" not in page
    assert 'style="--target:#123456"' in page and "<i>recommendation" not in page
    assert "The true next item is" in beam_trace(trace, trie, ids, 0, gallery, best)


def test_names_of_codebooks_are_text_and_never_markup(ids, gallery):
    trie, trace, _ = searched(ids, 4)
    evil = dataclasses.replace(ids, codebooks=("<img src=x>", "<b>", "<i>c"))
    assert "<img" not in beam_trace(trace, trie, evil, 0, gallery, 3)


def test_without_a_target_none_is_spoken_of(ids, gallery):
    trie, trace, _ = searched(ids, 4)
    body = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", beam_trace(trace, trie, ids, 0, gallery), flags=re.S)
    assert "target" not in body.replace("--target:", "") and "true next" not in body


def test_the_page_is_small_stands_alone_and_draws_a_far_target(ids, gallery):
    trie, trace, _ = searched(ids, 100)
    levels = levels_of(trace, 0)
    last = int(trie.items[trie.first[int(levels[-1].nodes[-1])]])
    page = beam_trace(trace, trie, ids, 0, gallery, last)
    assert len(page.encode()) < 150_000 and "http" not in page and "src=" not in page
    assert page.count("data:image") == 1
    drawn = re.findall(r'data-at="2-(\d+)"', page)
    assert [int(place) for place in drawn] == [*range(MOST), len(levels[-1].nodes) - 1]
    assert f"{len(levels[-1].nodes) - MOST - 1} more</p>" in page
    assert page == beam_trace(trace, trie, ids, 0, gallery, last)


def test_titles_are_text_and_never_markup(data, ids):
    evil = dataclasses.replace(data, items=data.items.with_columns(title=pl.lit("</style><script>x</script>")))
    trie, trace, _ = searched(ids, 4)
    page = beam_trace(trace, trie, ids, 0, Gallery(evil, np.arange(4), {"brand": ["</script><b>"] * 4}), 3)
    assert "<script>x" not in page and "<b>&" not in page and page.count("</script>") == 1


def test_a_search_of_one_level_has_no_way_to_tell(data):
    ids = SemanticIds.from_codes(np.arange(data.num_items)[:, None])
    trie, trace, _ = searched(ids, 400)
    way = target_path(3, levels_of(trace, 0), trie, ids)
    assert way.words.endswith("%.") and "on the way" not in way.words
    assert "<path" not in beam_trace(trace, trie, ids, 0, Gallery(data, np.arange(2)), 3)


def test_what_does_not_fit_is_refused(data, ids, gallery):
    trie, trace, _ = searched(ids, 4)
    with pytest.raises(DataError, match="holds 3 users and no row 3"):
        beam_trace(trace, trie, ids, 3, gallery)
    with pytest.raises(DataError, match=r"159 IDs for 160 items"):
        few = SemanticIds.from_codes(ids.codes[:-1])
        beam_trace(trace, CodeTrie.of(few), few, 0, gallery)


def test_probabilities_are_written_with_the_digits_that_matter():
    assert [percent(p) for p in (1, 0.5, 0.0123, 0.0099, 0.00994, 0.0001, 0.00001, 0)] == [
        "100.0%", "50.0%", "1.2%", "0.99%", "0.99%", "0.01%", "<0.01%", "0.00%",
    ]  # fmt: skip


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_arrow_keys_walk_the_beams_and_light_the_way(chromium, data, ids, gallery):
    trie, trace, _ = searched(ids, 12)
    levels = levels_of(trace, 0)
    page = chromium.new_page(viewport={"width": 800, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.set_content(beam_trace(trace, trie, ids, 0, gallery, 5))
    assert page.evaluate("document.documentElement.scrollWidth") <= 800
    page.keyboard.press("Tab")
    at = "document.activeElement.dataset.at"
    assert page.evaluate(at) == "0-0"
    page.keyboard.press("ArrowRight")
    child = levels[1].parents.tolist().index(0)
    assert page.evaluate(at) == f"1-{child}"
    assert {"0-0", f"1-{child}"} <= set(page.eval_on_selector_all(".lit", "all => all.map(one => one.dataset.at)"))
    assert "so far" in page.inner_text(".macrec-card")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(at) == "0-1"
    item = page.locator(".item").nth(2)
    item.hover()
    row = int(trie.items[trie.first[int(levels[-1].nodes[2])]])
    assert data.items["title"][row] in page.inner_text(".macrec-card") and not problems
