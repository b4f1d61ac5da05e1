"""The random rotation: lengths and angles stay, and every dimension gets its share of the variance."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

from macrec.encoders.rotation import rotation


@pytest.mark.parametrize("dim", [1, 2, 7, 64])
def test_products_of_rotated_rows_are_those_of_the_rows(dim):
    rows = np.random.default_rng(0).standard_normal((20, dim)).astype(np.float32)
    rotated = rows @ rotation(dim)
    np.testing.assert_allclose(rotated @ rotated.T, rows @ rows.T, atol=1e-4)


def test_it_is_the_same_for_a_seed_and_cannot_be_changed():
    assert (rotation(8) == rotation(8)).all()
    assert (rotation(8) != rotation(8, seed=1)).any()
    with pytest.raises(ValueError, match="read-only"):
        rotation(8)[0, 0] = 1


def test_standardizing_after_it_keeps_the_groups_that_it_would_drown_in_noise_before():
    rng = np.random.default_rng(0)
    group = rng.integers(4, size=400)
    signal = 0.5 * np.eye(4)[group] + 0.1 * rng.standard_normal((400, 4))
    rows = np.concatenate([signal, 0.05 * rng.standard_normal((400, 60))], 1)

    def agreement(x):
        found = KMeans(4, n_init=4, random_state=0).fit_predict((x - x.mean(0)) / x.std(0))
        return normalized_mutual_info_score(group, found)

    assert agreement(rows) < 0.5
    assert agreement(rows @ rotation(64)) > 0.95
