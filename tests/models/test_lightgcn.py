"""LightGCN: weights of the graph, propagation by hand, and against dense matrices."""

import numpy as np
import pytest
import torch

from macrec.models.lightgcn import LightGCN, bipartite


def dense(user, item, users, items):
    """The normalized matrix from its definition, without a sparse product."""
    taken = np.zeros((users, items))
    taken[user, item] = 1
    whole = np.block([[np.zeros((users, users)), taken], [taken.T, np.zeros((items, items))]])
    degree = np.maximum(whole.sum(1), 1)
    return whole / np.sqrt(degree[:, None] * degree)


def network(user, item, users, items, width=3, layers=2):
    graph = bipartite(np.array(user), np.array(item), users, items)
    return LightGCN(graph, width, layers, torch.Generator().manual_seed(0))


def test_a_user_of_two_items_by_hand():
    """One user took two items: each edge weighs 1 / √2, so items (2, 0) and (0, 4) give him (√2, 2 √2)."""
    made = network([0, 0], [0, 1], 1, 2, width=2, layers=1)
    with torch.no_grad():
        made.embedding.copy_(torch.tensor([[1.0, 1.0], [2.0, 0.0], [0.0, 4.0]]))
    root = 2**0.5
    expected = torch.tensor([[1 + root, 1 + 2 * root], [2 + 1 / root, 1 / root], [1 / root, 4 + 1 / root]]) / 2
    torch.testing.assert_close(made(), expected)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_propagation_is_the_mean_over_powers_of_the_dense_matrix(layers):
    rng = np.random.default_rng(0)
    user, item = rng.integers(0, 9, 40), rng.integers(0, 7, 40)  # edges come twice, and some nodes have none
    made, matrix = network(user, item, 10, 8, layers=layers), dense(user, item, 10, 8)
    np.testing.assert_allclose(made.graph.to_dense().numpy(), matrix, atol=1e-7)
    start = made.embedding.detach().double().numpy()
    expected = sum(np.linalg.matrix_power(matrix, power) @ start for power in range(layers + 1)) / (layers + 1)
    np.testing.assert_allclose(made().detach().numpy(), expected, atol=1e-6)
    alone = made().detach()[-1]  # an item without an edge
    torch.testing.assert_close(alone, made.embedding.detach()[-1] / (layers + 1))


def test_gradients_are_those_of_dense_products():
    made = network([0, 0, 1, 2], [0, 1, 1, 2], 3, 3)
    made().square().sum().backward()
    matrix, start = made.graph.to_dense(), made.embedding.detach().clone().requires_grad_()
    mean = (start + matrix @ start + matrix @ (matrix @ start)) / 3
    mean.square().sum().backward()
    torch.testing.assert_close(made.embedding.grad, start.grad)


def test_no_layer_and_no_dimension_are_refused():
    for width, layers in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="must be 1 or more"):
            network([0], [0], 1, 1, width, layers)
