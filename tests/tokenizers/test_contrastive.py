"""Contrastive terms against the toy values of the specification, written-out loops and their invariants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.tokenizers.contrastive import info_nce, prefix_repulsion, sample_positives, supervised_contrastive

TOY = torch.tensor([[1.0, 0], [0.8, 0.6], [0, 1], [-0.6, 0.8]])
PAIRS = torch.tensor([0, 0, 1, 1])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def loop(x, labels, temperature, self_in_denominator=False):
    """SupCon as it is defined, one logarithm of one probability after the other."""
    x = (x / x.norm(dim=1, keepdim=True)).tolist()
    losses = []
    for i, anchor in enumerate(x):
        weight = [math.exp(sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature) for other in x]
        total = sum(weight) - (0 if self_in_denominator else weight[i])
        same = [j for j in range(len(x)) if j != i and labels[j] == labels[i] and labels[i] >= 0]
        if same:
            losses.append(-sum(math.log(weight[j] / total) for j in same) / len(same))
    return (sum(losses) / len(losses) if losses else 0.0), len(losses) / len(x)


@pytest.mark.parametrize(("temperature", "value"), [(1, 1.152474), (0.1, 2.705514)])
def test_alignment_toy(temperature, value):
    """T3."""
    text, image = torch.tensor([[1, 0], [0.6, 0.8]]), torch.tensor([[0.8, 0.6], [-0.28, 0.96]])
    assert float(info_nce(text, image, temperature)) == pytest.approx(value, abs=1e-5)
    assert float(info_nce(3 * text, image, temperature)) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("temperature", "value"), [(1, 2.152398), (0.1, 5.647674)])
def test_implicit_alignment_toy(temperature, value):
    """T11."""
    a = torch.tensor([[1, 0], [0, 1], [0.6, 0.8]])
    b = torch.tensor([[0.8, 0.6], [0.28, 0.96], [0.96, -0.28]])
    assert float(info_nce(a, b, temperature)) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(
    ("labels", "options", "value", "share"),
    [
        (PAIRS, {"self_in_denominator": True}, 1.113195, 1),
        (PAIRS, {"self_in_denominator": True, "positives": "sampled"}, 1.113195, 1),
        (PAIRS, {}, 0.430190, 1),
        (PAIRS, {"positives": "sampled"}, 0.430190, 1),
        (PAIRS, {"self_in_denominator": True, "positives": "self"}, 0.713195, 1),
        (torch.tensor([0, 0, 0, 1]), {}, 1.162501, 0.75),
    ],
)
def test_contrast_toy(labels, options, value, share):
    """T2. The published form has one positive per anchor, which is the only other row of its label."""
    loss, found = supervised_contrastive(TOY, labels, 0.5, **options)
    assert float(loss) == pytest.approx(value, abs=1e-5)
    assert float(found) == share


@pytest.mark.parametrize(("positives", "own"), [("all", False), ("all", True), ("sampled", False)])
def test_without_two_equal_labels_loss_and_gradient_are_zero(positives, own):
    for labels in (torch.arange(4), torch.tensor([-1, -1, 2, -1])):
        x = TOY.clone().requires_grad_()
        loss, share = supervised_contrastive(x, labels, positives=positives, self_in_denominator=own)
        loss.backward()
        assert loss.item() == 0 and share.item() == 0
        assert torch.equal(x.grad, torch.zeros_like(x))


def test_a_batch_of_one_gives_zero():
    x = torch.ones(1, 3, requires_grad=True)
    loss, share = supervised_contrastive(x, torch.zeros(1, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0 and share.item() == 0 and torch.equal(x.grad, torch.zeros(1, 3))


def test_half_precision_around_it_does_not_change_the_sums():
    x, labels = normal(64, 8).bfloat16().float().requires_grad_(), torch.arange(64) % 9
    outside = supervised_contrastive(x, labels)[0] + info_nce(x, x.flip(0))
    with torch.autocast("cpu", torch.bfloat16):
        inside = supervised_contrastive(x, labels)[0] + info_nce(x, x.flip(0))
    assert inside.dtype == torch.float32 and inside.item() == pytest.approx(outside.item(), rel=1e-6)
    gradients = [torch.autograd.grad(loss, x)[0] for loss in (inside, outside)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)
    half = supervised_contrastive(x.bfloat16(), labels)[0]
    assert half.dtype == torch.float32 and half.item() == pytest.approx(
        supervised_contrastive(x, labels)[0].item(), rel=0.02
    )


batches = st.integers(2, 9).flatmap(
    lambda n: st.tuples(st.lists(st.integers(-1, 3), min_size=n, max_size=n), st.integers(0, 10**6))
)


@settings(max_examples=60)
@given(batches, st.booleans(), st.sampled_from([0.1, 0.5, 2]))
def test_all_positives_equal_the_definition(batch, own, temperature):
    labels, seed = batch
    x = normal(len(labels), 3, seed=seed)
    loss, share = supervised_contrastive(x, torch.tensor(labels), temperature, self_in_denominator=own)
    expected, anchors = loop(x, labels, temperature, own)
    assert float(loss) == pytest.approx(expected, abs=1e-9)
    assert float(share) == pytest.approx(anchors)


@settings(max_examples=30)
@given(batches)
def test_neither_the_order_of_the_rows_nor_the_names_of_the_labels_matter(batch):
    labels, seed = batch
    x, labels = normal(len(labels), 3, seed=seed), torch.tensor(labels)
    order = torch.randperm(len(x), generator=generator(seed))
    renamed = torch.where(labels < 0, labels, (labels * 7919 + 3) % 1000)
    loss = float(supervised_contrastive(x, labels)[0])
    assert float(supervised_contrastive(x[order], labels[order])[0]) == pytest.approx(loss, abs=1e-9)
    assert float(supervised_contrastive(5 * x, renamed.int())[0]) == pytest.approx(loss, abs=1e-9)


repelled = st.integers(1, 12).flatmap(
    lambda rows: st.tuples(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=rows, max_size=rows),
        st.lists(st.integers(-1, 2), min_size=rows, max_size=rows),
    )
)


@given(repelled, st.sampled_from([0.1, 1.0]))
def test_repulsion_within_a_prefix_equals_the_definition(batch, temperature):
    codes, labels = batch
    x = normal(len(labels), 3)
    loss, share = prefix_repulsion(x, torch.tensor(codes), torch.tensor(labels), temperature)
    unit = (x / x.norm(dim=1, keepdim=True)).tolist()
    terms = []
    for i, anchor in enumerate(unit):
        pushed = [
            math.exp(sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature)
            for j, other in enumerate(unit)
            if j != i and codes[i] == codes[j] and (labels[i] != labels[j] or labels[i] < 0)
        ]
        if pushed:
            terms.append(math.log1p(sum(pushed)))
    assert loss.item() == pytest.approx(sum(terms) / max(1, len(terms)))
    assert share.item() == pytest.approx(len(terms) / len(labels))


def test_without_a_code_before_all_rows_share_the_prefix_and_without_a_pair_loss_and_gradient_are_zero():
    x = normal(4, 3).requires_grad_()
    empty = torch.zeros(4, 0, dtype=torch.int64)
    loss, share = prefix_repulsion(x, empty, torch.tensor([0, 1, 2, 3]))
    assert loss > 0 and share == 1
    loss, share = prefix_repulsion(x, empty, torch.tensor([5, 5, 5, 5]))
    loss.backward()
    assert loss == 0 and share == 0 and (x.grad == 0).all()
    for bad in (empty[:3], torch.zeros(4, dtype=torch.int64)):
        with pytest.raises(ValueError, match="codes"):
            prefix_repulsion(x, bad, torch.tensor([0, 1, 2, 3]))


def test_sampling_gives_the_loss_of_all_positives_on_average():
    x, labels = normal(40, 5), torch.arange(40) % 6
    expected = float(supervised_contrastive(x, labels)[0])
    source = generator()
    drawn = [float(supervised_contrastive(x, labels, positives="sampled", generator=source)[0]) for _ in range(2000)]
    assert np.mean(drawn) == pytest.approx(expected, abs=4 * np.std(drawn) / math.sqrt(2000))
    assert np.std(drawn) > 0.05


def test_an_anchor_without_a_positive_may_fall_back_to_itself():
    x, labels = normal(6, 3), torch.tensor([0, 0, 1, 2, 3, -1])
    options = {"positives": "sampled", "self_in_denominator": True}
    loss, share = supervised_contrastive(x, labels, fallback_to_self=True, **options)
    pair, _ = supervised_contrastive(x, labels, **options)
    alone, _ = supervised_contrastive(
        x, torch.tensor([-1, -1, 1, 2, 3, -1]), positives="self", self_in_denominator=True
    )
    assert float(loss) == pytest.approx((2 * float(pair) + 3 * float(alone)) / 5)
    assert float(share) == pytest.approx(5 / 6)
    nowhere, _ = supervised_contrastive(x, torch.arange(6), fallback_to_self=True, **options)
    own, _ = supervised_contrastive(x, PAIRS.repeat(2)[:6], positives="self", self_in_denominator=True)
    assert float(nowhere) == pytest.approx(float(own))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("options", [{}, {"positives": "self", "self_in_denominator": True}])
def test_gradients_equal_finite_differences(normalize, options):
    x = normal(7, 3).requires_grad_()
    labels = torch.tensor([0, 1, 0, 2, 1, 0, -1])
    assert torch.autograd.gradcheck(
        lambda rows: supervised_contrastive(rows, labels, 0.5, normalize=normalize, **options)[0], x
    )
    other = normal(7, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, 0.5, normalize), (x, other))


def test_an_item_without_a_label_repels():
    x, labels = normal(5, 3).requires_grad_(), torch.tensor([0, 0, 1, 1, -1])
    loss, _ = supervised_contrastive(x, labels)
    (gradient,) = torch.autograd.grad(loss, x)
    assert gradient[4].norm() > 1e-3
    assert loss.item() > supervised_contrastive(x[:4], labels[:4])[0].item()


def test_huge_inner_products_do_not_overflow():
    x = (1e8 * normal(16, 4).float()).requires_grad_()
    labels = torch.arange(16) % 4
    for loss in (supervised_contrastive(x, labels, normalize=False)[0], info_nce(x, x.detach().flip(0), 0.1, False)):
        (gradient,) = torch.autograd.grad(loss, x)
        assert torch.isfinite(loss) and torch.isfinite(gradient).all()
    exact = supervised_contrastive(x.detach().double(), labels, normalize=False)[0]
    assert supervised_contrastive(x, labels, normalize=False)[0].item() == pytest.approx(exact.item(), rel=1e-5)


def test_a_long_row_does_not_drown_the_others_of_its_label():
    x = normal(6, 4)
    x[0] *= 1e6
    labels = torch.zeros(6, dtype=torch.int64)
    single, exact = (supervised_contrastive(rows, labels, 1.0, normalize=False)[0] for rows in (x.float(), x))
    assert float(single) == pytest.approx(float(exact), rel=1e-5)


def test_rows_of_zeros_receive_no_gradient_and_others_a_finite_one():
    x = normal(6, 3).float()
    x[[1, 4]] = 0
    x.requires_grad_()
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    for loss in (supervised_contrastive(x, labels)[0], info_nce(x, x.detach().roll(1, 0))):
        (gradient,) = torch.autograd.grad(loss, x)
        assert torch.isfinite(gradient).all() and gradient[0].norm() > 0
        assert torch.equal(gradient[[1, 4]], torch.zeros(2, 3))


def test_a_drawn_positive_is_another_row_with_the_label():
    """T17."""
    labels = torch.tensor([5, 5, 5, 2, 9, 9])
    source = generator()
    draws = torch.stack([sample_positives(labels, source) for _ in range(6000)])
    assert set(draws[:, 0].tolist()) == {1, 2}
    assert abs(int((draws[:, 0] == 1).sum()) - 3000) < 4 * math.sqrt(6000) / 2
    assert set(draws[:, 4].tolist()) == {5} and set(draws[:, 3].tolist()) == {-1}


@settings(max_examples=60)
@given(st.lists(st.integers(-1, 5), max_size=40), st.integers(0, 10**6))
def test_exactly_the_rows_with_a_partner_receive_one(labels, seed):
    chosen = sample_positives(torch.tensor(labels, dtype=torch.int64), generator(seed)).tolist()
    assert chosen == sample_positives(torch.tensor(labels, dtype=torch.int32), generator(seed)).tolist()
    for row, partner in enumerate(chosen):
        others = (
            {j for j, label in enumerate(labels) if label == labels[row] and j != row} if labels[row] >= 0 else set()
        )
        assert partner in others if others else partner == -1


def test_draws_are_uniform_as_those_of_a_loop():
    """T17 at B = 2048: for every anchor each of its positives comes up equally often (a chi-squared statistic)."""
    labels = torch.randint(0, 512, (2048,), generator=generator())
    rounds, source = 400, generator(1)
    counts = torch.zeros(2048, 2048)
    for _ in range(rounds):
        chosen = sample_positives(labels, source)
        valid = chosen >= 0
        counts[valid.nonzero().flatten(), chosen[valid]] += 1
    same = (labels[:, None] == labels) & ~torch.eye(2048, dtype=torch.bool)
    assert torch.equal(same.any(1), counts.any(1)) and not counts[~same].any()
    expected = (rounds / same.sum(1).clamp(min=1))[:, None].expand_as(counts)
    freedom = int((same.sum(1) - 1).clamp(min=0).sum())
    statistic = float(((counts - expected)[same].square() / expected[same]).sum())
    assert abs(statistic - freedom) < 5 * math.sqrt(2 * freedom)


def test_a_seed_fixes_the_draws():
    labels = torch.arange(100) % 7
    first, again, other = (sample_positives(labels, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "call",
    [
        lambda: info_nce(TOY, TOY[:3]),
        lambda: info_nce(TOY[:0], TOY[:0]),
        lambda: info_nce(TOY, TOY, temperature=0),
        lambda: supervised_contrastive(TOY, PAIRS[:3]),
        lambda: supervised_contrastive(TOY[:0], PAIRS[:0]),
        lambda: supervised_contrastive(TOY, PAIRS, -1),
        lambda: supervised_contrastive(TOY, PAIRS, positives="some"),
        lambda: supervised_contrastive(TOY, PAIRS, positives="self"),
        lambda: supervised_contrastive(TOY, PAIRS, fallback_to_self=True, self_in_denominator=True),
    ],
)
def test_what_does_not_fit_is_said(call):
    with pytest.raises(ValueError, match=r"must|belongs|only"):
        call()
