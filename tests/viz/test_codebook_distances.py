"""The distance matrices hold the distances, in an order that clusters, and say which books can be compared."""

import numpy as np
import plotly.graph_objects as go
import pytest
from scipy.spatial.distance import cdist

from macrec.errors import DataError
from macrec.quantization.codewords import REDUNDANT, clustered, cosines, shared_space
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import codebook_distances


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_matrix_holds_the_distances_of_the_ordered_codewords(rng):
    words = rng.standard_normal((20, 5))
    order, percent, pairs = clustered(words)
    assert sorted(order.tolist()) == list(range(20))
    distances = cdist(words[order], words[order])
    median = np.median(distances[np.triu_indices(20, 1)])
    np.testing.assert_array_equal(percent, np.minimum(np.round(100 * distances / median), 255))
    near = {(a, b) for a in range(20) for b in range(a + 1, 20) if distances[a, b] < REDUNDANT * median}
    assert set(map(tuple, pairs.tolist())) == near


def test_codewords_of_a_cluster_stand_together(rng):
    centers, member = 20 * np.eye(4), rng.permutation(np.repeat(np.arange(4), 6))
    order, _, _ = clustered(centers[member] + rng.standard_normal((24, 4)))
    assert (np.diff(member[order]) != 0).sum() == 3


@pytest.mark.parametrize("words", [np.zeros((1, 3)), np.zeros((5, 3)), np.eye(6)[[0, 0, 0, 0, 0, 1]]])
def test_books_of_one_word_or_of_copies_are_drawn(words):
    order, percent, pairs = clustered(words)
    assert len(order) == len(words) == len(percent)
    same = [
        (a, b)
        for a in range(len(words))
        for b in range(a + 1, len(words))
        if (words[order[a]] == words[order[b]]).all()
    ]
    assert pairs.tolist() == [list(pair) for pair in same]
    codebook_distances({"text": [words]})


def test_redundant_codewords_are_counted_and_marked(rng):
    words = rng.standard_normal((12, 8))
    words[3] = words[7] + 1e-3
    figure, sentence = codebook_distances({"text": [rng.standard_normal((12, 8)), words]})
    assert "text 0, 2;" in sentence
    marks = [trace for trace in figure.data if isinstance(trace, go.Scatter)]
    assert len(marks[0].x or ()) == 0 and set(marks[1].x) == {"level 1 code_3", "level 1 code_7"}
    assert "0% (text)" in figure.layout.updatemenus[0].buttons[1].args[1]["title.text"]


def test_the_menu_shows_the_panels_of_one_level(rng):
    books = {name: [rng.standard_normal((6, 4)) for _ in range(3)] for name in ("text", "image")}
    figure, _ = codebook_distances(books)
    for level, button in enumerate(figure.layout.updatemenus[0].buttons):
        shown = [trace for trace, visible in zip(figure.data, button.args[0]["visible"], strict=True) if visible]
        assert len(shown) == 5 and all(
            f"level {level}" in trace.y[0] for trace in shown if isinstance(trace, go.Heatmap)
        )
    assert [bool(trace.visible) for trace in figure.data] == figure.layout.updatemenus[0].buttons[0].args[0]["visible"]


def test_a_shared_space_is_told_from_separate_ones(rng):
    codes = rng.integers(0, 16, (500, 2))
    ids = {name: SemanticIds.from_codes(codes, sizes=(16, 16)) for name in ("text", "image")}
    book = [rng.standard_normal((16, 32)) for _ in range(2)]
    own, chance = shared_space({"text": book, "image": book}, ids, [0, 1])
    assert own == pytest.approx(1) and abs(chance) < 0.3
    _, sentence = codebook_distances({"text": book, "image": book}, ids)
    assert "a mean cosine of 1.00 (" in sentence
    other = [rng.standard_normal((16, 32)) for _ in range(2)]
    own, chance = shared_space({"text": book, "image": other}, ids, [0, 1])
    assert abs(own - chance) < 0.1


def test_two_items_are_all_pairs_of_two_items(rng):
    codes = {name: rng.integers(0, 4, (7, 2)) for name in ("text", "image")}
    books = {name: [rng.standard_normal((4, 3)) for _ in range(2)] for name in codes}
    ids = {name: SemanticIds.from_codes(table, sizes=(4, 4)) for name, table in codes.items()}
    a, b = (sum(books[name][level][codes[name][:, level]] for level in range(2)) for name in codes)
    every = np.array([[x @ y / np.linalg.norm(x) / np.linalg.norm(y) for y in b] for x in a])
    own, chance = shared_space(books, ids, [0, 1])
    assert own == pytest.approx(every.diagonal().mean())
    assert chance == pytest.approx(every[~np.eye(7, dtype=bool)].mean())
    one = {name: SemanticIds.from_codes(table[:1], sizes=(4, 4)) for name, table in codes.items()}
    assert np.isnan(shared_space(books, one, [0])).all()
    assert "are meaningful only if" in codebook_distances(books, one)[1]


def test_the_only_codeword_of_a_level_has_none_beside_it(rng):
    figure, sentence = codebook_distances({"text": [np.ones((1, 3)), rng.standard_normal((2, 3))]})
    assert "the distance of the nearest two: text –, 100%." in sentence and figure.layout.title.text.startswith(
        "Level 0: nearest codewords at –"
    )


def test_cosines_agree_with_a_plain_sum(rng):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((2, 4))
    a[1] = 0
    want = [[x @ y / (np.linalg.norm(x) * np.linalg.norm(y)) if x.any() else 0 for y in b] for x in a]
    np.testing.assert_allclose(cosines(a, b), want)


def test_books_of_different_width_are_not_compared(rng):
    figure, sentence = codebook_distances(
        {"text": [rng.standard_normal((4, 3))], "image": [rng.standard_normal((4, 5))]}
    )
    assert "differ in width" in sentence and len(figure.data) == 4


def test_the_most_used_codewords_are_kept(rng):
    codes = np.repeat([2, 5, 9], [1, 3, 2])[:, None]
    ids = {"text": SemanticIds.from_codes(codes, sizes=(10,))}
    figure, sentence = codebook_distances({"text": [rng.standard_normal((10, 3))]}, ids, most=2)
    assert sorted(figure.data[0].x) == ["a_5 (3 items)", "a_9 (2 items)"]
    assert sentence.startswith("Codewords (of the most used 2 per level) that")


def test_what_does_not_fit_is_refused(rng):
    book = [rng.standard_normal((4, 3))]
    ids = SemanticIds.from_codes(np.zeros((2, 1), int), sizes=(5,))
    for arguments, what in [
        (({},), "have the shapes"),
        (({"text": [np.zeros(3)]},), "have the shapes"),
        (({"text": book, "image": book * 2},), "have the shapes"),
        (({"text": book}, {"text": ids}), r"text IDs have \(5,\) codes per level, the codebooks \(4,\)"),
        (({"text": book}, {"image": ids}), 'here are no IDs for the modality "text"'),
    ]:
        with pytest.raises(DataError, match=what):
            codebook_distances(*arguments)
