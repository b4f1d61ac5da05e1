"""The tree of prefixes has every prefix with its items, and tells what they have in common."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from macrec.quantization.prefix_tree import majority_accuracy, most_common_values, prefix_tree, title_words
from macrec.quantization.semantic_ids import SemanticIds

tables = hnp.arrays(np.int32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 4)).map(
    lambda codes: SemanticIds.from_codes(codes[:, :5])
)


@given(tables)
def test_a_tree_with_room_for_all_has_every_prefix_with_its_items(ids):
    tree = prefix_tree(ids, limit=10_000, depth=8)
    prefixes = Counter(tuple(row[:length]) for row in ids.codes.tolist() for length in range(1, ids.num_levels + 1))
    whole = Counter(map(tuple, ids.codes.tolist()))
    found = {}
    for node in range(1, len(tree)):
        prefix = tuple(ids.codes[tree.examples[node], : tree.depths[node]].tolist())
        found[prefix] = int(tree.counts[node])
        members = [key for key in ids.codes.tolist() if tuple(key[: len(prefix)]) == prefix]
        assert tree.conflicts[node] == pytest.approx(np.mean([whole[tuple(key)] > 1 for key in members]))
        parent = tree.parents[node]
        assert parent < node and tree.depths[parent] == len(prefix) - 1
        assert tuple(ids.codes[tree.examples[node], : tree.depths[parent]].tolist()) == prefix[:-1]
        longer = {key for key in prefixes if len(key) == len(prefix) + 1 and key[:-1] == prefix}
        assert tree.below[node] == len(longer)
    assert found == prefixes and not tree.merged.any()
    assert (tree.counts[0], tree.parents[0], tree.depths[0]) == (len(ids), -1, 0)


@given(tables, st.integers(2, 40))
def test_a_cut_tree_keeps_the_limit_the_sums_and_the_largest(ids, limit):
    tree, whole = prefix_tree(ids, limit, depth=8), prefix_tree(ids, 10_000, depth=8)
    assert len(tree) <= limit
    assert len(tree) >= min(len(whole), limit - 1)
    for parent in np.unique(tree.parents[1:]):
        assert tree.counts[tree.parents == parent].sum() == tree.counts[parent]
    for depth, column in enumerate(tree.node_of.T, start=1):
        np.testing.assert_array_equal(
            np.bincount(column[column >= 0], minlength=len(tree)), np.where(tree.depths == depth, tree.counts, 0)
        )
    prefixes = tree.merged == 0
    kept = np.sort(tree.counts[prefixes])[::-1]
    assert kept.tolist() == np.sort(whole.counts)[::-1][: len(kept)].tolist()
    # A merged node stands for exactly the siblings that are not shown.
    for node in np.flatnonzero(~prefixes):
        parent = tree.parents[node]
        assert tree.merged[node] == tree.below[parent] - ((tree.parents == parent) & prefixes).sum() >= 1


@given(tables, st.data())
def test_examples_belong_to_their_node_and_are_preferred_ones_where_there_are_any(ids, drawn):
    preferred = np.array(drawn.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))))
    tree = prefix_tree(ids, limit=12, preferred=preferred)
    for node in range(1, len(tree)):
        members = np.flatnonzero(tree.node_of[:, tree.depths[node] - 1] == node)
        assert tree.examples[node] in members
        assert preferred[tree.examples[node]] == preferred[members].any()


def test_a_tree_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="at least 2 nodes, got 0 and 5"):
        prefix_tree(SemanticIds.from_codes(np.zeros((0, 2), int)), 5)
    with pytest.raises(ValueError, match="got 1 and 1"):
        prefix_tree(SemanticIds.from_codes(np.zeros((1, 2), int)), 1)


def test_commonest_values_and_words_of_a_toy_tree():
    ids = SemanticIds.from_codes(np.array([[0, 0], [0, 1], [0, 1], [1, 0]]))
    tree = prefix_tree(ids)
    name = {node: tuple(ids.codes[tree.examples[node], : tree.depths[node]].tolist()) for node in range(len(tree))}
    table = most_common_values(tree, pl.Series(["red", "blue", "blue", ""]))
    assert {name[node]: (value, share) for node, value, share in table.iter_rows()} == {
        (): ("blue", 0.5),
        (0,): ("blue", pytest.approx(2 / 3)),
        (0, 0): ("red", 1),
        (0, 1): ("blue", 1),
    }
    assert majority_accuracy(np.array([0, 0, 0, 1]), pl.Series(["a", "a", "b", "b"])) == (0.75, 0.5)
    assert majority_accuracy(np.array([0, 1]), pl.Series(["", ""])) == (0, 0)


def words_of(first_codes, titles, **options):
    """The words of each first code."""
    tree = prefix_tree(SemanticIds.from_codes(np.array(first_codes)[:, None]))
    found = title_words(tree, pl.Series(titles), **options).iter_rows()
    return {first_codes[tree.examples[node]] if node else None: words for node, words in found}


def test_the_words_of_a_prefix_are_those_of_its_items_and_not_of_the_others():
    titles = ["red cup", "red mug", "red cup", *["blue cup", "blue mug"] * 6]
    assert words_of([0] * 3 + [1] * 12, titles) == {0: "red"}  # "blue" is only 1.25 times as common, "cup" as elsewhere
    # 2 ln(8) of 16: "lamp" before "oak", which one more has elsewhere; what one of two items has may be chance.
    titles = ["oak lamp one", "oak lamp", "oak chair", *["pine chair"] * 13]
    assert words_of([0, 0, *[1] * 14], titles, top=1)[0] == "lamp"
    assert words_of([0, 0, *[1] * 14], titles)[0] == "lamp, oak, one"
    assert words_of([0, 0, 0, 0, 1, 1], ["ash"] * 2 + ["fir"] * 4) == {}


def test_the_small_words_of_titles_that_capitalize_the_others_do_not_count():
    titles = ["Lamp for the Office", "Desk for the Office", *["Pine Chair", "Oak Chair"] * 6]
    assert words_of([0, 0, *[1] * 12], titles)[0] == "office, desk, lamp"
    assert "the" in words_of([0, 0, *[1] * 12], [title.lower() for title in titles], top=9)[0]
    assert words_of([0, 1, 1], ["", "", ""]) == {} == words_of([0], ["Alone"])


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 3), st.sets(st.sampled_from("ABCD"))), min_size=1, max_size=40))
def test_the_words_of_prefixes_are_those_of_a_plain_count(items):
    codes, words = [code for code, _ in items], [found for _, found in items]
    expected = {}
    for code in set(codes):
        here = [found for at, found in items if at == code]
        n, total, scores = len(here), len(items), {}
        for word in sorted(set().union(*here)):
            having, share = sum(word in found for found in here), sum(word in found for found in words) / total
            deviation = np.sqrt(n * share * (1 - share) * (total - n) / max(1, total - 1))
            if having >= 1.5 * n * share - 1e-9 and having > n * share + 2 * deviation + 1e-9:
                scores[word * 3] = having * np.log(having / (n * share))
        if scores:
            expected[code] = set(scores)
    found = words_of(codes, [" ".join(word * 3 for word in sorted(each)) for each in words], top=9)
    assert {code: {word.upper() for word in listed.split(", ")} for code, listed in found.items()} == expected
