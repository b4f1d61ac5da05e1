"""Product quantization: orthogonal rotation, groups that do not depend on each other, and the error of faiss."""

import numpy as np
import pytest
import torch

from macrec.errors import DataError
from macrec.quantization.product import ProductQuantizer, balanced_components


def vectors(n=1500, d=16, seed=0):
    """Correlated vectors: what a rotation is for."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((d, d)) * np.geomspace(1, 0.05, d)
    return torch.from_numpy((rng.standard_normal((n, d)) @ mixing.T).astype(np.float32))


def error(quantizer, x):
    return float((quantizer.reconstruct(x) - x).square().sum(1).mean())


def test_codes_stand_for_sums_of_codewords_in_the_space_of_the_vectors():
    x = vectors()
    fitted = ProductQuantizer((8, 4, 16), seed=1, iterations=5).fit(x)
    eye = fitted.rotation @ fitted.rotation.T
    torch.testing.assert_close(eye, torch.eye(16), atol=1e-4, rtol=0)
    codes = fitted.encode(x)
    assert codes.dtype == torch.int32 and codes.max(0).values.tolist() == [7, 3, 15]
    total = sum(book[codes[:, group].long()] for group, book in enumerate(fitted.codebooks))
    torch.testing.assert_close(fitted.decode(codes), total, atol=1e-4, rtol=0)
    assert torch.equal(fitted.encode(fitted.decode(codes)), codes)
    # The nearest of all combinations: no other codeword of any group brings a vector nearer.
    for group, book in enumerate(fitted.codebooks):
        rest = x - total + book[codes[:, group].long()]
        assert torch.equal(torch.cdist(rest.double(), book.double()).argmin(1), codes[:, group].long())


def test_without_rotation_the_columns_of_one_group_change_only_its_codes():
    x = vectors()
    fitted = ProductQuantizer((8, 8), rotate=False).fit(x)
    other = x.clone()
    other[:, 8:] += 1
    assert torch.equal(fitted.encode(other)[:, 0], fitted.encode(x)[:, 0])
    assert not torch.equal(fitted.encode(other)[:, 1], fitted.encode(x)[:, 1])


def test_a_rotation_makes_the_error_of_correlated_vectors_smaller():
    x = vectors()
    assert error(ProductQuantizer((16,) * 4).fit(x), x) < 0.9 * error(
        ProductQuantizer((16,) * 4, rotate=False).fit(x), x
    )


def test_components_are_dealt_out_so_that_groups_have_equal_products():
    x = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 4.0, 2.0, 1.0])
    directions = balanced_components(x, [2, 2])
    assert directions.abs().argmax(0).sort().values.tolist() == [0, 1, 2, 3]
    assert {frozenset(part.abs().argmax(0).tolist()) for part in torch.split(directions, 2, 1)} == {
        frozenset({0, 3}), frozenset({1, 2})
    }  # fmt: skip


def test_the_error_is_that_of_faiss():
    faiss = pytest.importorskip("faiss")
    x = vectors()
    matrix = faiss.OPQMatrix(16, 4)
    matrix.niter = 50
    matrix.verbose = False
    matrix.pq = faiss.ProductQuantizer(16, 4, 4)
    matrix.train(x.numpy())
    rotated = matrix.apply_py(x.numpy())
    plain = faiss.ProductQuantizer(16, 4, 4)
    plain.train(rotated)
    theirs = float(((plain.decode(plain.compute_codes(rotated)) - rotated) ** 2).sum(1).mean())
    assert error(ProductQuantizer((16,) * 4).fit(x), x) < 1.05 * theirs
    unrotated = faiss.ProductQuantizer(16, 4, 4)
    unrotated.train(x.numpy())
    theirs = float(((unrotated.decode(unrotated.compute_codes(x.numpy())) - x.numpy()) ** 2).sum(1).mean())
    assert error(ProductQuantizer((16,) * 4, rotate=False).fit(x), x) == pytest.approx(theirs, rel=0.05)


def test_the_seed_decides_and_what_was_fitted_can_be_restored():
    x = vectors(300)
    one, same = (ProductQuantizer((8, 8), seed=3, iterations=4).fit(x) for _ in range(2))
    assert torch.equal(one.encode(x), same.encode(x))
    again = ProductQuantizer((8, 8)).restore(one.tensors())
    assert torch.equal(again.encode(x), one.encode(x)) and torch.equal(again.reconstruct(x), one.reconstruct(x))


def test_more_groups_than_dimensions_are_refused():
    with pytest.raises(DataError, match="2 dimensions cannot be divided into 3 groups"):
        ProductQuantizer((4, 4, 4)).fit(torch.zeros(9, 2))
