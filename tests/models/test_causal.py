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


def test_writing_step_by_step_equals_the_pass_with_all_codes_given():
    generator = torch.Generator().manual_seed(0)
    heads = CodeHeads((3, 2), codewords=5, width=8, hidden=6, generator=generator)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.normal_(generator=generator)
    books = torch.randn(5, 5, 8, generator=generator)  # five slots of five codewords
    states, codes = torch.randn(4, 8, generator=generator), torch.randint(5, (4, 5), generator=generator)
    words = books[torch.arange(5), codes]
    given = heads(states, words, books)
    for first, count in zip(heads.first, heads.levels, strict=True):
        prefix = torch.zeros(4, 1, 8)
        for slot in range(first, first + count):
            stepped = heads.slot(slot, states, prefix, books[slot])
            torch.testing.assert_close(stepped[:, 0], given[slot], rtol=1e-5, atol=1e-5)
            prefix = prefix + words[:, slot : slot + 1]


def test_a_slot_sees_the_codes_before_it_and_no_other():
    generator = torch.Generator().manual_seed(0)
    heads = CodeHeads((2, 2), codewords=3, width=4, hidden=3, generator=generator)
    books, states = torch.randn(4, 3, 4, generator=generator), torch.randn(1, 4, generator=generator)
    words = torch.randn(1, 4, 4, generator=generator)
    before = heads(states, words, books)
    for changed, moved in ((0, {1}), (1, set()), (2, {3}), (3, set())):
        other = words.clone()
        other[:, changed] += 1
        after = heads(states, other, books)
        assert {slot for slot in range(4) if not torch.equal(before[slot], after[slot])} == moved
