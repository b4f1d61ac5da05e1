"""Residual k-means: what each rule leaves over, and that codes decode to the sum of their codewords."""

import numpy as np
import pytest
import torch

from macrec.errors import DataError
from macrec.quantization import nearest as module
from macrec.quantization.kmeans import kmeans
from macrec.quantization.residual_kmeans import ResidualKMeans

RULES = [(metric, residual) for metric in ("l2", "cosine") for residual in ("subtract", "project")]


def vectors(n=600, d=12, groups=20):
    """Clustered vectors, as those of items are."""
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(groups, d, generator=generator)
    return centers[torch.arange(n) % groups] + 0.5 * torch.randn(n, d, generator=generator)


def test_plain_residual_kmeans_is_kmeans_of_the_residuals():
    x = vectors()
    fitted = ResidualKMeans((9, 7), seed=3).fit(x)
    first = kmeans(x, 9, 3)
    second = kmeans(x - first.centroids[first.labels], 7, 4)
    assert torch.equal(fitted.codebooks[0], first.centroids) and torch.equal(fitted.codebooks[1], second.centroids)
    assert torch.equal(fitted.encode(x), torch.stack([first.labels, second.labels], 1))


def test_reconstruction_error_falls_with_every_level():
    x = vectors()
    fitted = ResidualKMeans((16, 8, 8, 8)).fit(x)
    codes = fitted.encode(x)
    errors = [float((x - fitted.decode(codes[:, :levels])).square().sum()) for levels in range(1, 5)]
    assert (np.diff([float(x.square().sum()), *errors]) < 0).all()


@pytest.mark.parametrize(("metric", "residual"), RULES)
def test_decoding_adds_the_chosen_codewords(metric, residual):
    x = vectors()
    fitted = ResidualKMeans((8, 6, 4), metric, residual).fit(x)
    codes = fitted.encode(x)
    assert codes.dtype == torch.int32 and codes.shape == (600, 3)
    expected = sum(book[column.long()] for book, column in zip(fitted.codebooks, codes.T, strict=True))
    torch.testing.assert_close(fitted.decode(codes), expected)
    assert [len(book) for book in fitted.codebooks] == [8, 6, 4]


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_projection_leaves_residuals_orthogonal_and_never_longer(metric):
    x = vectors()
    fitted = ResidualKMeans((8, 8, 8), metric, "project").fit(x)
    codes, factors = fitted.encode_with_coefficients(x)
    left = x.double()
    for level, book in enumerate(fitted.codebooks):
        chosen = book[codes[:, level].long()].double()
        cosine = torch.cosine_similarity(left, chosen)
        after = x.double() - fitted.decode(codes[:, : level + 1], factors[:, : level + 1])
        torch.testing.assert_close(after.square().sum(1), left.square().sum(1) * (1 - cosine**2), rtol=1e-4, atol=1e-4)
        assert torch.cosine_similarity(after, chosen).abs().max() < 1e-4
        if metric == "cosine":  # the choice is the most similar direction
            best = torch.cosine_similarity(left[:, None], book.double()[None], dim=2).max(1).values
            torch.testing.assert_close(cosine, best, rtol=0, atol=1e-5)
        left = after


def test_stored_coefficients_decode_closer_than_codes_alone():
    x = vectors()
    fitted = ResidualKMeans((16, 16, 16), "cosine", "project").fit(x)
    codes, factors = fitted.encode_with_coefficients(x)
    alone, stored = ((x - decoded).norm() for decoded in (fitted.decode(codes), fitted.decode(codes, factors)))
    assert stored < alone < x.norm()


def test_a_cosine_codeword_is_as_long_as_its_rows_project_on_average():
    x = torch.tensor([[2.0, 0], [4, 0], [0, 3], [0, 9], [0, 6]])
    fitted = ResidualKMeans((2,), "cosine").fit(x)
    found = sorted(map(tuple, fitted.codebooks[0].tolist()))
    np.testing.assert_allclose(found, [(0, 6), (3, 0)], atol=1e-6)


@pytest.mark.parametrize(("metric", "residual"), RULES)
def test_chunks_change_nothing(metric, residual, monkeypatch):
    x = vectors()
    whole = ResidualKMeans((16, 8), metric, residual).fit(x)
    codes, factors = whole.encode_with_coefficients(x)
    monkeypatch.setattr(module, "BUDGET", 4 * 40 * 37)
    chunked = ResidualKMeans((16, 8), metric, residual).fit(x)
    for one, other in zip(whole.codebooks, chunked.codebooks, strict=True):
        assert torch.equal(one, other)
    for one, other in zip((codes, factors), whole.encode_with_coefficients(x.numpy()), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(torch.cat([whole.encode(rows) for rows in x.split(1)]), codes)


def test_the_seed_decides():
    x = vectors()
    first, again, other = (ResidualKMeans((8, 8), seed=seed).fit(x).encode(x) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_balanced_levels_spread_the_codes_more_evenly():
    x = vectors(600, groups=3) * torch.logspace(0, 1, 600)[:, None]
    largest = [
        int(torch.bincount(ResidualKMeans((16,), balanced=balanced).fit(x).encode(x)[:, 0]).max())
        for balanced in (False, True)
    ]
    assert largest[1] < largest[0]


@pytest.mark.parametrize(("metric", "residual"), RULES)
def test_levels_with_nothing_left_over_have_one_codeword_of_next_to_no_length(metric, residual):
    x = torch.eye(4)[torch.arange(20) % 4] * 3
    fitted = ResidualKMeans((4, 4), metric, residual).fit(x)
    assert len(fitted.codebooks[1]) == 1
    torch.testing.assert_close(fitted.decode(fitted.encode(x)), x)


def test_bad_input_is_refused():
    x = vectors(30)
    for sizes in ((), (4, 0)):
        with pytest.raises(ValueError, match="sizes must name at least one level"):
            ResidualKMeans(sizes)
    with pytest.raises(ValueError, match="known are metric"):
        ResidualKMeans(metric="dot")
    with pytest.raises(ValueError, match="k must be from 1 to 30"):
        ResidualKMeans((4, 31)).fit(x)
    with pytest.raises(ValueError, match=r"x must be \[N, d\]"):
        ResidualKMeans((4,)).fit(x[0])
    with pytest.raises(ValueError, match="call fit first"):
        ResidualKMeans().encode(x)
    fitted = ResidualKMeans((4, 4)).fit(x)
    with pytest.raises(ValueError, match=r"x must be \[n, 12\]"):
        fitted.encode(x[:, :3])
    with pytest.raises(ValueError, match="codes of level 1 must be from 0 to 3"):
        fitted.decode(torch.tensor([[0, 4]]))
    with pytest.raises(ValueError, match="coefficients must be"):
        fitted.decode(torch.tensor([[0, 1]]), torch.ones(1, 1))
    x[17, 2] = torch.nan
    for call in (fitted.encode, ResidualKMeans((4,), "cosine").fit):
        with pytest.raises(DataError, match="row 18"):
            call(x)
