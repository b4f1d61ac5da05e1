"""The views of semantic IDs show exactly the IDs they were given."""

import dataclasses
import re

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.data.images import NoImages
from macrec.errors import DataError
from macrec.quantization.codewords import codeword_distances, residual_norms
from macrec.quantization.conflicts import resolve_conflicts
from macrec.quantization.prefix_tree import majority_accuracy, prefix_tree
from macrec.quantization.semantic_ids import SemanticIds, common_rows
from macrec.viz import (
    code_agreement,
    code_tree_figure,
    conflict_explorer,
    item_rows,
    items_in,
    nearest_codewords,
    residual_figure,
    usage_heatmap,
)
from macrec.viz.coded_items import spelled
from macrec.viz.figures.code_tree import faded


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def quantized(data):
    """Latents that know purpose, palette and a little noise, with codebooks and codes of two levels of 6 codewords."""
    rng = np.random.default_rng(0)
    factors = [np.eye(8)[data.items[name].rank("dense").to_numpy() - 1] for name in ("purpose", "palette")]
    latents = np.concatenate([3 * factors[0], factors[1]], 1) + 0.1 * rng.standard_normal((data.num_items, 16))
    books, codes, rest = [], [], latents
    for level in range(2):
        books.append(rest[rng.choice(len(rest), 6 + level, replace=False)])
        codes.append(np.linalg.norm(rest[:, None] - books[-1], axis=2).argmin(1))
        rest = rest - books[-1][codes[-1]]
    ids = SemanticIds.from_codes(np.stack(codes, 1), sizes=(6, 7), item_ids=data.items["item_id"])
    return latents, books, ids


def test_the_tree_figure_names_prefixes_and_pictures_and_says_what_the_first_code_tells(data, quantized):
    ids = quantized[2]
    figure, sentence = code_tree_figure(ids, data)
    trace = figure.data[0]
    tree = prefix_tree(ids, preferred=data.images.present)
    assert len(trace.ids) == len(trace.parents) == len(tree) and trace.parents[0] == ""
    assert list(trace.values) == tree.counts.tolist() and trace.branchvalues == "total"
    right, blind = majority_accuracy(ids.codes[:, 0], data.items["purpose"])
    assert f"commonest purpose of its first code is right for {right:.0%}" in sentence and f"{blind:.0%}" in sentence
    assert set(items_in(figure)) == set(tree.examples) and right > 2 * blind
    for button in figure.layout.updatemenus[0].buttons:
        assert len(button.args[0]["marker.colors"][0]) == len(tree) and len(button.args[1]["annotations"]) == 1
    assert figure.layout.updatemenus[0].buttons[-1].label == "conflicts"
    row, note = trace.customdata[1]
    assert note.startswith(f"a_{ids.codes[row, 0]}<br>{tree.counts[1]} items, ")
    assert "<br>purpose: " in note and "<br>title words: " in note


def test_the_tree_of_ids_without_a_dataset_speaks_of_codes_only():
    ids = SemanticIds.from_codes(np.array([[3, 0, 1, 0, 7], [3, 0, 1, 0, 7], [2, 0, 1, 0, 6]]))
    figure, sentence = code_tree_figure(ids)
    trace = figure.data[0]
    assert trace.labels[:3] == ("all items", "a_3", "b_0") and trace.customdata[1][1] == (
        "a_3<br>2 items, 100% share their ID, 1 code follows"
    )
    assert "first 4 of 5 levels" in sentence and "66.7% of all items share" in sentence
    assert not figure.layout.updatemenus and not len(items_in(figure))
    assert trace.marker.colors[1] == "#cc79a7" and trace.marker.colors[-1] == faded("#CC79A7", 0)


def test_titles_in_a_tree_are_text_and_never_markup(data, quantized):
    evil = dataclasses.replace(data, items=data.items.with_columns(category=pl.lit("<b>bold")))
    figure, _ = code_tree_figure(quantized[2], evil)
    key = next(b.args[1]["annotations"][0] for b in figure.layout.updatemenus[0].buttons if b.label == "category")
    assert "&lt;b&gt;bold" in key["text"] and "<b>" not in key["text"]


def test_the_usage_map_shows_the_count_of_every_code_and_hatches_the_dead():
    text = SemanticIds.from_codes(np.array([[0, 1], [0, 2], [2, 2]]), sizes=(4, 3))
    image = SemanticIds.from_codes(np.array([[5], [5], [5]]), sizes=(6,))
    figure, sentence = usage_heatmap({"text": text, "image": image})
    used, dead = figure.data
    counts = [[round(10**z) for z in row if z is not None] for row in used.z]
    assert counts == [[2, 1], [2, 1], [3]]
    assert [row[0][1].split("<br>")[0] for row in used.customdata] == ["text a_0", "text b_2", "image a_5"]
    assert list(dead.x) == [2, 1, 5] and list(dead.base) == [2.5, 2.5, 1.5]
    assert "text 58.3%, image 16.7%" in sentence and "8 of 13 codes are dead" in figure.layout.title.text


def test_the_usage_map_shows_an_item_of_every_code(data, quantized):
    ids = quantized[2]
    figure, _ = usage_heatmap({"text": ids}, data)
    shown = items_in(figure)
    for level in range(2):
        assert set(ids.codes[shown, level]) == set(ids.codes[:, level])
    for points, level in zip(figure.data[0].customdata, range(2), strict=True):
        for row, note in points:
            assert row < 0 or note.startswith(f"text {'ab'[level]}_{ids.codes[row, level]}<br>")
    scatter = go.Figure(go.Scatter(x=[0, 1, 2], y=[0, 1, 2], customdata=np.array([7, 2, 7])))
    assert items_in(scatter).tolist() == [2, 7] and not len(items_in(go.Figure()))


def test_a_codebook_larger_than_the_map_is_drawn_at_every_nth_rank():
    ids = SemanticIds.from_codes(np.arange(2_000)[:, None])
    figure, sentence = usage_heatmap({"text": ids})
    assert len(figure.data[0].x) == 500 and figure.data[0].x[0] == 2.5 and figure.data[0].x[-1] < 2_000
    assert "rank 5 of 2,000" in figure.data[0].customdata[0][1][1] and "No code is dead" in sentence


def test_residual_norms_of_a_toy():
    latents = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, 2.0]])
    books = [np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 3.0]])]
    codes = np.array([[0, 0], [0, 0], [1, 0]])
    norms = residual_norms(latents, books, codes)
    np.testing.assert_allclose(norms, [[1, 0.8, 0.2], [1, 0.5, 1.0]])  # the latent of zeros has no share
    figure, sentence = residual_figure({"text": norms})
    assert list(figure.data[0].median) == pytest.approx([0.65, 0.6]) and "text 65%, 60%" in sentence
    for bad, what in ((codes[:2], "do not fit"), (codes + [0, 1], "Level 1 has a code 1 beyond its 1")):
        with pytest.raises(DataError, match=what):
            residual_norms(latents, books, bad)


def test_agreement_matches_items_by_id_and_knows_chance():
    rng = np.random.default_rng(1)
    codes, other = rng.integers(0, 8, (2, 400, 2))
    names = pl.Series([f"item {i}" for i in range(400)])
    order = rng.permutation(400)[:300]
    text = SemanticIds.from_codes(codes, item_ids=names)
    same = SemanticIds.from_codes(codes[order], item_ids=names.gather(order))
    here, there = common_rows(text, same)
    assert (text.item_ids.gather(here) == same.item_ids.gather(there)).all() and len(here) == 300
    figure, sentence = code_agreement({"text": text, "image": same})
    assert (
        figure.data[0].text.sum() == 300 and "text and image codes share 1.00, by chance 0." in figure.layout.title.text
    )
    assert figure.data[1].customdata[0, 0, 0] == pytest.approx(1) and "level 0 is 1.00" in sentence
    figure, _ = code_agreement({"text": text, "image": SemanticIds.from_codes(other, item_ids=names)}, level=1)
    assert figure.layout.title.text.startswith("Level 1: ") and np.abs(figure.data[1].z).max() < 0.05
    figure, sentence = code_agreement({"text": text, "image": SemanticIds.from_codes(codes)})
    assert not figure.data and "No item has both" in sentence
    with pytest.raises(ValueError, match="from 0 to 1, got 2"):
        code_agreement({"text": text, "image": same}, level=2)


def test_the_conflict_explorer_says_what_became_of_every_item(data, quantized):
    latents, books, ids = quantized
    few = ids.item_ids[:30]
    before = SemanticIds.from_codes(ids.codes[:30], sizes=ids.sizes, item_ids=few)
    codes, report = resolve_conflicts(before.codes, latents[:30], books)
    after = SemanticIds.from_codes(codes, sizes=ids.sizes, item_ids=few)
    shuffled = np.random.default_rng(0).permutation(30)
    elsewhere = SemanticIds.from_codes(codes[shuffled], sizes=ids.sizes, item_ids=few.gather(shuffled))
    page = conflict_explorer(before, after, data, latents=latents[:30], codebooks=books, groups=99, most=99)
    assert page == conflict_explorer(
        before, elsewhere, data, latents=latents[:30], codebooks=books, groups=99, most=99
    )  # items are matched by id
    assert f"in {report.groups} groups" in page and f"Resolving moved {report.moved} items; 0 still share" in page
    assert page.count("→ ") == report.moved > 0 and page.count("<section") == report.groups
    added = sum(float(number) for number in re.findall(r"distortion ([+-][\d.e-]+)\)", page))
    assert added / 30 == pytest.approx(report.added_distortion, rel=0.02)
    assert conflict_explorer(before, data=data, groups=2).count("<section") == 2
    assert "No conflict: each of the 30 items" in conflict_explorer(after)


def test_the_conflict_explorer_tells_duplicates_and_extra_levels():
    ids = SemanticIds.from_codes(np.array([[0], [0], [1], [1]]), item_ids=pl.Series(["<i>w", "x", "y", "z"]))
    latents, books = np.array([[1.0], [1.0], [2.0], [3.0]]), [np.array([[1.0], [2.0]])]
    codes, _ = resolve_conflicts(ids.codes, latents, books, saturated="extra_level")
    longer = SemanticIds.from_codes(codes, item_ids=ids.item_ids)
    page = conflict_explorer(ids, longer, latents=latents, codebooks=books)
    assert page.count("exact duplicates") == 1 and page.count("2 different vectors") == 1
    assert "moved 0 items and added a level; 0 still share" in page and page.count("kept its ID; extra code b_1") == 2
    assert "&lt;i&gt;w" in page and "<i>" not in page
    shorter = SemanticIds.from_codes(np.array([[0]]), item_ids=pl.Series(["x"]))
    assert conflict_explorer(ids, shorter).count("not among the resolved") == 3


def test_nearest_codewords_are_nearest_to_what_the_levels_before_left(data, quantized):
    latents, books, ids = quantized
    distances = codeword_distances(latents[3], books, ids.codes[3])
    rest = latents[3] - books[0][ids.codes[3, 0]]
    np.testing.assert_allclose(distances[0], np.linalg.norm(books[0] - latents[3], axis=1))
    np.testing.assert_allclose(distances[1], np.linalg.norm(books[1] - rest, axis=1))
    page = nearest_codewords(3, ids, latents, books, data, k=2)
    words = re.findall(r"<b>([ab]_\d+)( ✓ chosen)?</b><div[^>]*>distance ([\d.]+)", page)
    expected = [(f"{'ab'[level]}_{code}", found[code]) for level, found in enumerate(distances)
                for code in np.argsort(found)[:2]]  # fmt: skip
    assert [word for word, _, _ in words] == [word for word, _ in expected]
    assert [float(number) for _, _, number in words] == pytest.approx([number for _, number in expected], rel=0.01)
    assert [bool(mark) for _, mark, _ in words] == [True, False, True, False]
    with pytest.raises(DataError, match=f"no row -1 among the IDs; choose a row from 0 to {len(ids) - 1}"):
        nearest_codewords(-1, ids, latents, books)


def test_a_chosen_codeword_that_is_not_near_is_shown_with_its_rank_and_with_items_that_have_it():
    books = [np.array([[0.0], [10.0]]), np.array([[0.0], [1.0], [2.0], [5.0]])]
    latents = np.array([[0.0], [5.0], [15.1], [5.2], [9.0]])
    names = pl.Series(["me", "near", "other prefix", "nearer the codeword no", "alone"])
    ids = SemanticIds.from_codes(np.array([[0, 3], [0, 3], [1, 3], [0, 3], [1, 0]]), sizes=(2, 4), item_ids=names)
    page = nearest_codewords(0, ids, latents, books, k=1)
    assert "b_3 ✓ chosen, rank 4" in page and "a_0 ✓ chosen" in page
    shown = re.findall(r"item ([a-z ]+)<", page.split("level 1")[1])
    assert shown == ["alone", "near", "nearer the codeword no", "other prefix"]


def test_items_are_found_by_id_or_by_number_and_else_refused(data):
    order = np.random.default_rng(0).permutation(data.num_items)[:50]
    some = SemanticIds.from_codes(np.zeros((50, 1), int), item_ids=data.items["item_id"].gather(order))
    assert item_rows(some, data).tolist() == order.tolist()
    numbered = SemanticIds.from_codes(np.zeros((data.num_items, 1), int))
    assert item_rows(numbered, data).tolist() == list(range(data.num_items))
    with pytest.raises(DataError, match='The item "0" has a semantic ID and is not among'):
        item_rows(SemanticIds.from_codes(np.zeros((3, 1), int)), data)


def test_levels_have_short_names_unless_that_mixes_them_up():
    codes = np.array([[1, 2]])
    assert spelled(SemanticIds.from_codes(codes, ("text_a", "text_b")), 0) == "a_1 b_2"
    assert spelled(SemanticIds.from_codes(codes, ("a", "a")), 0) == "a_1 a_2"
    assert spelled(SemanticIds.from_codes(codes, ("text_a", "image_a")), 0, 1) == "text_a_1"


def test_a_dataset_without_pictures_shows_titles(data, quantized):
    bare = dataclasses.replace(data, images=NoImages(data.num_items))
    latents, books, ids = quantized
    page = conflict_explorer(ids, data=bare) + nearest_codewords(0, ids, latents, books, bare)
    assert "<img" not in page and "no picture" not in page and data.items["title"][0].split()[0] in page


def test_one_modality_has_nothing_to_agree_with():
    figure, sentence = code_agreement({"text": SemanticIds.from_codes(np.zeros((3, 2), np.int32))})
    assert not figure.data and sentence == "There are only text IDs."
