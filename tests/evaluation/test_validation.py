"""The users that a training is looked at by: few, always the same ones, and ranked as everybody else is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.histories import Histories
from macrec.data.ranking import top_k
from macrec.data.split import leave_one_out
from macrec.errors import DataError
from macrec.evaluation.metrics import hit_rate, ndcg
from macrec.evaluation.validation import split_for, validation_metrics, validation_users

ITEMS = 30
SPLIT = leave_one_out(
    Histories.from_lists([np.random.default_rng(user).integers(0, ITEMS, 3 + user % 5).tolist() for user in range(40)])
)


@given(st.integers(0, 60), st.integers(0, 2**31))
def test_users_are_distinct_validation_samples_and_the_same_for_a_seed(users, seed):
    chosen = validation_users(SPLIT, users, seed)
    assert len(chosen) == min(users, len(SPLIT.valid))
    assert (np.diff(chosen.user) > 0).all()  # distinct, and in the order of the split
    of_user = {int(user): row for row, user in enumerate(SPLIT.valid.user)}
    for row, user in enumerate(chosen.user.tolist()):
        assert chosen.targets[row] == SPLIT.valid.targets[of_user[user]]
        assert chosen.history(row).tolist() == SPLIT.valid.history(of_user[user]).tolist()
    assert validation_users(SPLIT, users, seed).user.tolist() == chosen.user.tolist()


def test_another_seed_chooses_other_users_and_everybody_has_a_chance():
    drawn = [tuple(validation_users(SPLIT, 10, seed).user.tolist()) for seed in range(60)]
    assert len(set(drawn)) == 60
    assert {user for users in drawn for user in users} == set(range(40))


def test_more_users_are_those_of_before_and_further_ones():
    few, more = (set(validation_users(SPLIT, users, 3).user.tolist()) for users in (10, 25))
    assert few < more


def test_the_numbers_are_those_of_the_first_ten_places():
    samples = validation_users(SPLIT, 25, 0)
    scores = np.random.default_rng(1).random((len(samples), ITEMS))
    asked = []

    def recommend(histories, k):
        asked.append((histories, k))
        return top_k(scores, k)

    found = validation_metrics(recommend, samples)
    assert asked == [(samples, 10)]
    own = scores[np.arange(len(samples)), samples.targets]
    ranks = (scores > own[:, None]).sum(1) + 1
    ranks = np.where(ranks <= 10, ranks, 0)
    assert found == pytest.approx({"HR@10/validation": hit_rate(ranks, 10), "NDCG@10/validation": ndcg(ranks, 10)})
    assert 0 < found["NDCG@10/validation"] < found["HR@10/validation"] < 1


def test_settings_are_chosen_on_validation_users_in_the_place_of_test_users():
    split = leave_one_out(Histories.from_lists([[0, 1, 2, 3], [4, 5, 6]]))
    assert split_for("test", split) is split
    found = split_for("validation", split)
    assert found.test.targets.tolist() == [2, 5] and found.train is split.train and found.valid is split.valid
    with pytest.raises(DataError, match='no "train" users'):
        split_for("train", split)
