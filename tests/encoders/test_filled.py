"""Vectors predicted for items without: a linear relation is found, and what is there stays."""

import numpy as np
import pytest

from macrec.encoders.embeddings import Embeddings
from macrec.encoders.filled import filled, solved


def made(rows=200, seed=0):
    """Two contents, and vectors that are linear in them; the last 40 have none."""
    rng = np.random.default_rng(seed)
    text, image = rng.standard_normal((rows, 6)), rng.standard_normal((rows, 4))
    truth = (text @ rng.standard_normal((6, 3)) + image @ rng.standard_normal((4, 3)) + 2.0).astype(np.float32)
    values = truth.copy()
    values[-40:] = 0
    content = [
        Embeddings.from_values(name, "given", x.astype(np.float32)) for name, x in (("text", text), ("image", image))
    ]
    return Embeddings.from_values("collaborative", "given", values), content, truth


def test_a_linear_relation_is_found_and_what_is_there_stays_to_the_bit():
    target, content, truth = made()
    result = filled(target, content, ridge=1e-6)
    assert result.present.all() and not target.present.all()
    np.testing.assert_allclose(result.values[-40:], truth[-40:], atol=1e-3)
    assert result.values[:-40].tobytes() == target.values[:-40].tobytes()
    assert result.mean is target.mean and result.std is target.std and result.values.dtype == target.values.dtype
    assert result.encoder == "given, filled"


def test_contents_of_items_without_vectors_change_no_other_vector():
    target, content, _ = made()
    values = content[0].values.copy()
    values[-1] += 1.0
    moved = Embeddings("text", "given", values, content[0].present, content[0].mean, content[0].std)
    one, other = filled(target, content), filled(target, [moved, content[1]])
    assert one.values[:-1].tobytes() == other.values[:-1].tobytes()
    assert not np.array_equal(one.values[-1], other.values[-1])


def test_nothing_is_predicted_from_nothing():
    target, content, _ = made()
    assert filled(target, []) is target
    whole = Embeddings.from_values("collaborative", "given", np.ones((200, 2), np.float32))
    assert filled(whole, content) is whole
    text = content[0].values.copy()
    text[-1] = 0
    lacking = Embeddings.from_values("text", "given", text)
    assert filled(target, [lacking]).present.tolist() == [True] * 199 + [False]
    with pytest.raises(ValueError, match="above 0"):
        filled(target, content, ridge=0.0)


@pytest.mark.parametrize("shape", [(30, 5), (5, 30)])
def test_both_systems_of_equations_have_one_solution(shape):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(shape), rng.standard_normal((shape[0], 2))
    weights = solved(x, y, 0.5)
    np.testing.assert_allclose(x.T @ (x @ weights - y) + 0.5 * weights, 0, atol=1e-9)
