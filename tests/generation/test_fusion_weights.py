"""Weights of paths: the best of all divisions on the users that are asked."""

from types import SimpleNamespace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.evaluation.metrics import ranking_metrics
from macrec.generation.fusion import fuse
from macrec.generation.fusion_weights import divisions, tuned_weights

USERS = 30


def asked(seed):
    """Two paths that score the same 12 items; the first knows the targets well, the second hardly."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, 12, USERS).astype(np.int32)
    events = np.stack([np.zeros(USERS, np.int32), targets], 1).ravel()
    at = 2 * np.arange(USERS, dtype=np.int64)
    samples = Samples(events, np.arange(USERS, dtype=np.int32), at, at + 1)
    rankings = []
    for knowledge in (2.0, 0.3):
        scores = rng.standard_normal((USERS, 12)) + knowledge * np.eye(12)[targets]
        order = np.argsort(-scores, 1)
        rankings.append(Ranking(order.astype(np.int64), np.take_along_axis(scores, order, 1)))
    return samples, rankings


def ndcg(rankings, weights, samples):
    return ranking_metrics(fuse(rankings, "union_rescore", 10, weights).rank_of(samples.targets), (10,))["NDCG@10"]


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_no_division_is_better_than_the_one_chosen(seed):
    samples, rankings = asked(seed)
    decoder = SimpleNamespace(rankings=lambda *_: rankings, options=SimpleNamespace(fusion="union_rescore"))
    chosen = tuned_weights(decoder, samples)
    best = max(ndcg(rankings, (step / 10, 1 - step / 10), samples) for step in range(11))
    assert ndcg(rankings, chosen, samples) >= best - 1e-12


def test_equal_paths_count_alike():
    samples, (first, _) = asked(0)
    decoder = SimpleNamespace(rankings=lambda *_: [first, first], options=SimpleNamespace(fusion="union_rescore"))
    assert tuned_weights(decoder, samples) == (0.5, 0.5)


@given(st.integers(1, 4), st.integers(1, 6))
def test_divisions_are_all_ways_to_share(parts, steps):
    found = divisions(parts, steps)
    assert len(set(found)) == len(found)
    assert all(abs(sum(weights) - 1) < 1e-9 and min(weights) >= 0 for weights in found)
    counted = [shares for shares in np.ndindex(*(steps + 1,) * parts) if sum(shares) == steps]
    assert len(found) == len(counted)
