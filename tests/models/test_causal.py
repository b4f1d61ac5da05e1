import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from macrec.models.causal import CausalConfig, CausalTransformer
from macrec.models.code_heads import CodeHeads

CONFIG = CausalConfig(width=16, heads=2, layers=2, feed_forward=32, dropout=0.0)


def network(**changes):
    model = CausalTransformer(CONFIG, torch.Generator().manual_seed(3)).eval()
    with torch.no_grad():
        for block in model.blocks:
            block.distance_bias.normal_(generator=torch.Generator().manual_seed(1))
    return model


def states(model, x, lengths=None):
    """The states `[B, T, width]` of inputs `x` `[B, T, width]` of these lengths (default: all T); 0 elsewhere."""
    inside = torch.arange(x.shape[1]) < torch.tensor([x.shape[1]] * len(x) if lengths is None else lengths)[:, None]
    matrix = torch.zeros_like(x)
    matrix[inside] = model(x[inside], inside)
    return matrix


def inputs(rows=3, length=7, seed=0):
    return torch.randn(rows, length, 16, generator=torch.Generator().manual_seed(seed))


def test_no_later_place_moves_an_earlier_state_by_a_bit():
    model, x = network(), inputs()
    changed = x.clone()
    changed[:, 4:] = inputs(seed=9)[:, 4:]
    assert torch.equal(states(model, x)[:, :4], states(model, changed)[:, :4])
    assert not torch.allclose(states(model, x)[:, 4], states(model, changed)[:, 4])


def test_a_state_equals_that_of_a_pass_over_the_places_up_to_it():
    model, x = network(), inputs()
    whole = states(model, x)
    for place in range(x.shape[1]):
        torch.testing.assert_close(states(model, x[:, : place + 1])[:, -1], whole[:, place], rtol=0, atol=1e-6)


@given(st.lists(st.integers(0, 7), min_size=3, max_size=3).filter(any))
def test_a_state_is_the_same_whether_the_padding_is_computed_or_left_out(lengths):
    model, x = network(), inputs()
    packed, padded = states(model, x[:, : max(lengths)], lengths), states(model, x)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(packed[row, :length], padded[row, :length], rtol=0, atol=1e-5)


def test_order_and_distance_matter():
    model, x = network(), inputs()
    swapped = x[:, [1, 0, 2, 3, 4, 5, 6]]
    assert not torch.allclose(states(model, x)[:, -1], states(model, swapped)[:, -1], atol=1e-4)


def test_the_same_seed_gives_the_same_weights_and_shapes_that_cannot_be_are_refused():
    one, two = (CausalTransformer(CONFIG, torch.Generator().manual_seed(5)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    for bad in ({"width": 15}, {"layers": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            CausalConfig(**bad)


def heads_and_inputs(seed=0):
    """Heads of slots (3, 2), drawn anew, states `[4, 8]`, prefixes `[4, 8]` and a codebook `[5, 8]`."""
    generator = torch.Generator().manual_seed(seed)
    heads = CodeHeads((3, 2), codewords=5, width=8, hidden=6, generator=generator)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.normal_(generator=generator)
    return heads, *(torch.randn(shape, generator=generator) for shape in ((4, 8), (4, 8), (5, 8)))


@pytest.mark.parametrize("number", range(5))
def test_the_logits_of_a_slot_are_those_of_the_formula_written_out(number):
    heads, states, prefixes, codebook = heads_and_inputs()
    given = heads.slots()[number].logits(states, prefixes, codebook)
    bias = heads.bias[number]
    for row, (h, p) in enumerate(zip(states, prefixes, strict=True)):
        linear = h @ heads.of_state[number, :, :8] + p @ heads.of_prefix[number, :, :8] + bias[:8]
        hidden = h @ heads.of_state[number, :, 8:] + p @ heads.of_prefix[number, :, 8:] + bias[8:]
        query = linear + torch.nn.functional.gelu(hidden) @ heads.out[number]
        for code in range(5):
            expected = query @ codebook[code] + heads.code_bias[number, code]
            torch.testing.assert_close(given[row, code], expected, rtol=1e-4, atol=1e-4)


def test_prefixes_broadcast_against_states_and_none_is_the_empty_prefix():
    heads, states, prefixes, codebook = heads_and_inputs()
    slot = heads.slots()[1]
    each = slot.logits(states[:, None], prefixes[None], codebook)
    for row in range(4):
        for number in range(4):
            alone = slot.logits(states[row], prefixes[number], codebook)
            torch.testing.assert_close(each[row, number], alone, rtol=1e-5, atol=1e-5)
    empty = slot.logits(states, torch.zeros(4, 8), codebook)
    torch.testing.assert_close(slot.logits(states, None, codebook), empty, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(slot.logits(states, prefixes, codebook), empty)
