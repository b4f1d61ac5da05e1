"""Training LightGCN: what a step draws, what it learns, and that only training events count."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data import load_dataset
from macrec.data.split import seen_items, training_events
from macrec.errors import NotApplicable
from macrec.systems.lightgcn_training import LightGCNRecipe, LightGCNTraining, Negatives, lightgcn_table
from macrec.training import drain, generator_for, train

SHORT = LightGCNRecipe(width=8, epochs=4, batch=500)


@pytest.fixture(scope="module")
def data():
    return load_dataset("curio:tiny")


@pytest.fixture(scope="module")
def split(data):
    return data.split()


def table(split, items, recipe, folder):
    """What the training returns."""
    training, returned = lightgcn_table(split, items, recipe, folder), []

    def events():
        returned.append((yield from training))

    drain(events())
    return returned[0]


@given(edges=st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)), min_size=1), seed=st.integers(0, 9))
def test_negatives_are_all_free_items_and_no_other(edges, seed):
    user, item = np.array(sorted(edges)).T
    _, user = np.unique(user, return_inverse=True)
    drawn = Negatives(user, item, 8)
    for one in range(user.max() + 1):
        found = drawn.draw(np.full(400, one), generator_for(seed))
        assert set(found.tolist()) == set(range(8)) - set(item[user == one].tolist())


def test_a_step_ranks_what_a_user_took_above_what_he_did_not(data, split):
    user, item = training_events(split)
    task = LightGCNTraining(user, item, data.num_items, SHORT)
    taken = {(int(one), int(other)) for one, other in zip(np.unique(user, return_inverse=True)[1], item, strict=True)}
    seen = seen_items(split.train, data.num_items)
    every = []
    for step in range(task.per_epoch):
        users, mine, others = task.triples(step)
        assert all(np.array_equal(*pair) for pair in zip(task.triples(step), (users, mine, others), strict=True))
        every += zip(users.tolist(), mine.tolist(), strict=True)
        assert not taken & set(zip(users.tolist(), others.tolist(), strict=True)) and seen[others].all()
        assert task.batch_size(step) == len(users)
    assert len(every) == len(taken) and set(every) == taken  # an epoch has every edge once
    assert not np.array_equal(task.triples(0)[2], task.triples(task.per_epoch)[2])


def test_it_learns_and_a_resumed_training_ends_the_same(data, split, tmp_path):
    user, item = training_events(split)
    recipe = replace(SHORT, epochs=30)
    task = LightGCNTraining(user, item, data.num_items, recipe)
    events = drain(train(task, task.plan())).events
    first, last = events[0].losses["ranking"], events[-1].losses["ranking"]
    assert first == pytest.approx(np.log(2), abs=0.01) and last < 0.6
    cut = lightgcn_table(split, data.num_items, recipe, tmp_path)
    for _ in range(5):
        next(cut)
    cut.close()
    assert table(split, data.num_items, recipe, tmp_path).tobytes() == task.item_table().tobytes()


def test_only_training_events_and_their_users_count(data, split, tmp_path):
    later = split.train.items.copy()
    rng = np.random.default_rng(0)
    for samples in (split.valid, split.test):
        later[samples.target] = rng.integers(0, data.num_items, len(samples))
    other = split._replace(train=replace(split.train, items=later))
    one = table(split, data.num_items, SHORT, tmp_path / "one")
    assert one.tobytes() == table(other, data.num_items, SHORT, tmp_path / "other").tobytes()
    fewer = split._replace(train=split.train.take(np.arange(len(split.train) // 2)))
    assert one.tobytes() != table(fewer, data.num_items, SHORT, tmp_path / "one").tobytes()


def test_users_of_everything_are_no_lesson():
    with pytest.raises(NotApplicable, match="Nobody leaves out an item"):
        LightGCNTraining(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), 2, SHORT)
    task = LightGCNTraining(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, SHORT)
    assert [rows.tolist() for rows in task.triples(0)] == [[1], [1], [0]]
