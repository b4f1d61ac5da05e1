"""The quantizers by name: what all of them promise, and what each does of its own, against written-out definitions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from macrec.errors import DataError
from macrec.quantization import quantizers
from macrec.quantization.quantizers import check_quantizer, make_quantizer, quantizer_names
from macrec.quantization.quantizers.sinkhorn import sinkhorn

TOYS = Path(__file__).parents[1] / "toys" / "quantizers"
NAMES = [*quantizer_names(), "halfway"]


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    """A quantizer in one file of its own, found like the others."""
    monkeypatch.setattr(quantizers, "__path__", [*quantizers.__path__, str(TOYS)])


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=0, atol=atol)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_codebooks(spec, *books):
    """A quantizer in float64 with these codebooks."""
    quantizer = make_quantizer(spec, [len(book) for book in books], books[0].shape[1]).double()
    for codebook, book in zip(quantizer.codebooks, books, strict=True):
        codebook.data.copy_(book)
    return quantizer


def random(spec, sizes=(16, 8, 4), dim=6, **options):
    """A quantizer in float32 whose codewords are normal rather than tiny."""
    quantizer = make_quantizer(spec, sizes, dim, **options)
    for level, codebook in enumerate(quantizer.codebooks):
        codebook.data.copy_(normal(*codebook.shape, seed=100 + level))
    return quantizer


def test_the_names_are_those_of_the_files():
    assert quantizer_names() == sorted(NAMES)
    assert set(NAMES) > {"ste", "ema", "rotation", "sinkhorn", "gumbel"}


@pytest.mark.parametrize("spec", NAMES)
def test_values_are_sums_of_the_nearest_codewords_whatever_the_gradient(spec):
    quantizer, plain = random(spec).eval(), random("ste").eval()
    z = normal(40, 6)
    found, expected = quantizer(z), plain(z)
    assert torch.equal(found.codes, expected.codes) and torch.equal(found.codes.int(), quantizer.encode(z))
    for one, other in zip(found.residuals, expected.residuals, strict=True):
        close(one, other)
    close(found.vectors, quantizer.decode(found.codes), 1e-5)
    close(found.words, quantizer.decode(found.codes), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("spec", NAMES)
def test_a_quantizer_learns_to_represent_vectors_that_stand_still(spec):
    """Codewords from 64 vectors, moved elsewhere: training brings the error down by the quantizer's own loss."""
    z = torch.cat([normal(64, 4, seed=level) + 2 for level in range(4)])
    quantizer = make_quantizer(spec, (8, 8), 4, seed=1)
    quantizer.initialize(z[:64] + 1, seed=0)
    learning = [weight for weight in quantizer.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.03) if learning else None
    before = float((quantizer.decode(quantizer.encode(z)).detach() - z).square().mean())
    torch.manual_seed(0)
    for _ in range(150):
        found = quantizer(z)
        if optimizer is not None:
            optimizer.zero_grad()
            quantizer.loss(found, 0.25).backward()
            optimizer.step()
        quantizer.observe(found)
    after = float((quantizer.decode(quantizer.encode(z)).detach() - z).square().mean())
    assert after < 0.7 * before


@pytest.mark.parametrize("spec", NAMES)
def test_the_latent_receives_a_gradient_of_what_is_decoded(spec):
    quantizer, z = random(spec), normal(20, 6).requires_grad_()
    quantizer(z).vectors.square().sum().backward()
    assert z.grad is not None and z.grad.isfinite().all() and (z.grad != 0).any(1).float().mean() > 0.9


def test_gumbel_with_no_temperature_left_takes_the_nearest_codeword():
    torch.manual_seed(0)
    z = normal(500, 6)
    exact = random("ste").train()(z)
    cold = random("gumbel:temperature=1e-7").train()(z)
    agreement = (cold.codes == exact.codes).float().mean()
    assert agreement > 0.998
    same = (cold.codes == exact.codes).all(1)
    close(cold.vectors[same], exact.vectors[same], 1e-5)


def test_gumbel_draws_codewords_as_often_as_the_softmax_of_their_distances_says():
    """One level, one residual many times: the frequencies of argmax(logits + noise) are softmax(logits)."""
    torch.manual_seed(1)
    words = torch.tensor([[1.0, 0.0], [0.0, 1.5], [-2.0, 0.0]])
    z = torch.zeros(60_000, 2)
    quantizer = with_codebooks("gumbel:temperature=2", words)
    codes = quantizer.train()(z.double()).codes[:, 0]
    expected = torch.softmax(-torch.tensor([1.0, 2.25, 4.0]) / (2 * 1.0), 0)
    close(torch.bincount(codes, minlength=3) / len(codes), expected, 0.01)
    assert (quantizer.eval()(z.double()).codes == 0).all()


def test_the_gradient_of_gumbel_is_that_of_the_softmax_mixture():
    torch.manual_seed(2)
    quantizer = random("gumbel:temperature=1", (5,), 3).double()
    z, pull = normal(7, 3).double().requires_grad_(), normal(7, 3, seed=1).double()
    torch.manual_seed(3)
    (gradient, to_words) = torch.autograd.grad((pull * quantizer(z).vectors).sum(), [z, quantizer.codebooks[0]])
    torch.manual_seed(3)
    noise = -torch.empty(7, 5, dtype=torch.float64).exponential_().log()
    words = quantizer.codebooks[0]
    squared = (z[:, None] - words).square().sum(2)
    mixture = torch.softmax(-squared / squared.detach().amin(1).mean() + noise, 1) @ words
    expected = torch.autograd.grad((pull * mixture).sum(), [z, words])
    close(gradient, expected[0], 1e-9)
    close(to_words, expected[1], 1e-9)


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        ("lookup", 'no quantizer "lookup"; choose one of ema, gumbel'),
        ("ema:rate=0.5", 'ema has no option "rate"; its options are decay'),
        ("ste:decay=0.5", "it has no options"),
        ("gumbel:temperature", '"temperature" is no option; write such as gumbel:option=1'),
        ("gumbel:temperature=hot", '"hot" is no number'),
        ("gumbel:temperature=0", "temperature must be above 0, got 0"),
        ("ema:decay=1", "decay must be at least 0 and below 1"),
        ("sinkhorn:epsilon=-1", "epsilon must be above 0"),
    ],
)
def test_what_is_no_quantizer_is_refused_with_what_there_is(spec, what):
    with pytest.raises(DataError, match=what):
        check_quantizer(spec)


def test_the_rotation_trick_rotates_and_scales_the_gradient():
    """The value is Σe; the Jacobian λR, with R the rotation in the plane of z and Σe that turns one into the other."""
    quantizer = random("rotation").double()
    z, pull = normal(20, 6).double().requires_grad_(), normal(20, 6, seed=1).double()
    found = quantizer(z)
    close(found.vectors.detach(), found.words.detach())
    (gradient,) = torch.autograd.grad((pull * found.vectors).sum(), z)
    for row, words, force, arrived in zip(z.detach(), found.words.detach(), pull, gradient, strict=True):
        a, b = row / row.norm(), words / words.norm()
        cosine = a @ b
        side = (b - cosine * a) / (b - cosine * a).norm()
        sine = b @ side
        rotation = (
            torch.eye(6, dtype=torch.float64)
            + sine * (torch.outer(side, a) - torch.outer(a, side))
            + (cosine - 1) * (torch.outer(a, a) + torch.outer(side, side))
        )
        close(rotation @ rotation.T, torch.eye(6))
        scale = words.norm() / row.norm()
        close(scale * rotation @ row, words)
        close(arrived, (scale * rotation).T @ force)


def test_the_rotation_trick_leaves_vectors_without_direction_to_the_straight_through_estimator():
    """With biases at zero an absent item starts as the zero vector, which no rotation turns into Σe."""
    quantizer = random("rotation")
    z = torch.cat([torch.zeros(1, 6), 1e-9 * torch.ones(1, 6), normal(2, 6)]).requires_grad_()
    found = quantizer(z)
    close(found.vectors.detach(), found.words.detach(), 1e-5)
    (gradient,) = torch.autograd.grad(found.vectors.sum(), z)
    assert (gradient[:2] == 1).all() and gradient.isfinite().all()


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_ema_codebooks_follow_a_written_out_loop(decay):
    quantizer = random(f"ema:decay={decay}", (5, 3), 4)
    start = [normal(5, 4, seed=7), normal(3, 4, seed=8)]
    for level, book in enumerate(start):
        quantizer._set(level, torch.arange(len(book)), book)
    counts = [np.ones(5), np.ones(3)]
    sums = [book.double().numpy().copy() for book in start]
    words = [book.double().numpy().copy() for book in start]
    for batch in range(4):
        z = normal(30, 4, seed=20 + batch).requires_grad_()
        found = quantizer(z)
        (found.vectors.sum() + found.codebook_loss.sum() + found.commitment_loss.sum()).backward()
        quantizer.observe(found)
        left = z.detach().double().numpy()
        for level, size in enumerate((5, 3)):
            code = ((left[:, None] - words[level]) ** 2).sum(2).argmin(1)
            before = words[level].copy()
            for k in range(size):
                counts[level][k] = decay * counts[level][k] + (1 - decay) * (code == k).sum()
                sums[level][k] = decay * sums[level][k] + (1 - decay) * left[code == k].sum(0)
            total = counts[level].sum()
            for k in range(size):
                words[level][k] = sums[level][k] / ((counts[level][k] + 1e-5) / (total + size * 1e-5) * total)
            left = left - before[code]
        for codebook, expected in zip(quantizer.codebooks, words, strict=True):
            assert codebook.grad is None and not codebook.requires_grad
            np.testing.assert_allclose(codebook.numpy(), expected, rtol=1e-4, atol=1e-5)


def test_sinkhorn_toy():
    """T13."""
    share = sinkhorn(torch.tensor([[0.1, 0.9], [0.2, 0.8], [0.3, 0.4], [0, 1]]), 0.5)
    close(share, [[0.6464, 0.3536], [0.4509, 0.5491], [0.1, 0.9], [0.8027, 0.1973]], 5e-5)
    assert share.argmax(1).tolist() == [0, 1, 1, 0]
    close(share.sum(0), [2.0, 2.0])


@pytest.mark.parametrize("epsilon", [1.0, 0.003, 0.0001])
def test_sinkhorn_is_finite_and_even_for_any_epsilon(epsilon):
    """exp(1/0.0001) is no number: the balance must not depend on it."""
    squared = torch.cdist(normal(64, 3), normal(8, 3, seed=1)).square()
    share = sinkhorn(squared, epsilon)
    assert share.isfinite().all() and (share >= 0).all()
    close(share.sum(0), torch.full((8,), 8.0))


def test_sinkhorn_gives_nothing_to_a_codeword_out_of_reach():
    """exp(-2/0.001) is zero: no share of it can be made B/K."""
    words = torch.cat([normal(3, 3), torch.full((1, 3), 100.0)])
    share = sinkhorn(torch.cdist(normal(30, 3, seed=1), words).square(), 0.001)
    assert share.isfinite().all() and (share[:, 3] == 0).all() and (share.argmax(1) < 3).all()


def test_sinkhorn_spreads_a_level_over_the_batch_in_training_only():
    """All vectors stand near one codeword of each level."""
    books = [torch.eye(4) * 3, torch.eye(4)]
    quantizer = with_codebooks("sinkhorn:epsilon=0.05", *books)
    z = (torch.tensor([3.0, 0, 0, 0]) + torch.tensor([1.0, 0, 0, 0]) + 0.05 * normal(40, 4)).double()
    trained, evaluated = quantizer.train()(z).codes, quantizer.eval()(z).codes
    assert (trained[:, 0] == 0).all() and (evaluated == 0).all()
    assert (torch.bincount(trained[:, 1], minlength=4) >= 7).all()
    assert (quantizer.train().encode(z.float()) == 0).all()


def test_a_revived_codeword_counts_as_one_vector_of_the_moving_average():
    quantizer = make_quantizer("ema:decay=0.9", (4,), 2)
    z = torch.tensor([[5.0, 0.0], [5.0, 1.0], [4.0, 0.0]])
    quantizer.mean_count_0.fill_(7.0)
    quantizer.used_0[0] = 1
    quantizer.revive(z, torch.Generator().manual_seed(0))
    assert quantizer.mean_count_0.tolist() == [7.0, 1.0, 1.0, 1.0]
    assert torch.equal(quantizer.mean_sum_0[1:], quantizer.codebooks[0][1:].detach())


def test_the_state_of_a_quantizer_survives_a_round_trip():
    quantizer = random("ema:decay=0.9", (6, 4), 3)
    z = normal(100, 3)
    quantizer.initialize(z, seed=0)
    quantizer.observe(quantizer(z))
    other = make_quantizer("ema:decay=0.9", (6, 4), 3, seed=9)
    other.load_state_dict(quantizer.state_dict())
    assert other.initialized and torch.equal(other.encode(z), quantizer.encode(z))
    for one in (quantizer, other):
        one.observe(one(z))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in quantizer.state_dict().items())


def test_more_dead_codewords_than_vectors_are_all_revived():
    quantizer = random("ema:decay=0.9", (9,), 3)
    assert quantizer.revive(normal(2, 3), torch.Generator().manual_seed(0)) == 9
    assert {tuple(word) for word in quantizer.codebooks[0].tolist()} == {tuple(row) for row in normal(2, 3).tolist()}
    assert torch.equal(quantizer.mean_sum_0, quantizer.codebooks[0]) and (quantizer.mean_count_0 == 1).all()
