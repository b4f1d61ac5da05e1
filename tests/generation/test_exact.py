"""Scoring every item: equal to brute force and to a beam as wide as the catalog, whatever the blocks."""

from collections import Counter
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.errors import DataError
from macrec.generation import decoder as paths
from macrec.generation import exact
from macrec.generation.batches import CodeTables
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.exact import asked_prefixes, beam_error, leaf_scores
from macrec.generation.t5 import PathScorer, T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.trie import CodeTrie
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds


def draw(user, prefix):
    return np.random.default_rng((user, *prefix, 9)).normal(size=4)  # 9: else zeros at the end would not count


class Table:
    """A scorer that draws the logits of the next code from the user and the codes so far, and notes what was asked."""

    def __init__(self, users, asked):
        self.asked, self.prefixes = asked, [[()] for _ in range(users)]

    def logits(self):
        self.asked += [prefix for user in self.prefixes for prefix in user]
        drawn = [[draw(user, prefix) for prefix in beams] for user, beams in enumerate(self.prefixes)]
        return torch.tensor(np.array(drawn)).float()

    def first(self):
        return self.logits()

    def next(self, level, parents, codes):
        pairs = zip(self.prefixes, parents.expand(3, -1).tolist(), codes.expand(3, -1).tolist(), strict=True)
        self.prefixes = [[user[p] + (c,) for p, c in zip(one, two, strict=True)] for user, one, two in pairs]
        return self.logits()

    def fork(self):
        other = Table(0, self.asked)
        other.prefixes = deepcopy(self.prefixes)
        return other


@settings(max_examples=60)
@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 40), st.sampled_from(["children", "level"]), st.data())
def test_every_leaf_has_the_score_of_brute_force(levels, items, rows, normalize, data):
    seed = data.draw(st.integers(0, 2**32 - 1))
    codes = np.random.default_rng(seed).integers(0, 4, (items, levels))
    trie = CodeTrie.of(SemanticIds.from_codes(codes, sizes=(4,) * levels))
    asked = []
    found = leaf_scores(Table(3, asked), trie, normalize, rows)
    unique = np.unique(codes, axis=0).tolist()

    def score(user, row):
        total = 0.0
        for level, code in enumerate(row):
            logits = draw(user, row[:level])
            legal = {other[level] for other in unique if other[:level] == row[:level]}
            total += logits[code] - np.log(np.exp(logits[sorted(legal)] if normalize == "children" else logits).sum())
        return total

    expected = [[score(user, row) for row in unique] for user in range(3)]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)
    prefixes = Counter(tuple(row[:depth]) for row in unique for depth in range(levels))
    needed = [prefix for prefix, below in prefixes.items() if below > 1 or not prefix or normalize == "level"]
    assert sorted(asked) == sorted(3 * needed)  # each once per user, and none after which all is certain
    assert asked_prefixes(trie, normalize) == len(needed)


def decoder_of(items=50, users=20, seed=0, shared=False, **options):
    """A random tiny generator over `items` items, and histories of 1 to 12 items."""
    rng = np.random.default_rng(seed)
    ids = {}
    for name in ("text", "image"):
        codes = np.stack(np.unravel_index(rng.permutation(6**3)[:items], (6, 6, 6)), 1)
        if shared:
            codes[:, 2] = 0
        ids[name] = SemanticIds.from_codes(codes, tuple(f"{name}_{letter}" for letter in "abc"), (6, 6, 6))
    tables = CodeTables(ids, code_tasks(("text", "image")))
    model = T5Generator(len(tables.vocabulary), T5Config.named("tiny"), seed).eval()
    lengths = rng.integers(1, 13, users)
    ends = np.cumsum(lengths + 1)
    events = rng.integers(0, items, ends[-1]).astype(np.int32)
    samples = Samples(events, np.arange(users, dtype=np.int32), ends - lengths - 1, ends - 1)
    return PathDecoder(model, tables, DecodingOptions(**{"max_history": 5} | options)), samples


ALL = tuple(task.name for task in code_tasks(("text", "image")) if task.kind == "sequence")


@pytest.mark.parametrize("shared", [False, True], ids=["unique", "shared"])
@pytest.mark.parametrize("mask_seen", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"fusion": "union_rescore", "paths": ALL},
        {"fusion": "logmeanexp", "normalize": "level"},
        {"fusion": "mean_floor"},
        {"fusion": "published", "normalize": "vocabulary"},
        {"paths": ALL[2:3]},
    ],
    ids=lambda options: options.get("fusion", "one path"),
)
def test_exact_equals_a_beam_as_wide_as_the_catalog(options, mask_seen, shared):
    decoder, samples = decoder_of(shared=shared, beams=50, **options)
    exact_ranking = decoder.exact(samples, 50, mask_seen)
    wide = decoder.recommend(samples, 50, mask_seen)
    np.testing.assert_allclose(exact_ranking.scores, wide.scores, atol=1e-4)
    for one, other in zip(exact_ranking.items, wide.items, strict=True):
        assert sorted(one) == sorted(other)
    assert beam_error(wide, exact_ranking) == 0


@pytest.mark.parametrize("normalize", ["children", "level", "vocabulary"])
def test_exact_scores_are_those_of_teacher_forcing(normalize, monkeypatch):
    monkeypatch.setattr(paths, "EXACT_USERS", 16)
    decoder, samples = decoder_of(normalize=normalize)
    few = samples.take(np.arange(18))  # more than are scored at once
    for path in ALL:
        number = decoder._number(path)
        found = decoder.exact_scores(few, path)
        read = few.newest(5)
        scorer = PathScorer(decoder.model, decoder.tables, number, read, normalize)
        expected = decoder.scores(number, scorer, np.tile(np.arange(50), (18, 1)))
        np.testing.assert_allclose(found, expected, atol=1e-4)
        if normalize == "children":
            np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-4)


@torch.no_grad()
def test_blocks_change_nothing():
    decoder, samples = decoder_of()
    trie = decoder.tries["text"]
    found = [
        leaf_scores(PathScorer(decoder.model, decoder.tables, 0, samples), trie, "children", rows)
        for rows in (10**6, 1, 60, 140)  # all at once, and 1, 3 or 7 prefixes of each of the 20 users
    ]
    for blocks in found[1:]:
        torch.testing.assert_close(blocks, found[0], atol=1e-5, rtol=0)


def test_the_error_of_a_beam_is_the_share_of_users_whose_best_items_it_lacks():
    exact_ranking = Ranking(np.array([[1, 2], [3, 4], [5, -1]]), np.array([[2.0, 1], [2, 1], [1, -np.inf]]))
    found = Ranking(np.array([[2, 1, 7], [3, 5, 9], [5, 6, -1]]), np.array([[3.0, 2, 1], [3, 2, 1], [3, 2, -np.inf]]))
    assert beam_error(found, exact_ranking) == pytest.approx(1 / 3)
    decoder, samples = decoder_of(beams=2, paths=ALL[:1])
    best = decoder.exact(samples, 2)
    errors = []
    for width in (2, 5, 50):
        wide = decoder.by_path(samples, width)[ALL[0]]
        errors.append(beam_error(Ranking(wide.items[:, :2], wide.scores[:, :2]), best))
    assert errors[0] > 0 and errors == sorted(errors, reverse=True) and errors[-1] == 0
    with pytest.raises(ValueError, match="same users"):
        beam_error(best, exact_ranking)


def test_what_would_take_too_long_is_refused_in_a_sentence(monkeypatch):
    decoder, samples = decoder_of()
    prefixes = asked_prefixes(decoder.tries["text"], "children")
    monkeypatch.setitem(exact.MOST_STEPS, "cpu", 10 * prefixes)
    few = samples.take(np.arange(10))
    assert decoder.exact_scores(few, ALL[0]).shape == (10, 50)
    with pytest.raises(DataError, match=r"decoder steps for each of 20 users.*at most 10 users at a time"):
        decoder.exact_scores(samples, ALL[0])
    with pytest.raises(DataError, match="decoder steps"):
        decoder.exact(samples, 5)
    monkeypatch.setattr(paths, "MOST_SCORES", 499)
    with pytest.raises(DataError, match="at most 9 users at a time"):
        decoder.exact_scores(few, ALL[0])
