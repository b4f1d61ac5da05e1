"""Stand-ins for codewords nobody has: means of the other items with a code, found by brute force."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization import code_centroids
from macrec.quantization.code_centroids import code_means, first_code_fit
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz import nearest_code_centroids


@given(st.integers(0, 1000), st.integers(2, 25), st.integers(1, 5))
def test_first_codes_are_measured_without_the_item_itself(seed, items, codes_of):
    rng = np.random.default_rng(seed)
    vectors, codes = rng.standard_normal((items, 3)), rng.integers(0, codes_of, items)
    sample, own, other = first_code_fit(vectors, codes)
    assert sample.tolist() == list(range(items))
    for i in range(items):
        rest = np.arange(items) != i
        mine = vectors[rest & (codes == codes[i])]
        want = np.linalg.norm(mine.mean(0) - vectors[i]) if len(mine) else np.inf
        assert own[i] == pytest.approx(want, abs=1e-6)
        means = [vectors[codes == code].mean(0) for code in set(codes.tolist()) - {int(codes[i])}]
        want = min((np.linalg.norm(mean - vectors[i]) for mean in means), default=np.inf)
        assert other[i] == pytest.approx(want, abs=1e-6)


def test_many_codes_are_measured_with_fewer_items(monkeypatch):
    monkeypatch.setattr(code_centroids, "PAIRS", 300)
    vectors = np.random.default_rng(0).standard_normal((90, 2))
    sample, own, _ = first_code_fit(vectors, np.arange(90))
    assert len(sample) == 300 // 90 and np.isinf(own).all()
    assert len(first_code_fit(vectors, np.arange(90) % 3)[0]) == 90


def test_means_are_those_of_each_code():
    found, means, counts = code_means(np.array([[1.0], [2.0], [6.0]]), np.array([7, 3, 7]))
    assert (found.tolist(), means.tolist(), counts.tolist()) == ([3, 7], [[2.0], [3.5]], [1, 2])


def test_a_card_ranks_the_codes_that_follow_the_items_own_prefix():
    codes = np.array([[0, 0], [0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])
    vectors = np.array([[0.0], [1.0], [0.5], [9.0], [4.0], [6.0], [0.1]])
    present = np.array([True] * 6 + [False])
    card = nearest_code_centroids(0, SemanticIds.from_codes(codes), vectors, present)
    level = card.split("<b>level ")[1:]
    ranked = [re.findall(r"<b>(\w+?)(?: ✓ chosen)?</b><div[^>]*>distance ([\d.]+)", part) for part in level]
    assert ranked[0] == [("a_0", "3.5"), ("a_1", "5")]  # (1 + 0.5 + 9) / 3; a_2 has nobody with a vector
    assert ranked[1] == [("b_1", "0.5"), ("b_0", "1"), ("b_2", "9")]  # only within a_0
    assert card.count("✓ chosen") == 2
    assert "item 0</div>" not in card.split("<b>level 0")[1]  # never its own example


def test_an_item_alone_with_its_code_has_no_distance():
    codes = np.array([[0], [1], [1]])
    card = nearest_code_centroids(0, SemanticIds.from_codes(codes), np.eye(3), np.ones(3, bool))
    assert re.search(r"a_0 ✓ chosen</b><div[^>]*>no distance</div></div><div[^>]*>no other item has it", card)


def test_an_item_without_a_vector_or_out_of_the_table_is_refused():
    ids = SemanticIds.from_codes(np.zeros((2, 1), int))
    with pytest.raises(DataError, match="he item 1 has no vector"):
        nearest_code_centroids(1, ids, np.eye(2), np.array([True, False]))
    with pytest.raises(DataError, match="there is no row 2 among the IDs"):
        nearest_code_centroids(2, ids, np.eye(2), np.ones(2, bool))
