import numpy as np
import pytest

from macrec.encoders import Embeddings
from macrec.encoders.principal import principal_components


def embeddings(values):
    return Embeddings.from_values("text", "made", values.astype(np.float32))


def test_components_are_those_of_a_singular_value_decomposition_at_rms_one():
    values = np.random.default_rng(0).standard_normal((50, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1]) @ np.ones((6, 6))
    values += np.random.default_rng(1).standard_normal((50, 6))
    given = embeddings(values)
    left, singular, _ = np.linalg.svd(given.standardized(), full_matrices=False)
    expected = left[:, :3] * singular[:3]
    expected /= np.sqrt(np.mean(np.square(expected)))
    actual = principal_components(given, 3)
    np.testing.assert_allclose(np.abs(actual), np.abs(expected), atol=1e-4)
    assert np.sqrt(np.mean(np.square(actual))) == pytest.approx(1, abs=1e-5)


def test_absent_items_are_zero_and_no_more_components_come_than_there_are_dimensions():
    values = np.random.default_rng(0).standard_normal((20, 4))
    values[[3, 7]] = 0
    actual = principal_components(embeddings(values), 64)
    assert actual.shape == (20, 4) and not actual[[3, 7]].any() and actual[0].any()
    with pytest.raises(ValueError, match="count"):
        principal_components(embeddings(values), 0)
