"""The weights of a T5 to and from the files of Hugging Face: the same weights give the same logits there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from macrec.errors import DataError
from macrec.files import replacing, write_json
from macrec.models.t5 import T5, T5Config
from macrec.quantization.vocabulary import EOS, PAD

COPIES = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
"""Further names of the embeddings at Hugging Face; the last one only where they are tied."""


def load_hugging_face(model: T5, weights: nn.Module | Mapping[str, Tensor]) -> None:
    """Take the weights of a `transformers.T5ForConditionalGeneration`, or of its state dict.

    Raises DataError for weights that are missing, of another shape, or have no place in this model, and for a
    module whose config says otherwise than this one's; a state dict has no config, so only its shapes are checked.
    """
    fix = "give the config that belongs to the weights"
    if isinstance(weights, nn.Module):
        for name, mine in shape_of(model.config).items():
            value = getattr(weights.config, name)
            if value != mine and name not in ("dropout_rate", "tie_word_embeddings"):  # the weights tell of ties
                raise DataError(f"{name} is {value} there and {mine} here", fix=fix)
        weights = weights.state_dict()
    names, own, values = counterparts(model.config), model.state_dict(), {}
    for name, theirs in names.items():
        if missing := [their for their in theirs if their not in weights]:
            raise DataError(f"the weights lack {missing[0]}", fix=fix)
        values[name] = torch.cat([weights[their] for their in theirs])
        if values[name].shape != own[name].shape:
            shapes = f"{list(values[name].shape)} where the model has {list(own[name].shape)}"
            raise DataError(f"{' and '.join(theirs)}: {shapes}", fix=fix)
    spare = weights.keys() - {their for theirs in names.values() for their in theirs}
    # The embeddings go by several names, as long as they are the same.
    for copy in COPIES & spare:
        if torch.equal(weights[copy], weights["shared.weight"]):
            spare.remove(copy)
    if spare:
        raise DataError(f"the model has no place for {min(spare)}", fix=fix)
    model.load_state_dict(values)


def to_hugging_face(model: T5, folder: Path | str) -> None:
    """Write a folder of config.json and model.safetensors, for `T5ForConditionalGeneration.from_pretrained`.

    A folder that was written before is replaced; any other with something in it is refused (DataError).
    """
    weights = {}
    for name, theirs in counterparts(model.config).items():
        for their, part in zip(theirs, model.state_dict()[name].chunk(len(theirs)), strict=True):
            weights[their] = part.contiguous()
    about = shape_of(model.config) | {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "feed_forward_proj": "relu",
        "vocab_size": model.embedding.num_embeddings,
        "pad_token_id": PAD,
        "decoder_start_token_id": PAD,
        "eos_token_id": EOS,
    }
    with replacing(Path(folder)) as temporary:
        temporary.mkdir()
        save_file(weights, temporary / "model.safetensors", {"format": "pt"})
        write_json(temporary / "config.json", about)


def shape_of(config: T5Config) -> dict[str, Any]:
    """What a config says at Hugging Face. Raises DataError for positions that are not known there."""
    about = asdict(config)
    if about.pop("positions") != "flat":
        what = "Hugging Face's T5 has no positions of items and slots"
        raise DataError(what, field="positions", fix='train a model with positions "flat"')
    del about["slots"]
    return about


def counterparts(config: T5Config) -> dict[str, tuple[str, ...]]:
    """The name of every weight → its names at Hugging Face; where there are several, they stand one below the other."""
    shape_of(config)  # refuses positions that are not known there
    names: dict[str, tuple[str, ...]] = {"embedding.weight": ("shared.weight",)}
    if not config.tie_word_embeddings:
        names["head.weight"] = ("lm_head.weight",)
    encoder, decoder = {"self_attention": "SelfAttention"}, {"cross_attention": "EncDecAttention"}
    parts = {"query": "q", "key_value": "kv", "output": "o"}
    for stack, layers, attentions in (
        ("encoder", config.num_layers, encoder),
        ("decoder", config.num_decoder_layers, encoder | decoder),
    ):
        table = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names |= {f"{stack}.position_bias.weight": (table,)}
        names |= {f"{stack}.norm.weight": (f"{stack}.final_layer_norm.weight",)}
        for number in range(layers):
            own, their = f"{stack}.layers.{number}", f"{stack}.block.{number}.layer"
            for place, sublayer in enumerate([*attentions, "feed_forward"]):
                names[f"{own}.{sublayer}.norm.weight"] = (f"{their}.{place}.layer_norm.weight",)
                for part, letters in parts.items() if sublayer in attentions else ():
                    matrices = tuple(f"{their}.{place}.{attentions[sublayer]}.{letter}.weight" for letter in letters)
                    names[f"{own}.{sublayer}.{part}.weight"] = matrices
            feed_forward = f"{their}.{len(attentions)}.DenseReluDense"
            names[f"{own}.feed_forward.wide.weight"] = (f"{feed_forward}.wi.weight",)
            names[f"{own}.feed_forward.narrow.weight"] = (f"{feed_forward}.wo.weight",)
    return names
