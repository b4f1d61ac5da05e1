"""Positions of items and slots (T7 of the specification of MSCGRec) in the encoder of the T5."""

from dataclasses import replace

import pytest
import torch

from macrec.errors import DataError
from macrec.models.relative_positions import relative_buckets
from macrec.models.t5 import T5, T5Config
from macrec.models.t5_hugging_face import load_hugging_face, to_hugging_face

SLOTS, ITEMS = 12, 14
CONFIG = replace(T5Config.named("tiny"), num_heads=6, positions="item_slot", slots=SLOTS)


@pytest.fixture(scope="module")
def model():
    return T5(40, CONFIG, 0).eval()


def place(item, slot):
    return item * SLOTS + slot


def test_the_bias_depends_on_the_difference_of_items_and_that_of_slots(model):
    with torch.no_grad():
        bias = model.encoder.bias(place(ITEMS, 0))[0]
    assert torch.equal(bias[:, place(3, 2), place(5, 7)], bias[:, place(10, 0), place(12, 5)])
    # Tokens that follow each other within an item and across the border of two are told apart.
    assert not torch.equal(bias[:, place(0, 11), place(1, 0)], bias[:, place(0, 0), place(0, 1)])
    items = model.encoder.position_bias.weight[relative_buckets(torch.tensor(2), True)]
    slots = model.encoder.slot_bias.weight[5 + SLOTS - 1]
    torch.testing.assert_close(bias[:, place(3, 2), place(5, 7)], items + slots)


def test_it_has_the_parameters_of_the_specification(model):
    tables = (model.encoder.position_bias, model.encoder.slot_bias)
    assert sum(table.weight.numel() for table in tables) == 330  # (32 buckets + 23 slots) · 6 heads
    assert model.decoder.slot_bias is None and T5(40, T5Config.named("tiny")).encoder.slot_bias is None


def test_a_history_that_begins_an_item_later_has_the_same_states(model):
    tokens = torch.randint(2, 40, (2, place(3, 0)), generator=torch.Generator().manual_seed(0))
    shifted = torch.cat([torch.zeros(2, SLOTS, dtype=torch.long), tokens], 1)
    seen = torch.arange(shifted.shape[1]).expand(2, -1) >= SLOTS
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode(shifted, seen)[:, SLOTS:], model.encode(tokens), atol=1e-5, rtol=0
        )  # fmt: skip


def test_left_out_slots_give_the_states_of_a_mask_over_their_keys(model):
    """T8: what is read is the same whether masked tokens are hidden or not written; slots keep their numbers."""
    tokens = torch.randint(2, 40, (2, place(3, 0)), generator=torch.Generator().manual_seed(1))
    slots = torch.tensor([0, 1, 2, 3, 8, 9, 10, 11])  # the second of three IDs is masked
    kept = (torch.arange(tokens.shape[1]) % SLOTS)[:, None].eq(slots).any(1)
    with torch.no_grad():
        hidden = model.encode(tokens, kept.expand(2, -1))[:, kept]
        torch.testing.assert_close(model.encode(tokens[:, kept], None, slots), hidden, atol=1e-5, rtol=0)
        assert not torch.allclose(model.encode(tokens[:, kept], None, torch.arange(8)), hidden, atol=1e-3)


def test_hugging_face_has_no_such_positions(model, tmp_path):
    with pytest.raises(DataError, match='positions of items and slots; train a model with positions "flat"'):
        to_hugging_face(model, tmp_path / "model")
    with pytest.raises(DataError, match="positions of items and slots"):
        load_hugging_face(model, {})
