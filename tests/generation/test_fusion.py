"""Fusing the rankings of several paths: the toy numbers of the specification, and a dictionary per user as oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.ranking import Ranking
from macrec.generation.fusion import candidates, fuse


def ranking(*users):
    """Rankings of users given as lists of (item, score)."""
    width = max(1, *(len(user) for user in users))
    items = np.full((len(users), width), -1, np.int64)
    scores = np.full((len(users), width), -np.inf)
    for row, user in enumerate(users):
        for place, (item, score) in enumerate(user):
            items[row, place], scores[row, place] = item, score
    return Ranking(items, scores)


TEXT = ranking([(7, -0.50), (3, -0.70), (9, -1.20)])
IMAGE = ranking([(3, -0.60), (5, -0.65), (7, -2.90)])


def pairs(found):
    kept = found.items[0] >= 0
    return {
        item: round(float(score), 4) for item, score in zip(found.items[0][kept], found.scores[0][kept], strict=True)
    }


def test_toy_numbers():  # T10
    assert pairs(fuse([TEXT, IMAGE], "published", 10)) == {3: 0.35, 5: -0.65, 7: -0.70, 9: -1.20}
    assert pairs(fuse([TEXT, IMAGE], "mean_floor", 10)) == {3: -0.65, 5: -0.925, 7: -1.70, 9: -2.05}
    text = ranking([(7, -0.5), (3, -0.7), (9, -1.2), (5, -1.5)])
    image = ranking([(3, -0.6), (5, -0.65), (7, -2.9), (9, -3.4)])
    assert pairs(fuse([text, image], "union_rescore", 10)) == {3: -0.65, 5: -1.075, 7: -1.70, 9: -2.30}
    assert pairs(fuse([text, image], "logmeanexp", 10)) == {3: -0.6488, 5: -0.9873, 7: -1.1063, 9: -1.7881}


def test_best_first_and_cut_to_k():
    found = fuse([TEXT, IMAGE], "published", 2)
    assert found.items.tolist() == [[3, 5]]
    assert fuse([TEXT, IMAGE], "mean_floor", 6).items.tolist() == [[3, 5, 7, 9, -1, -1]]


def test_weights_move_the_mean():
    text, image = ranking([(1, -1.0), (2, -3.0)]), ranking([(2, -0.5), (1, -4.0)])
    assert fuse([text, image], "union_rescore", 2, (1, 0)).scores[0].tolist() == [-1.0, -3.0]
    assert fuse([text, image], "union_rescore", 2, (1, 3)).items[0].tolist() == [2, 1]


def test_what_cannot_be_fused_is_refused():
    with pytest.raises(ValueError, match="every candidate"):
        fuse([TEXT, IMAGE], "union_rescore", 3)
    with pytest.raises(ValueError, match="two rankings"):
        fuse([TEXT], "published", 3)
    with pytest.raises(ValueError, match="how must be one of"):
        fuse([TEXT], "best", 3)
    with pytest.raises(ValueError, match="2 weights"):
        fuse([TEXT, IMAGE], "mean_floor", 3, (1.0,))


users = st.integers(1, 3).flatmap(
    lambda paths: st.lists(
        st.lists(
            st.permutations(range(7)).flatmap(lambda p: st.integers(0, 5).map(lambda n: p[:n])),
            min_size=paths,
            max_size=paths,
        ),
        min_size=1,
        max_size=4,
    )
)


@settings(max_examples=150)
@given(users, st.integers(0, 1000))
def test_mean_floor_and_candidates_equal_a_dictionary_per_user(drawn, seed):
    rng = np.random.default_rng(seed)
    scored = [[[(item, -float(at) - rng.random()) for at, item in enumerate(path)] for path in user] for user in drawn]
    rankings = [ranking(*(user[path] for user in scored)) for path in range(len(drawn[0]))]
    fused = fuse(rankings, "mean_floor", 7)
    union = candidates(rankings)
    for row, user in enumerate(scored):
        lists = [dict(path) for path in user]
        items = {item for one in lists for item in one}
        assert {item for item in union[row].tolist() if item >= 0} == items
        expected = {item: np.mean([one.get(item, min(one.values(), default=0)) for one in lists]) for item in items}
        found = {item: score for item, score in zip(fused.items[row], fused.scores[row], strict=True) if item >= 0}
        assert found == pytest.approx(expected)
