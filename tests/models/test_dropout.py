"""Dropout by random bytes: the rate, the scale and the gradient of PyTorch's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from macrec.models.dropout import Dropout


@given(st.sampled_from([0.1, 0.25, 0.5]), st.lists(st.integers(1, 40), min_size=1, max_size=3), st.integers(0, 99))
def test_a_unit_is_dropped_or_scaled_and_its_gradient_with_it(rate, shape, seed):
    torch.manual_seed(seed)
    x = torch.rand(shape).add_(1).requires_grad_()
    out = Dropout(rate).train()(x)
    scale = 256 / (256 - round(rate * 256))
    kept = out != 0
    torch.testing.assert_close(out, torch.where(kept, x * scale, 0))
    out.backward(torch.ones_like(out))
    torch.testing.assert_close(x.grad, kept * scale)


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_the_share_dropped_is_the_rate_at_every_place_of_a_word(rate):
    torch.manual_seed(0)
    dropped = (Dropout(rate).train()(torch.ones(20_000, 8)) == 0).float()
    assert dropped.mean() == pytest.approx(rate, abs=0.004)
    assert (dropped.mean(0) - rate).abs().max() < 0.012  # no byte of the eight is drawn otherwise
    assert torch.corrcoef(dropped.T).fill_diagonal_(0).abs().max() < 0.03


def test_equal_seeds_drop_the_same_units_and_others_do_not():
    x = torch.ones(1000)
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(Dropout(0.5).train()(x))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_nothing_is_dropped_in_eval_mode_or_at_rate_0():
    x = torch.ones(100)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x
