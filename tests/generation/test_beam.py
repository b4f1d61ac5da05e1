"""The code trie and beam search: only IDs that exist, and the best of them when the beam is wide enough."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.generation.beam import Trace, beam_search
from macrec.generation.trie import CodeTrie
from macrec.quantization.semantic_ids import SemanticIds

# T8 of the specification: five items, and what a model says after each prefix.
TOY = SemanticIds.from_codes(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 2, 2]]), sizes=(3, 3, 3))
SAYS = {
    (): (0.5, 0.4, 0.1),
    (0,): (0.4, 0.35, 0.25),
    (1,): (0.05, 0.05, 0.9),
    (0, 0): (0.5, 0.3, 0.2),
    (0, 1): (0.1, 0.8, 0.1),
    (1, 0): (0.6, 0.2, 0.2),
    (1, 2): (0.1, 0.1, 0.8),
}


class Table:
    """A scorer that looks the probabilities of the next code up by the codes so far, for `users` equal users."""

    def __init__(self, says, sizes, users=1):
        self.says, self.sizes, self.prefixes = says, sizes, [[()] for _ in range(users)]

    def logits(self, level):
        missing = (1.0 / self.sizes[level],) * self.sizes[level]
        return torch.tensor([[self.says.get(prefix, missing) for prefix in user] for user in self.prefixes]).log()

    def first(self):
        return self.logits(0)

    def next(self, level, parents, codes):
        self.prefixes = [
            [user[parent] + (code,) for parent, code in zip(one.tolist(), two.tolist(), strict=True)]
            for user, one, two in zip(self.prefixes, parents, codes, strict=True)
        ]
        return self.logits(level)


def ranked(width, **options):
    ranking = beam_search(Table(SAYS, (3, 3, 3)), CodeTrie.of(TOY), width, **options)
    return ranking.items[0].tolist(), ranking.scores[0].tolist()


def test_trie_of_the_toy_items():
    trie = CodeTrie.of(TOY)
    assert [len(start) - 1 for start in trie.start] + [trie.num_leaves] == [1, 2, 4, 5]
    assert [start.tolist() for start in trie.start] == [[0, 2], [0, 2, 4], [0, 2, 3, 4, 5]]
    assert [code.tolist() for code in trie.code] == [[0, 1], [0, 1, 0, 2], [0, 1, 1, 0, 2]]


def test_beams_of_the_toy_model():
    assert ranked(1, normalize="level")[0] == [0]  # greedy, and wrong
    assert ranked(2, normalize="level")[0] == [4, 0]
    assert ranked(3, normalize="level")[0] == [4, 2, 0]
    items, scores = ranked(5, normalize="level")
    assert items == [4, 2, 0, 1, 3]
    np.testing.assert_allclose(scores, [-1.244795, -1.966113, -2.302585, -2.813411, -4.422849], atol=1e-5)


def test_probabilities_over_existing_children_sum_to_one():
    items, scores = ranked(5)
    assert items == [4, 2, 0, 1, 3]
    np.testing.assert_allclose(scores, [-0.864997, -1.349927, -1.686399, -2.197225, -3.755369], atol=1e-5)
    assert np.exp(scores).sum() == pytest.approx(1, abs=1e-6)


def test_a_beam_wider_than_the_catalog_ends_in_nothing():
    items, scores = ranked(8)
    assert items[5:] == [-1, -1, -1] and scores[5:] == [-np.inf] * 3


def test_seen_items_never_come_back_and_leave_the_others_as_they_were():
    items, scores = ranked(5, seen=torch.tensor([[4, -1, 0]]))
    assert items[:3] == [2, 1, 3] and items[3:] == [-1, -1]
    np.testing.assert_allclose(scores[:3], [-1.349927, -2.197225, -3.755369], atol=1e-5)


def test_items_that_share_an_id_come_together_by_row():
    shared = SemanticIds.from_codes(np.array([[1, 2], [0, 0], [1, 2], [0, 1]]), sizes=(2, 3))
    says = {(): (0.3, 0.7), (1,): (0.1, 0.1, 0.8), (0,): (0.5, 0.4, 0.1)}
    ranking = beam_search(Table(says, (2, 3)), CodeTrie.of(shared), 3, 4)
    assert ranking.items.tolist() == [[0, 2, 1, 3]]
    assert ranking.scores[0, 0] == ranking.scores[0, 1]
    assert beam_search(Table(says, (2, 3)), CodeTrie.of(shared), 3, 1).items.tolist() == [[0]]


def test_the_trace_tells_every_step():
    trace = Trace()
    beam_search(Table(SAYS, (3, 3, 3)), CodeTrie.of(TOY), 2, normalize="level", trace=trace)
    assert [step.codes[0].tolist() for step in trace.steps] == [[0, 1], [2, 0], [2, 0]]
    assert [step.parents[0].tolist() for step in trace.steps] == [[0, 0], [1, 0], [0, 1]]
    assert [step.allowed[0].tolist() for step in trace.steps] == [[2], [2, 2], [1, 2]]


def test_fewer_than_one_beam_is_refused():
    with pytest.raises(ValueError, match="beams"):
        ranked(0)


catalogs = st.integers(1, 4).flatmap(
    lambda levels: st.lists(st.lists(st.integers(0, 3), min_size=levels, max_size=levels), min_size=1, max_size=60)
)


@settings(max_examples=150)
@given(catalogs, st.integers(0, 2**32 - 1), st.sampled_from(["children", "level"]), st.data())
def test_a_wide_beam_equals_scoring_every_item(rows, seed, normalize, data):
    codes = np.array(rows)
    ids = SemanticIds.from_codes(codes, sizes=(4,) * codes.shape[1])
    rng = np.random.default_rng(seed)
    prefixes = {tuple(row[:depth]) for row in codes.tolist() for depth in range(codes.shape[1])}
    says = {prefix: tuple(rng.dirichlet(np.ones(4))) for prefix in sorted(prefixes)}
    trie = CodeTrie.of(ids)
    seen = data.draw(st.lists(st.integers(-1, len(codes) - 1), min_size=1, max_size=3))

    def score(row):
        total = 0.0
        for level in range(len(row)):
            prefix = tuple(row[:level])
            legal = {tuple(other[: level + 1])[-1] for other in codes.tolist() if tuple(other[:level]) == prefix}
            mass = sum(says[prefix][code] for code in legal) if normalize == "children" else 1.0
            total += np.log(says[prefix][row[level]] / mass)
        return total

    hidden = {tuple(codes[item]) for item in seen if item >= 0}
    expected = sorted(-score(row) for row in codes.tolist() if tuple(row) not in hidden)
    table = Table(says, (4,) * codes.shape[1])
    found = beam_search(table, trie, len(codes), normalize=normalize, seen=torch.tensor([seen]))
    items = [item for item in found.items[0].tolist() if item >= 0]
    assert sorted(items) == [item for item in range(len(codes)) if tuple(codes[item]) not in hidden]
    np.testing.assert_allclose(-found.scores[0, : len(items)], expected, atol=1e-4)


@settings(max_examples=150)
@given(catalogs, st.integers(0, 2**32 - 1), st.integers(1, 12), st.data())
def test_seen_prefixes_hold_no_beam(rows, seed, width, data):
    """However narrow: as many IDs as there are beams, or all that the user has not seen; and none that they have."""
    codes = np.array(rows)
    ids, rng = SemanticIds.from_codes(codes, sizes=(4,) * codes.shape[1]), np.random.default_rng(seed)
    prefixes = {tuple(row[:depth]) for row in codes.tolist() for depth in range(codes.shape[1])}
    table = Table({prefix: tuple(rng.dirichlet(np.ones(4))) for prefix in sorted(prefixes)}, ids.sizes)
    seen = data.draw(st.lists(st.integers(-1, len(codes) - 1), max_size=60))  # some of them more than once
    trace = Trace()
    seen_rows = torch.tensor([seen], dtype=torch.int64)
    found = beam_search(table, CodeTrie.of(ids), width, len(codes), seen=seen_rows, trace=trace)
    items = [item for item in found.items[0].tolist() if item >= 0]
    hidden = {tuple(codes[item]) for item in seen if item >= 0}
    open_ids = {tuple(row) for row in codes.tolist()} - hidden
    returned = {tuple(codes[item]) for item in items}
    assert returned <= open_ids and len(returned) == min(width, len(open_ids))
    for depth, step in enumerate(trace.steps, 1):  # and before: as many prefixes as lead to something
        assert (step.nodes >= 0).sum() == min(width, len({row[:depth] for row in open_ids}))


@settings(max_examples=50)
@given(catalogs)
def test_leaf_ranges_are_the_leaves_below(rows):
    trie = CodeTrie.of(SemanticIds.from_codes(np.array(rows)))
    above = trie.ancestors(torch.arange(trie.num_leaves))
    for depth, nodes in enumerate(above):
        begin, end = trie.leaf_range(depth, torch.arange(int(nodes.max()) + 1))
        for node, (first, last) in enumerate(zip(begin.tolist(), end.tolist(), strict=True)):
            assert (nodes == node).nonzero()[:, 0].tolist() == list(range(first, last))


@settings(max_examples=100)
@given(catalogs)
def test_the_trie_holds_exactly_the_prefixes(rows):
    ids = SemanticIds.from_codes(np.array(rows))
    trie = CodeTrie.of(ids)
    nodes = {(): 0}
    for depth in range(ids.num_levels):
        below = {}
        for prefix, node in nodes.items():
            found = trie.children(depth, torch.tensor([node]))
            pairs = zip(found.codes[found.exists].tolist(), found.nodes[found.exists].tolist(), strict=True)
            below |= {(*prefix, code): child for code, child in pairs}
        nodes = below
        assert set(nodes) == {tuple(row[: depth + 1]) for row in rows}
    assert all(nodes[tuple(row)] == trie.leaf[item] for item, row in enumerate(rows))


@given(catalogs)
def test_allowed_codes_are_those_of_the_children_and_a_node_branches_where_it_has_several(rows):
    trie = CodeTrie.of(SemanticIds.from_codes(np.array(rows)))
    for depth, codes in enumerate(trie.code):
        nodes = torch.arange(len(trie.start[depth]) - 1)
        allowed, branches = trie.allowed(depth, nodes), trie.branches(depth, nodes)
        assert allowed.shape == (len(nodes), trie.sizes[depth])
        for node in nodes.tolist():
            own = codes[trie.start[depth][node] : trie.start[depth][node + 1]].tolist()
            assert allowed[node].nonzero()[:, 0].tolist() == own
            assert bool(branches[node]) == (len(own) > 1)


def test_users_are_independent():
    both = Table(SAYS, (3, 3, 3), users=3)
    ranking = beam_search(both, CodeTrie.of(TOY), 3)
    assert (ranking.items == ranking.items[0]).all()
