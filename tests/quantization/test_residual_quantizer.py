"""The residual quantizer that learns: toy values of the specification, where gradients go, how codebooks move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.quantization import kmeans, nearest
from macrec.quantization.residual_quantizer import ResidualQuantizer
from macrec.tokenizers.contrastive import supervised_contrastive

Z = torch.tensor([[0.9, 0.4], [0.2, 1.1], [1.2, -0.3], [-0.8, 0.5]], dtype=torch.float64)
FIRST = torch.tensor([[1.0, 0], [0, 1], [-1, 0]], dtype=torch.float64)
SECOND = torch.tensor([[0.0, 0.3], [0.2, -0.2], [0, 0]], dtype=torch.float64)


def close(actual, expected, atol=1e-12):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=0, atol=atol)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_codebooks(*books, **options):
    """A quantizer in float64 with these codebooks."""
    quantizer = ResidualQuantizer([len(book) for book in books], books[0].shape[1], **options).double()
    for codebook, book in zip(quantizer.codebooks, books, strict=True):
        codebook.data.copy_(book)
    return quantizer


def random_quantizer(sizes=(16, 8, 4), dim=6, spread=1.0, **options):
    """A quantizer in float32 whose codewords are normal rather than tiny."""
    quantizer = ResidualQuantizer(sizes, dim, **options)
    for level, codebook in enumerate(quantizer.codebooks):
        codebook.data.copy_(spread * normal(*codebook.shape, seed=100 + level))
    return quantizer


@pytest.mark.parametrize("residual_grad", ["encoder", "codebook", "both", "none"])
def test_residual_quantization_toy(residual_grad):
    """T1: where gradients go changes no value."""
    found = with_codebooks(FIRST, SECOND, residual_grad=residual_grad)(Z)
    assert found.codes.tolist() == [[0, 0], [1, 2], [0, 1], [2, 0]]
    close(found.residuals[0], Z)
    close(found.residuals[1], [[-0.1, 0.4], [0.2, 0.1], [0.2, -0.3], [0.2, 0.5]])
    for sums in (found.vectors, found.words):
        close(sums, [[1, 0.3], [0, 1], [1.2, -0.2], [-1, 0.3]])
    close(found.codebook_loss, [0.08, 0.02])
    close(found.commitment_loss, [0.08, 0.02])
    close(found.codebook_loss + 0.25 * found.commitment_loss, [0.1, 0.025])
    close((found.codebook_loss + 0.25 * found.commitment_loss).mean(), 0.0625)


T4 = [[-10.608402, -2.652100], [9.298082, -18.596164], [-9.506445, -6.337630], [-7.344706, 2.937882]]


@pytest.mark.parametrize(
    ("residual_grad", "expected"), [("none", 0 * Z), ("codebook", 0 * Z), ("encoder", T4), ("both", T4)]
)
def test_gradient_of_a_contrast_on_the_second_residuals(residual_grad, expected):
    """T4: through straight-through residuals nothing arrives, and that exactly."""
    z = Z.clone().requires_grad_()
    residuals = with_codebooks(FIRST, SECOND, residual_grad=residual_grad)(z).residuals
    loss, _ = supervised_contrastive(residuals[1], torch.tensor([0, 0, 1, 1]), 0.1, self_in_denominator=True)
    assert float(loss.detach()) == pytest.approx(11.854421, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss, z, allow_unused=True)
    gradient = torch.zeros_like(z) if gradient is None else gradient
    close(gradient, expected, atol=0 if isinstance(expected, torch.Tensor) else 1e-6)


@pytest.mark.parametrize(
    ("residual_grad", "to_z", "to_words"),
    [("encoder", 1, 0), ("codebook", 0, 1), ("both", 1, 1), ("none", 0, 0)],
)
def test_a_loss_on_a_late_residual_reaches_what_residual_grad_names(residual_grad, to_z, to_words):
    """The third residual is z - e0 - e1: its gradient is 1 for z, and -1 for each chosen codeword before it."""
    quantizer = random_quantizer(residual_grad=residual_grad).double()
    z = normal(20, 6).double().requires_grad_()
    found = quantizer(z)
    pull = normal(20, 6, seed=1).double()
    (pull * found.residuals[2]).sum().backward()
    close(torch.zeros_like(z) if z.grad is None else z.grad, to_z * pull)
    for level, codebook in enumerate(quantizer.codebooks):
        expected = torch.zeros_like(codebook)
        if level < 2:
            expected.index_add_(0, found.codes[:, level], -to_words * pull)
        close(torch.zeros_like(codebook) if codebook.grad is None else codebook.grad, expected)


@pytest.mark.parametrize("residual_grad", ["encoder", "none"])
def test_codebook_loss_moves_codewords_and_commitment_moves_vectors(residual_grad):
    """Commitment at later levels reaches z only where residuals let gradients through (specification 3.4)."""
    quantizer = random_quantizer(residual_grad=residual_grad).double()
    z = normal(20, 6).double().requires_grad_()
    found = quantizer(z)
    wanted = [z, *quantizer.codebooks]
    for level in range(3):
        codebook = torch.autograd.grad(found.codebook_loss[level], wanted, allow_unused=True, retain_graph=True)
        assert [gradient is not None and bool(gradient.any()) for gradient in codebook] == [
            False, *(other == level for other in range(3))
        ]  # fmt: skip
        commitment = torch.autograd.grad(found.commitment_loss[level], wanted, allow_unused=True, retain_graph=True)
        assert [gradient is not None and bool(gradient.any()) for gradient in commitment] == [
            residual_grad == "encoder" or level == 0, False, False, False
        ]  # fmt: skip


def test_the_straight_through_gradient_is_the_identity_and_that_of_words_goes_to_codewords():
    quantizer = random_quantizer().double()
    z, pull = normal(20, 6).double().requires_grad_(), normal(20, 6, seed=1).double()
    found = quantizer(z)
    close(found.vectors.detach(), found.words.detach())
    through = torch.autograd.grad((pull * found.vectors).sum(), [z, *quantizer.codebooks], allow_unused=True)
    assert torch.equal(through[0], pull) and through[1:] == (None, None, None)
    none, *words = torch.autograd.grad((pull * found.words).sum(), [z, *quantizer.codebooks], allow_unused=True)
    assert none is None
    for level, gradient in enumerate(words):
        close(gradient, torch.zeros_like(gradient).index_add(0, found.codes[:, level], pull))


def test_revival_moves_exactly_the_dead_codewords_onto_residuals():
    quantizer = random_quantizer((6, 5), 3)
    z = normal(40, 3, seed=3)
    quantizer.codebooks[0].data[[1, 4]] = 100.0
    quantizer.codebooks[1].data[2] = 100.0
    quantizer.observe(quantizer(z))
    dead = [(book_used == 0).nonzero().flatten().tolist() for book_used in (quantizer.used_0, quantizer.used_1)]
    assert set(dead[0]) >= {1, 4} and set(dead[1]) >= {2}
    before = [book.detach().clone() for book in quantizer.codebooks]
    other = normal(25, 3, seed=4)
    assert quantizer.revive(other, torch.Generator().manual_seed(0)) == len(dead[0]) + len(dead[1])
    residual = other
    for level, codebook in enumerate(quantizer.codebooks):
        kept = [k for k in range(len(codebook)) if k not in dead[level]]
        assert torch.equal(codebook[kept], before[level][kept])
        rows = [(residual == codebook[k]).all(1).nonzero().flatten().tolist() for k in dead[level]]
        assert all(rows) and len({row[0] for row in rows}) == len(rows)  # each on another residual
        residual = residual - codebook[torch.cdist(residual, codebook).argmin(1)]
        residual = residual.detach()


def test_only_codewords_that_nobody_chose_since_the_last_revival_are_dead():
    quantizer = random_quantizer((4,), 3)
    z = quantizer.codebooks[0].detach()[:3].repeat(5, 1)
    for batch in (z[:1], z[1:3]):  # together they use all but the last
        quantizer.observe(quantizer(batch))
    assert quantizer.used_0.tolist() == [1, 1, 1, 0]
    assert quantizer.revive(z, torch.Generator().manual_seed(0)) == 1
    assert quantizer.revive(z, torch.Generator().manual_seed(0)) == 4  # counting began anew


def test_initialization_is_residual_kmeans_on_unequal_sizes():
    quantizer = ResidualQuantizer((12, 5, 3), 4)
    z = normal(300, 4)
    assert not quantizer.initialized
    quantizer.initialize(z, seed=3)
    assert quantizer.initialized
    left = z
    for level, size in enumerate((12, 5, 3)):
        clustering = kmeans.kmeans(left, size, 3 + level)
        assert torch.equal(quantizer.codebooks[level], clustering.centroids)
        left = left - clustering.centroids[clustering.labels]
    assert float(left.square().mean()) < 0.4 * float(z.square().mean())


@pytest.mark.parametrize("z", [normal(5, 4), normal(3, 4).repeat(20, 1)], ids=["fewer", "duplicates"])
def test_initialization_with_fewer_distinct_vectors_than_codewords_reconstructs_them(z):
    quantizer = ResidualQuantizer((8, 8), 4)
    quantizer.initialize(z, seed=0)
    assert all(book.isfinite().all() for book in quantizer.codebooks)
    close(quantizer.decode(quantizer.encode(z)).detach(), z, 1e-6)
    quantizer.observe(quantizer(z))
    assert int((quantizer.used_0 > 0).sum()) == len(z.unique(dim=0))


def test_encoding_in_chunks_gives_the_same_codes(monkeypatch):
    quantizer, z = random_quantizer(), normal(500, 6)
    whole = quantizer.encode(z)
    monkeypatch.setattr(nearest, "BUDGET", 4 * 22 * 7)  # seven rows at a time
    parts = [len(rows) for _, rows in nearest.chunks(z, 16, z.device)]
    assert len(parts) > 50
    assert torch.equal(quantizer.encode(z), whole)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_encoding_agrees_with_the_forward_pass_but_for_ties(seed):
    quantizer, z = random_quantizer().eval(), normal(200, 6, seed=seed)
    encoded, forward = quantizer.encode(z), quantizer(z).codes
    left, clear = z.double(), torch.ones(len(z), dtype=torch.bool)
    for level, codebook in enumerate(quantizer.codebooks):
        distances = torch.cdist(left, codebook.detach().double()).square()
        two = distances.topk(2, largest=False).values
        clear &= two[:, 1] - two[:, 0] > 1e-4
        code = encoded[:, level].long()
        assert (distances.gather(1, code[:, None])[:, 0] <= two[:, 0] + 1e-5).all()
        left = left - codebook.detach().double()[code]
    assert clear.float().mean() > 0.9
    assert torch.equal(encoded[clear].long(), forward[clear])


def test_one_gemm_finds_the_nearest_codeword():
    """T18."""
    z, words = normal(2000, 32).double(), normal(256, 32, seed=1)
    found = with_codebooks(words).eval()(z).codes[:, 0]
    assert torch.equal(found, torch.cdist(z, words.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(1))


def test_decoding_the_first_levels_sums_their_codewords():
    quantizer = random_quantizer()
    codes = quantizer.encode(normal(50, 6))
    for levels in (1, 2, 3):
        expected = sum(quantizer.codebooks[level][codes[:, level].long()] for level in range(levels))
        torch.testing.assert_close(quantizer.decode(codes[:, :levels]), expected)


def test_codewords_start_from_the_seed_alone():
    before = torch.random.get_rng_state()
    one, same, another = (ResidualQuantizer((4, 4), 3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.codebooks[0], same.codebooks[0]) and not torch.equal(one.codebooks[0], another.codebooks[0])
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("sizes", "options"),
    [
        ((), {}),
        ((4, 0), {}),
        ((4,), {"residual_grad": "some"}),
    ],
)
def test_impossible_settings_are_refused(sizes, options):
    with pytest.raises(ValueError, match=r"must|needs"):
        ResidualQuantizer(sizes, 3, **options)


def test_half_precision_around_it_does_not_change_the_codes():
    quantizer, z = ResidualQuantizer((16, 16), 8, seed=1), torch.randn(64, 8)
    quantizer.initialize(z, 0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = quantizer(z)
    assert torch.equal(mixed.codes, quantizer(z).codes) and mixed.vectors.dtype == torch.float32
