"""The RQ-VAE: the network of the specification, its loss, and codes for raw embeddings."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import linear, mse_loss, relu

from macrec.encoders.embeddings import Embeddings
from macrec.tokenizers.autoencoder import RQVAE, RQVAEConfig
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE

SMALL = RQVAEConfig(projection=7, hidden=(12, 8), width=4, sizes=(6, 5))


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def small(seed=0, **options):
    """A small RQ-VAE whose codewords are as long as its latents."""
    branch = RQVAE(10, RQVAEConfig(**(vars(SMALL) | options)), seed)
    branch.quantizer.initialize(branch.encoder(normal(200, 10)).detach(), seed=0)
    return branch


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_network_of_the_paper():
    """T15: numbers of parameters and the spread of Xavier's initialization."""
    model = CrossModalRQVAE({"text": 4096, "image": 768}, CrossModalConfig())
    assert count(model) == 25_034_304
    text, image = model.branch("text"), model.branch("image")
    assert count(text.encoder) == 3_146_496 + 4_372_448 and count(text.decoder) == 3_149_824 + 4_373_184
    assert count(image.encoder) == 590_592 + 4_372_448 and count(image.decoder) == 590_592 + 4_373_184
    assert count(text.quantizer) == count(image.quantizer) == 32_768
    for layer in (*text.encoder, *text.decoder, *image.encoder, *image.decoder):
        if isinstance(layer, nn.Linear):
            assert not layer.bias.any()
            expected = math.sqrt(2 / (layer.in_features + layer.out_features))
            assert layer.weight.std().item() == pytest.approx(expected, rel=0.05)
            assert abs(layer.weight.mean().item()) < 0.1 * expected


def test_the_network_without_projection_of_the_predecessor():
    """Specification 3.1: 22.41 and 8.78 million parameters, of which MQL4GRec's projections are none."""
    for dim, millions in ((4096, 22.41), (768, 8.78)):
        assert count(RQVAE(dim, RQVAEConfig(projection=None))) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("projection", [7, None])
def test_the_projection_has_no_activation_and_every_hidden_layer_has(projection):
    branch, x = RQVAE(10, RQVAEConfig(projection=projection, hidden=(12, 8), width=4, sizes=(3,))), normal(20, 10)
    encoder = [layer for layer in branch.encoder if isinstance(layer, nn.Linear)]
    decoder = [layer for layer in branch.decoder if isinstance(layer, nn.Linear)]
    assert [layer.out_features for layer in encoder] == [*([7] if projection else []), 12, 8, 4]
    assert [layer.out_features for layer in decoder] == [8, 12, *([7] if projection else []), 10]
    for layer in (*encoder, *decoder):
        nn.init.normal_(layer.bias, generator=torch.Generator().manual_seed(layer.out_features))
    latent = x
    for number, layer in enumerate(encoder):
        straight = number == 0 or (projection and number == 1)
        latent = linear(latent if straight else relu(latent), layer.weight, layer.bias)
    out = latent
    for number, layer in enumerate(decoder):
        straight = number == 0 or (projection and number == len(decoder) - 1)
        out = linear(out if straight else relu(out), layer.weight, layer.bias)
    found = branch(x, quantize=False)
    torch.testing.assert_close(found.latent, latent)
    torch.testing.assert_close(found.reconstruction_loss, mse_loss(out, x))
    assert found.quantized is None and found.quantization_loss == 0


def test_dropout_stands_before_every_linear_layer():
    branch = RQVAE(10, RQVAEConfig(projection=7, hidden=(12, 8), width=4, sizes=(3,), dropout=0.2))
    for network in (branch.encoder, branch.decoder):
        kinds = [type(layer) for layer in network]
        assert kinds.count(nn.Dropout) == kinds.count(nn.Linear) == 4
        assert all(kinds[place - 1] is nn.Dropout for place, kind in enumerate(kinds) if kind is nn.Linear)


@pytest.mark.parametrize("quantizer", ["ste", "ema"])
def test_the_loss_is_reconstruction_of_the_codes_and_the_mean_over_levels(quantizer):
    branch, x = small(commitment_weight=0.5, quantizer=quantizer), normal(20, 10)
    found = branch(x)
    quantized = found.quantized
    torch.testing.assert_close(found.reconstruction_loss, mse_loss(branch.decoder(quantized.words), x))
    per_level = 0.5 * quantized.commitment_loss + (0 if quantizer == "ema" else quantized.codebook_loss)
    torch.testing.assert_close(found.quantization_loss, per_level.mean())


def test_the_reconstruction_loss_trains_the_encoder_but_no_codebook():
    branch = small()
    branch(normal(20, 10)).reconstruction_loss.backward()
    assert all(parameter.grad.any() for parameter in branch.encoder.parameters())
    assert all(codebook.grad is None for codebook in branch.quantizer.codebooks)


def test_raw_embeddings_are_standardized_as_those_of_training():
    values = (5 + 3 * normal(90, 10)).numpy()
    values[[4, 40]] = 0  # absent
    embeddings = Embeddings.from_values("text", "test", values)
    branch = small()
    branch.standardize_like(embeddings)
    latents = branch.encoder(torch.from_numpy(embeddings.standardized()))
    torch.testing.assert_close(branch.latents(embeddings), latents.detach())
    codes = branch.encode(embeddings)
    assert codes.dtype == torch.int32 and torch.equal(codes, branch.quantizer.encode(latents.detach()))
    assert torch.equal(codes[4], codes[40])
    torch.testing.assert_close(branch.latents(embeddings)[4], branch.encoder(torch.zeros(1, 10))[0].detach())
    assert torch.equal(RQVAE.encode(reloaded(branch), embeddings), codes)


def reloaded(branch):
    """Another module with the state of `branch`: that includes the mean and the deviation."""
    other = RQVAE(10, branch.config, seed=99)
    other.load_state_dict(branch.state_dict())
    return other


def test_half_precision_embeddings_are_encoded_in_single_precision():
    values = normal(50, 10).numpy().astype(np.float16)
    half = Embeddings.from_values("text", "test", values)
    single = Embeddings.from_values("text", "test", values.astype(np.float32))
    branch = small()
    assert torch.equal(branch.encode(half), branch.encode(single))


def test_encoding_does_not_drop_anything_out_even_if_training_was_interrupted():
    branch = small(dropout=0.5).train()
    embeddings = Embeddings.from_values("text", "test", normal(50, 10).numpy())
    codes = branch.encode(embeddings)
    assert torch.equal(codes, branch.encode(embeddings)) and torch.equal(codes, branch.eval().encode(embeddings))


def test_weights_depend_on_the_seed_alone():
    before = torch.random.get_rng_state()
    one, same, other = RQVAE(10, SMALL, 1), RQVAE(10, SMALL, 1), RQVAE(10, SMALL, 2)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.encoder[0].weight, other.encoder[0].weight)
    assert torch.equal(torch.random.get_rng_state(), before)
