"""The audit measures what it says: brute force for positives, direct calls for resolvers, gradients by hand."""

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError, NotApplicable
from macrec.published.audit import (
    crowded_codes,
    gradient_by_level,
    loss_under_shuffled_labels,
    positive_shares,
    resolvers,
)
from macrec.published.conflicts import resolve_published
from macrec.quantization.conflicts import resolve_conflicts
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.quantization.tuples import errors
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.loss_terms import LossTerm

CONFIG = CrossModalConfig(
    RQVAEConfig(projection=None, hidden=(16,), width=6, sizes=(6, 6, 6)), lambda_con=(0.0, 0.1, 0.1), lambda_align=0.1
)


@pytest.fixture(scope="module")
def batch():
    """60 items whose vectors and labels know four groups; two of them lack a picture."""
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=60)
    x = {
        name: torch.from_numpy((rng.normal(size=(4, dim))[groups] + rng.normal(size=(60, dim))).astype(np.float32))
        for name, dim in (("text", 8), ("image", 5))
    }
    labels = {name: torch.from_numpy(groups.copy()) for name in x}
    labels["image"][[3, 17]] = -1
    x["image"][[3, 17]] = 0
    return x, labels


def of(table, **values):
    return table.filter(*(pl.col(name) == value for name, value in values.items()))


def test_only_the_corrected_term_reaches_the_encoders_from_deeper_levels(batch):
    table = gradient_by_level(*batch, CONFIG)
    assert table.select("form", "level").rows() == [
        (form, level) for form in ("published", "corrected") for level in range(3)
    ]
    deeper = of(table, form="published").filter(pl.col("level") > 0)["gradient"].to_numpy()
    assert (deeper == 0).all()  # exactly: a gradient less itself
    assert (of(table, form="corrected")["gradient"].to_numpy() > 0.01).all()
    # Level 0 is the vector itself in both forms.
    first = of(table, level=0)["gradient"]
    assert first[0] == first[1]


def test_the_gradient_of_a_level_is_that_of_its_term(batch):
    x, labels = batch
    whole = labels["image"] >= 0
    x = {name: rows[whole] for name, rows in x.items()}
    labels = {name: label[whole] for name, label in labels.items()}
    model = CrossModalRQVAE({"text": 8, "image": 5}, CONFIG, seed=4)
    for name in model.modalities:
        model.branch(name).quantizer.initialize(model.branch(name).encoder(x[name]).detach(), 4)
    terms = model.losses(model(x), labels)
    loss = terms[LossTerm("contrastive", "text", 2)] + terms[LossTerm("contrastive", "image", 2)]
    weights = [weight for name in model.modalities for weight in model.branch(name).encoder.parameters()]
    gradients = torch.autograd.grad(loss, weights)
    expected = float(torch.stack([gradient.square().sum() for gradient in gradients]).sum().sqrt())
    found = of(gradient_by_level(*batch, CONFIG, seed=4), form="corrected", level=2)["gradient"][0]
    assert found == pytest.approx(expected, rel=1e-4)


def test_one_level_has_nothing_to_compare(batch):
    single = CrossModalConfig(RQVAEConfig(None, (16,), 6, (6,)), lambda_con=(0.1,))
    with pytest.raises(DataError, match='field "levels": a single level has no residual; give 2 or more'):
        gradient_by_level(*batch, single)


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=60).filter(lambda labels: max(labels) >= 0))
def test_positives_of_a_whole_catalog_agree_with_brute_force(labels):
    found = positive_shares({"text": np.array(labels)}, batch=1000)
    having = [label for label in labels if label >= 0]
    assert found.rows() == [
        ("published", "text", 0.0),
        ("corrected", "text", pytest.approx(np.mean([having.count(label) > 1 for label in having]))),
    ]


def test_positives_are_sought_in_the_batch_and_not_in_the_catalog():
    labels = {"text": np.arange(1000) // 2}  # every item has one other in the catalog
    shares = [of(positive_shares(labels, size), form="corrected")["share"][0] for size in (2, 100, 1000)]
    assert shares[0] < shares[1] < shares[2] == 1
    # Of 99 others in the batch, drawn from 999, one is the partner with probability 99 / 999.
    many = [of(positive_shares(labels, 100, seed), form="corrected")["share"][0] for seed in range(40)]
    assert np.mean(many) == pytest.approx(99 / 999, abs=0.03)


def test_the_published_loss_is_the_same_under_any_shuffle_and_the_corrected_one_is_not(batch):
    table = loss_under_shuffled_labels(*batch, CONFIG, shuffles=5)
    assert table.select("form", "labels").rows() == [
        (form, labels) for form in ("published", "corrected") for labels in ["true"] + ["shuffled"] * 5
    ]
    assert len(set(of(table, form="published")["loss"])) == 1
    corrected = of(table, form="corrected")
    # The vectors know the groups: true labels fit better than any shuffle.
    assert corrected["loss"][0] < of(corrected, labels="shuffled")["loss"].min()
    assert corrected["loss"].n_unique() == 6
    assert table.equals(loss_under_shuffled_labels(*batch, CONFIG, shuffles=5))


def test_the_published_loss_pushes_every_item_from_all_others(batch):
    # By hand: mean over anchors of log Σ_j exp(cos_ij / τ) - 1 / τ, which has no label in it.
    x, labels = batch
    whole = labels["image"] >= 0
    model = CrossModalRQVAE({"text": 8, "image": 5}, CONFIG.published(), seed=0)
    expected = 0.0
    for name in model.modalities:
        z = model.branch(name).encoder(x[name][whole]).detach().double()
        z = z / z.norm(dim=1, keepdim=True)
        scores = z @ z.T / 0.1
        expected += float((scores.exp().sum(1).log() - scores.diagonal()).mean())
    found = of(loss_under_shuffled_labels(*batch, CONFIG, shuffles=1), form="published", labels="true")["loss"][0]
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def crowded():
    """300 vectors with 343 possible codes: most moves meet codes that are taken."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 4)).astype(np.float32)
    fitted = ResidualKMeans((7, 7, 7), seed=0).fit(torch.from_numpy(vectors))
    return fitted.encode(torch.from_numpy(vectors)).numpy(), vectors, [book.numpy() for book in fitted.codebooks]


def test_resolvers_are_what_direct_calls_give(crowded):
    codes, vectors, books = crowded
    table = resolvers(codes, vectors, books)
    ours, report = resolve_conflicts(codes, vectors, books)
    direct = {
        "published, NumPy 2": resolve_published(codes, vectors, books, numpy2_bug=True).codes,
        "published, as meant": resolve_published(codes, vectors, books).codes,
        "least distortion": ours,
    }
    assert table["form"].to_list() == list(direct)
    before = brute_errors(codes, vectors, books)
    for row, resolved in zip(table.iter_rows(named=True), direct.values(), strict=True):
        assert row["left"] == len(resolved) - len(set(map(tuple, resolved.tolist())))
        assert row["moved"] == sum(one != other for one, other in zip(codes.tolist(), resolved.tolist(), strict=True))
        assert row["added"] == pytest.approx((brute_errors(resolved, vectors, books) - before).mean())
    left = dict(table.select("form", "left").rows())
    assert left["least distortion"] == 0 < left["published, NumPy 2"]
    assert of(table, form="least distortion")["added"][0] == pytest.approx(report.added_distortion)


def brute_errors(codes, vectors, books):
    return np.array(
        [
            np.square(vector.astype(float) - sum(book[code] for book, code in zip(books, row, strict=True))).sum()
            for row, vector in zip(codes, vectors, strict=True)
        ]
    )


def test_squared_errors_of_a_toy():
    books = [np.array([[0.0, 0.0], [2.0, 0.0]]), np.array([[0.0, 1.0], [0.0, 3.0]])]
    found = errors(np.array([[1, 0], [0, 1]]), np.array([[2.0, 2.0], [1.0, 1.0]]), books)
    assert found.tolist() == [1.0, 5.0]


@pytest.mark.parametrize("codewords", [0, 1])
def test_a_number_of_codewords_that_codes_nothing_is_named(codewords):
    with pytest.raises(DataError, match='field "crowded"'):
        crowded_codes(np.random.default_rng(0).standard_normal((40, 3)), codewords, 2, 0)


@pytest.mark.parametrize(("items", "copies"), [(24, 1), (8, 1), (6, 4)])
def test_a_small_catalog_gets_the_largest_codebooks_of_one_size_that_it_fills(items, copies):
    vectors = np.repeat(np.random.default_rng(0).standard_normal((items, 30)), copies, axis=0).astype(np.float32)
    codes, books = crowded_codes(vectors, 12, 4, 0)
    [size] = {len(book) for book in books}
    assert 2 <= size < 12 and size**4 >= len(vectors) and len(np.unique(codes, axis=0)) <= items
    larger = ResidualKMeans((size + 1,) * 4, seed=0).fit(torch.from_numpy(vectors))
    assert min(len(book) for book in larger.codebooks) < size + 1
    resolvers(codes, vectors, books)  # which the published procedure needs them for


def test_items_that_cannot_be_told_apart_give_no_codes():
    with pytest.raises(NotApplicable, match="40 items differ too little for 4 levels of codewords; give fewer levels"):
        crowded_codes(np.ones((40, 3), np.float32), 12, 4, 0)


def test_a_single_modality_has_no_contrastive_term_to_look_at():
    x, labels = {"text": torch.randn(6, 4)}, {"text": torch.tensor([0, 0, 1, 1, 2, 2])}
    assert gradient_by_level(x, labels, CONFIG).is_empty()
    assert loss_under_shuffled_labels(x, labels, CONFIG).is_empty()


def test_fewer_ids_than_items_are_refused_and_enough_are_made():
    vectors = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32)
    with pytest.raises(DataError, match="fewer IDs than the 40 items"):
        crowded_codes(vectors, 6, 2, 0)
    codes, books = crowded_codes(vectors, 7, 2, 0)
    assert codes.shape == (40, 2) and [len(book) for book in books] == [7, 7]
