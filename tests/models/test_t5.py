"""The transformer: equal to Hugging Face T5, blind to padding and to the future, the same with and without a cache."""

import json
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy, dropout

from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError
from macrec.models.dropout import Dropout
from macrec.models.kv_cache import KVCache
from macrec.models.relative_positions import position_buckets, relative_buckets
from macrec.models.t5 import T5, T5Config
from macrec.models.t5_hugging_face import load_hugging_face, to_hugging_face
from macrec.quantization.vocabulary import PAD

TOKENS = 40
TINY = T5Config.named("tiny")
UNTIED = replace(TINY, num_layers=1, num_decoder_layers=3, tie_word_embeddings=False)
# Distances at which T14 of the specification gives the bucket.
BIDIRECTIONAL = {
    -130: 15, -128: 15, -64: 14, -32: 12, -16: 10, -8: 8, -7: 7, -1: 1, 0: 0,
    1: 17, 7: 23, 8: 24, 16: 26, 32: 28, 64: 30, 100: 31, 128: 31,
}  # fmt: skip
CAUSAL = {-128: 31, -100: 30, -64: 26, -32: 21, -16: 16, -8: 8, -1: 1, 0: 0, 1: 0, 50: 0, 200: 0}


@pytest.fixture(scope="module")
def transformers():
    import_torchvision()
    return pytest.importorskip("transformers")


def randint(*shape, seed=0):
    return torch.randint(2, TOKENS, shape, generator=torch.Generator().manual_seed(seed))


def batch(users=3, source=9, target=5, seed=0):
    """Histories of random length, padded on the right, and targets."""
    lengths = torch.randint(1, source + 1, (users, 1), generator=torch.Generator().manual_seed(seed + 1))
    mask = torch.arange(source) < lengths
    return randint(users, source, seed=seed).where(mask, PAD), mask, randint(users, target, seed=seed + 2)


def tiny(seed=0, config=TINY):
    return T5(TOKENS, config, seed).eval()


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def assert_close(one, other, tolerance=1e-5):
    torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def test_paper_size_has_the_parameters_of_the_specification():
    model = T5(2066, T5Config.named("paper"))
    assert count(model) == 4_724_096
    assert (count(model.encoder), count(model.decoder)) == (1_836_352, 2_623_296)
    assert count(T5(34_148, T5Config.named("paper"))) == 8_830_592


def test_initial_weights_have_the_deviations_of_the_specification():
    expected = {
        "query": 0.01105, "key_value": 0.08839, "output": 0.05103, "wide": 0.08839, "narrow": 0.03125,
        "embedding": 1.0, "position_bias": 0.08839,
    }  # fmt: skip
    model = T5(2066, T5Config.named("paper"))
    seen = set()
    for name, weight in model.named_parameters():
        part = name.split(".")[-2]
        seen.add(part)
        if part == "norm":
            assert (weight == 1).all()
        else:  # the two tables of the position bias have only 192 numbers each
            assert weight.std().item() == pytest.approx(expected[part], rel=0.2 if part == "position_bias" else 0.05)
            assert abs(weight.mean().item()) < 4 * expected[part] / weight.numel() ** 0.5
    assert seen == {*expected, "norm"}
    assert model.embedding.weight.norm(dim=1).mean().item() == pytest.approx(11.3, abs=0.1)


def test_position_bias_is_drawn_with_the_deviation_of_the_specification():
    config = T5Config.named("paper")
    tables = [T5(10, replace(config, num_layers=1, num_decoder_layers=1), seed) for seed in range(20)]
    drawn = torch.cat([stack.position_bias.weight for model in tables for stack in (model.encoder, model.decoder)])
    assert drawn.std().item() == pytest.approx(128**-0.5, rel=0.05)


def test_a_seed_gives_one_model_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    one, again, other = T5(TOKENS, TINY, 1), T5(TOKENS, TINY, 1), T5(TOKENS, TINY, 2)
    assert torch.equal(before, torch.get_rng_state())
    for name, weight in one.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
        assert "norm" in name or not torch.equal(weight, other.state_dict()[name])
    larger = T5(TOKENS + 1, TINY, 1)
    assert torch.equal(
        one.decoder.layers[1].feed_forward.wide.weight, larger.decoder.layers[1].feed_forward.wide.weight
    )


def test_initial_logits_are_of_unit_size_tied_or_not():
    for config in (TINY, UNTIED):
        logits = tiny(config=config)(*batch(users=50))
        assert 0.8 < logits.std().item() < 1.25


@pytest.mark.parametrize(("bidirectional", "expected"), [(True, BIDIRECTIONAL), (False, CAUSAL)])
def test_relative_buckets_of_the_specification(bidirectional, expected):
    found = relative_buckets(torch.tensor(list(expected)), bidirectional)
    assert found.tolist() == list(expected.values())


@pytest.mark.slow
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize(("buckets", "distance"), [(32, 128), (16, 64), (8, 20)])
def test_relative_buckets_are_those_of_hugging_face(transformers, bidirectional, buckets, distance):
    distances = torch.arange(-400, 401)
    theirs = transformers.models.t5.modeling_t5.T5Attention._relative_position_bucket
    expected = theirs(distances, bidirectional, buckets, distance)
    assert torch.equal(relative_buckets(distances, bidirectional, buckets, distance), expected)


def hugging_face(transformers, **options):
    """A small random T5 of Hugging Face whose weights, norms and all, are none that a fresh model has."""
    shape = {"d_model": 32, "num_heads": 2, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2}
    config = transformers.T5Config(vocab_size=TOKENS, decoder_start_token_id=PAD, **(shape | options))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(5)
        model = transformers.T5ForConditionalGeneration(config).eval()
        for parameter in model.parameters():
            parameter.copy_(parameter.mean() + 0.3 * torch.randn(parameter.shape))
    return model


@torch.no_grad()
@pytest.mark.parametrize("layers", [(2, 2), (1, 3)])
def test_the_weights_of_hugging_face_give_its_logits(transformers, layers):
    theirs = hugging_face(transformers, num_layers=layers[0], num_decoder_layers=layers[1])
    ours = tiny(config=replace(TINY, num_layers=layers[0], num_decoder_layers=layers[1]))
    source, mask, target = batch(users=6, source=150)  # beyond the largest distance of the buckets
    expected = theirs(input_ids=source, attention_mask=mask.long(), labels=target).logits
    assert not torch.allclose(ours(source, mask, target), expected, atol=1e-2)
    load_hugging_face(ours, theirs)
    assert_close(ours(source, mask, target), expected, 1e-4)
    from_dict = tiny(config=ours.config)
    load_hugging_face(from_dict, theirs.state_dict())
    assert torch.equal(from_dict(source, mask, target), ours(source, mask, target))


def test_training_drops_the_units_and_gives_the_gradients_of_hugging_face(transformers, monkeypatch):
    monkeypatch.setattr(Dropout, "forward", lambda self, x: dropout(x, self.rate, self.training))  # their draws
    theirs = hugging_face(transformers, attn_implementation="sdpa").train()
    ours = tiny().train()
    load_hugging_face(ours, theirs)
    source, mask, target = batch(users=6)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss = theirs(input_ids=source, attention_mask=mask.long(), labels=target).loss
        torch.manual_seed(0)
        logits = ours(source, mask, target)
    own = cross_entropy(logits.flatten(0, 1), target.flatten())
    assert_close(own, loss)
    loss.backward()
    own.backward()
    own_bias = ours.encoder.position_bias.weight.grad
    bias = theirs.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight.grad
    for found, expected in ((ours.embedding.weight.grad, theirs.shared.weight.grad), (own_bias, bias)):
        # Rounding follows the order of sums, and with it the threads; in float64 theirs still norms in float32.
        scale = expected.abs().max()
        assert_close(found / scale, expected / scale, 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, UNTIED], ids=["tied", "untied"])
def test_hugging_face_loads_what_we_write(transformers, tmp_path, config):
    ours = tiny(3, config)
    to_hugging_face(ours, tmp_path / "model")
    load = transformers.T5ForConditionalGeneration.from_pretrained
    theirs, info = load(tmp_path / "model", output_loading_info=True)
    assert not any(info.values())
    source, mask, target = batch()
    expected = theirs.eval()(input_ids=source, attention_mask=mask.long(), labels=target).logits
    assert_close(ours(source, mask, target), expected, 1e-4)
    back = tiny(4, config)
    load_hugging_face(back, theirs)
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, back.state_dict()[name])
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        ".macrec",
        "config.json",
        "model.safetensors",
    ]
    assert json.loads((tmp_path / "model" / "config.json").read_text())["vocab_size"] == TOKENS


def test_weights_of_another_shape_are_refused_and_change_nothing(transformers):
    theirs = hugging_face(transformers)
    wrong = {
        r"lack decoder.block.2.layer.0": replace(TINY, num_decoder_layers=3),
        r"no place for encoder.block.1.layer.0": replace(TINY, num_layers=1),
        r"wi.weight: \[64, 32\] where the model has \[32, 32\]": replace(TINY, d_ff=32),
    }
    for message, config in wrong.items():
        model = tiny(config=config)
        before = {name: weight.clone() for name, weight in model.state_dict().items()}
        with pytest.raises(DataError, match=message):
            load_hugging_face(model, theirs.state_dict())
        assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    untied = theirs.state_dict() | {"lm_head.weight": torch.zeros(TOKENS, 32)}
    with pytest.raises(DataError, match=r"no place for lm_head.weight"):
        load_hugging_face(tiny(), untied)
    gated = hugging_face(transformers, feed_forward_proj="gated-gelu")
    with pytest.raises(DataError, match=r"lack .*wi.weight"):
        load_hugging_face(tiny(), gated)
    with pytest.raises(DataError, match="max_distance is 128 there and 64 here"):  # which no shape would show
        load_hugging_face(tiny(config=replace(TINY, relative_attention_max_distance=64)), theirs)


@torch.no_grad()
def test_padding_changes_no_logits_on_either_side():
    model = tiny()
    source, target = randint(4, 7), randint(4, 5, seed=1)
    alone = model(source, None, target)
    everything = torch.ones(4, 7, dtype=torch.bool)
    assert_close(model(source, everything, target), alone)
    rubbish, nothing = randint(4, 6, seed=2), torch.zeros(4, 6, dtype=torch.bool)
    after = model(torch.cat([source, rubbish], 1), torch.cat([everything, nothing], 1), target)
    before = model(torch.cat([rubbish, source], 1), torch.cat([nothing, everything], 1), target)
    assert_close(after, alone)
    assert_close(before, alone)  # only differences of places count
    assert not torch.allclose(model(torch.cat([source, rubbish], 1), None, target), alone, atol=1e-3)


def test_a_history_of_nothing_but_padding_gives_finite_logits_and_gradients():
    model = T5(TOKENS, TINY).train()
    source, _, target = batch()
    mask = torch.ones_like(source, dtype=torch.bool)
    mask[1] = False
    logits = model(source, mask, target)
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@torch.no_grad()
def test_attention_that_may_see_nothing_reads_zeros():
    model = tiny()
    source, _, target = batch()
    nothing = torch.zeros_like(source, dtype=torch.bool)
    attention = model.encoder.layers[0].self_attention
    x = model.embedding(source)
    hidden = torch.full((1, 1, 1, source.shape[1]), -torch.inf)
    assert (attention(x, attention.keys_values(x), hidden) == 0).all()
    # So the logits cannot depend on what the source holds, nor on how long it is.
    logits = model(source, nothing, target)
    assert_close(logits, model(randint(3, 9, seed=8), nothing, target))
    assert_close(logits, model(source[:, :4], nothing[:, :4], target))


@torch.no_grad()
@given(st.integers(0, 4), st.integers(2, TOKENS - 1))
@settings(max_examples=20)
def test_logits_do_not_depend_on_their_token_or_later_ones(place, token):
    model = tiny()
    source, mask, target = batch()
    changed = target.clone()
    changed[:, place] = (target[:, place] + token - 1) % TOKENS
    one, other = model(source, mask, target), model(source, mask, changed)
    assert_close(one[:, : place + 1], other[:, : place + 1])
    if place < 4:
        assert (one[:, place + 1 :] - other[:, place + 1 :]).abs().amax(-1).min() > 1e-6


@torch.no_grad()
def test_the_encoder_sees_both_ways_and_tells_orders_apart():
    model = tiny()
    source = randint(1, 6)
    memory = model.encode(source)
    for place in (0, 5):
        changed = source.clone()
        changed[:, place] = 1
        assert ((model.encode(changed) - memory).abs().amax(-1) > 1e-6).all()
    assert (model.encode(source.flip(1)).flip(1) - memory).abs().max() > 1e-3


@torch.no_grad()
def test_the_decoder_starts_from_padding():
    model = tiny()
    source, mask, target = batch()
    memory = model.encode(source, mask)
    start = model.decoder(model.embedding(torch.full((3, 1), PAD)), None, memory, mask)
    assert_close(model.decode(memory, mask, target)[:, :1], start)


def test_every_weight_gets_a_gradient():
    for config in (TINY, UNTIED):
        model = tiny(config=config)
        source, mask, target = batch(users=40)
        cross_entropy(model(source, mask, target).flatten(0, 1), target.flatten()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_dropout_only_in_training():
    model = tiny()
    arguments = batch()
    assert torch.equal(model(*arguments), model(*arguments))
    model.train()
    assert not torch.allclose(model(*arguments), model(*arguments), atol=1e-3)
    still = T5(TOKENS, replace(TINY, dropout_rate=0.0)).train()
    assert torch.equal(still(*arguments), still(*arguments))


@torch.no_grad()
def test_large_states_stay_finite():
    model = tiny()
    model.embedding.weight *= 1e6
    assert model.encode(randint(3, 9)).isfinite().all()
    model.embedding.weight.zero_()
    assert model(*batch()).isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, UNTIED], ids=["tied", "untied"])
def test_columns_are_columns_of_all_logits(config):
    model = tiny(config=config)
    source, mask, target = batch()
    every = model(source, mask, target)
    assert every.shape == (3, 5, TOKENS)
    assert_close(model(source, mask, target, slice(7, 15)), every[..., 7:15])
    decoding, memory = KVCache(model), model.encode(source, mask)
    assert_close(decoding.start(memory, mask, slice(7, 15)), every[:, :1, 7:15])
    first = torch.zeros(3, 1, dtype=torch.int64)
    assert_close(decoding.advance(first, target[:, :1], slice(0, 3)), every[:, 1:2, :3], 1e-4)


@torch.no_grad()
@given(st.integers(0, 10**6), st.lists(st.integers(1, 6), min_size=1, max_size=5), st.booleans(), st.booleans())
@settings(max_examples=25)
def test_decoding_with_the_cache_equals_decoding_without(seed, widths, masked, deep):
    """Beams that branch, die and change their number from step to step, against whole sequences given at once."""
    model = tiny(seed % 3, UNTIED if deep else TINY)
    generator = torch.Generator().manual_seed(seed)
    users = 3
    source, mask, _ = batch(users, seed=seed)
    mask = mask if masked else None
    memory = model.encode(source, mask)
    decoding = KVCache(model)
    prefixes = torch.empty(users, 1, 0, dtype=torch.int64)
    found = decoding.start(memory, mask)
    for width in [*widths, None]:
        flat = prefixes.flatten(0, 1)
        beams = prefixes.shape[1]
        unread = torch.cat([flat, flat.new_full((len(flat), 1), PAD)], 1)  # its last token is never read
        repeated = memory.repeat_interleave(beams, 0), None if mask is None else mask.repeat_interleave(beams, 0)
        expected = model.logits(model.decode(*repeated, unread)[:, -1]).view(users, beams, TOKENS)
        assert_close(found, expected, 1e-4)
        if width is None:
            break
        parents = torch.randint(0, beams, (users, width), generator=generator)
        tokens = torch.randint(0, TOKENS, (users, width), generator=generator)
        prefixes = torch.cat([prefixes[torch.arange(users)[:, None], parents], tokens[..., None]], 2)
        found = decoding.advance(parents, tokens)


@torch.no_grad()
def test_beams_share_the_keys_and_values_of_their_user():
    model = tiny()
    source, mask, _ = batch()
    decoding = KVCache(model)
    decoding.start(model.encode(source, mask), mask)
    kept = [memory.data_ptr() for memory in decoding.memory]
    decoding.advance(torch.zeros(3, 8, dtype=torch.int64), randint(3, 8))
    assert [memory.data_ptr() for memory in decoding.memory] == kept
    assert all(memory.shape == (3, 9, 2 * TINY.inner) for memory in decoding.memory)


@torch.no_grad()
def test_a_decoding_can_start_anew():
    model = tiny()
    memory = model.encode(randint(3, 9))
    decoding = KVCache(model)
    first = decoding.start(memory)
    decoding.advance(torch.zeros(3, 2, dtype=torch.int64), randint(3, 2))
    assert torch.equal(decoding.start(memory), first)


def test_half_precision_is_near_single_in_training_and_decoding():
    model = tiny()
    source, mask, target = batch()
    exact = model(source, mask, target)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(source, mask, target)
        cross_entropy(near.flatten(0, 1), target.flatten()).backward()
        decoding = KVCache(model)
        first = decoding.start(model.encode(source, mask), mask)
        second = decoding.advance(torch.zeros(3, 1, dtype=torch.int64), target[:, :1])
    assert near.dtype == first.dtype == torch.bfloat16
    assert_close(near.float(), exact, 0.1)
    assert_close(torch.cat([first, second], 1).float(), exact[:, :2], 0.1)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_decoding_that_would_be_wrong_is_refused():
    model = tiny()
    with pytest.raises(RuntimeError, match="call start first"):
        KVCache(model).advance(torch.zeros(1, 1, dtype=torch.int64), randint(1, 1))
    with pytest.raises(ValueError, match=r"call its eval\(\)"):
        KVCache(model.train())


def test_buckets_are_kept_per_length_within_bounds_and_serve_training_after_inference():
    position_buckets.cache_clear()
    model = tiny()
    with torch.inference_mode():
        for length in range(1, 200):
            model.encoder.bias(length)
    assert position_buckets.cache_info().currsize <= 64
    model.encoder.bias(199).sum().backward()
    assert model.encoder.position_bias.weight.grad.sum() == 199**2 * TINY.num_heads


@pytest.mark.slow
def test_the_model_learns_a_batch_by_heart():
    model = T5(TOKENS, replace(TINY, dropout_rate=0.0))
    source, mask, target = batch(users=16, target=4)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(200):
        loss = cross_entropy(model(source, mask, target).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05
    assert torch.equal(model(source, mask, target).argmax(-1), target)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 0}, "num_heads must be 1 or more, got 0"),
        ({"dropout_rate": 1.0}, "dropout_rate must be from 0"),
        ({"relative_attention_num_buckets": 2}, "num_buckets must be 4 or more"),
        ({"relative_attention_max_distance": 16}, "max_distance above"),
    ],
)
def test_shapes_that_no_model_has_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(TINY, **changes)


def test_named_sizes():
    assert T5Config.named("paper") == T5Config()
    assert count(T5(500, T5Config.named("demo"))) < 1_000_000
    with pytest.raises(ValueError, match='no size "huge"'):
        T5Config.named("huge")
