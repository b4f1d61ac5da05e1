import copy

import pytest
import torch

from macrec.training.muon import Muon, orthogonal

SHAPES = ((6, 4), (4, 9), (6, 4), (5, 5))


def matrices(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def after_steps(make, steps, decay):
    """The weights after `steps` steps with random gradients; the third parameter has none at first."""
    weights = [torch.nn.Parameter(weight) for weight in matrices(0)]
    optimizer = make([{"params": weights[:2], "weight_decay": 0.0}, {"params": weights[2:], "weight_decay": decay}])
    for step in range(steps):
        for number, (weight, gradient) in enumerate(zip(weights, matrices(step + 1), strict=True)):
            weight.grad = None if number == 2 and not step else gradient
        optimizer.step()
    return torch.cat([weight.detach().flatten() for weight in weights]), optimizer


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_a_step_is_that_of_pytorch_but_for_the_rounding_of_bfloat16(steps, decay):
    mine, _ = after_steps(lambda groups: Muon(groups, lr=0.02), steps, decay)
    theirs, _ = after_steps(lambda groups: torch.optim.Muon(groups, lr=0.02), steps, decay)
    before = torch.cat([weight.flatten() for weight in matrices(0)])
    moved = (theirs - before).norm()
    assert (mine - theirs).norm() < 0.02 * moved
    assert moved > 0.02


def test_momentum_is_that_of_pytorch_to_the_bit():
    _, mine = after_steps(lambda groups: Muon(groups, lr=0.02), 4, 0.1)
    _, theirs = after_steps(lambda groups: torch.optim.Muon(groups, lr=0.02), 4, 0.1)
    mine, theirs = mine.state_dict()["state"], theirs.state_dict()["state"]
    assert mine.keys() == theirs.keys() == set(range(4))
    for number, state in theirs.items():
        assert torch.equal(mine[number]["momentum_buffer"], state["momentum_buffer"])


@pytest.mark.parametrize("shape", [(8, 8), (3, 20), (20, 3)])
def test_singular_values_come_close_to_one_and_the_singular_vectors_stay(shape):
    given = torch.randn(4, *shape, generator=torch.Generator().manual_seed(7)).double()
    made = orthogonal(given)
    left, values, right = torch.linalg.svd(given, full_matrices=False)
    of_made = torch.diagonal(left.mT @ made @ right.mT, dim1=1, dim2=2)
    torch.testing.assert_close(left @ torch.diag_embed(of_made) @ right, made)
    large = values > 0.1 * values[:, :1]
    assert ((of_made > 0.6) & (of_made < 1.25))[large].all()


def test_a_matrix_of_zeros_stays_and_one_that_is_scaled_gives_the_same():
    assert torch.equal(orthogonal(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))
    given = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonal(given), orthogonal(1000 * given))


def test_it_goes_on_from_its_state():
    weights = [torch.nn.Parameter(weight) for weight in matrices(0)]
    optimizer = Muon(weights, lr=0.1)

    def step(weights, optimizer, seed):
        for weight, gradient in zip(weights, matrices(seed), strict=True):
            weight.grad = gradient
        optimizer.step()

    step(weights, optimizer, 1)
    others = [torch.nn.Parameter(weight.detach().clone()) for weight in weights]
    resumed = Muon(others, lr=0.1)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(weights, optimizer, 2)
    step(others, resumed, 2)
    assert all(torch.equal(one, two) for one, two in zip(weights, others, strict=True))


def test_what_is_not_a_matrix_is_refused():
    with pytest.raises(ValueError, match="matrices"):
        Muon([torch.nn.Parameter(torch.zeros(3))], lr=0.1)
