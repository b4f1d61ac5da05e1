"""A compact T5: an encoder-decoder that reads the tokens of a history and writes those of the next item.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020. Held to
the implementation of Hugging Face: the same weights give the same logits, and files go both ways. What is particular
to T5: norms come first and only scale; positions enter as a bias of the attention, learned per bucket of distances;
scores are not divided by the square root of the width, for which the initial weights make up; nothing has a bias.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from macrec.models.dropout import Dropout
from macrec.models.relative_positions import item_slot_distances, mask_to_bias, position_buckets, relative_buckets
from macrec.quantization.vocabulary import PAD
from macrec.training import generator_for


@dataclass(frozen=True)
class T5Config:
    """The shape of a T5; the names and the defaults of all else are those of Hugging Face.

    `d_model` is the width of the states; each of `num_heads` heads has `d_kv` dimensions and each feed-forward layer
    `d_ff`. With `tie_word_embeddings` the embeddings of the tokens also read the logits off the decoder's states.
    `positions`, of the encoder: "flat" as in T5, by the distance in tokens; "item_slot" by the distance in items plus
    that between the slots, which are the `slots` places of an item's tokens (the dual positions of MSCGRec, whose form
    is not known: ours). Raises ValueError for shapes that no model has.
    """

    d_model: int = 128
    num_heads: int = 6
    d_kv: int = 64
    d_ff: int = 1024
    num_layers: int = 4
    num_decoder_layers: int = 4
    dropout_rate: float = 0.1
    tie_word_embeddings: bool = True
    relative_attention_num_buckets: int = 32
    relative_attention_max_distance: int = 128
    layer_norm_epsilon: float = 1e-6
    positions: Literal["flat", "item_slot"] = "flat"
    slots: int = 1

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and not isinstance(value, bool) and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if not 0 <= self.dropout_rate < 1:
            raise ValueError(f"dropout_rate must be from 0 to below 1, got {self.dropout_rate}")
        exact = self.relative_attention_num_buckets // 2  # of the decoder, which has all buckets to one side
        if exact < 2 or self.relative_attention_max_distance <= exact:
            raise ValueError("relative_attention_num_buckets must be 4 or more and max_distance above half of it")

    @classmethod
    def named(cls, name: Literal["paper", "demo", "tiny"]) -> T5Config:
        """The size called "paper" (of MQL4GRec and MACRec), "demo" (for minutes on a CPU) or "tiny" (for tests)."""
        if name == "paper":
            return cls()
        if name == "demo":
            return cls(d_model=96, num_heads=6, d_kv=16, d_ff=192, num_layers=1, num_decoder_layers=1)
        if name == "tiny":
            return cls(d_model=32, num_heads=2, d_kv=16, d_ff=64, num_layers=2, num_decoder_layers=2)
        raise ValueError(f'there is no size "{name}": choose paper, demo or tiny')

    @property
    def inner(self) -> int:
        """The width of all heads together."""
        return self.num_heads * self.d_kv


class T5(nn.Module):
    """A T5 of `tokens` tokens, initialized from `seed` as in section 5.1 of the specification.

    Masks are boolean, True where there is something to see; None when everything is. What may see nothing gets zeros
    from attention. Batches without padding are best given without a mask: the bias then is one for all rows.
    """

    def __init__(self, tokens: int, config: T5Config | None = None, seed: int = 0) -> None:
        super().__init__()
        self.config = config = config or T5Config()
        self.embedding = _embedding(tokens, config.d_model)
        self.encoder = Stack(config, config.num_layers, decoder=False)
        self.decoder = Stack(config, config.num_decoder_layers, decoder=True)
        self.head = None if config.tie_word_embeddings else _linear(config.d_model, tokens)
        generator = generator_for(seed)
        for module in self.modules():
            if isinstance(module, Stack | Attention | FeedForward):
                module.initialize(generator)
        # The embeddings come last, so that the rest does not depend on how many tokens there are.
        nn.init.normal_(self.embedding.weight, generator=generator)
        if self.head is not None:
            nn.init.normal_(self.head.weight, std=config.d_model**-0.5, generator=generator)

    def forward(
        self, source: Tensor, source_mask: Tensor | None, target: Tensor, columns: slice | None = None
    ) -> Tensor:
        """Logits `[B, T, V]` of `target` `[B, T]`, each token given those before it and `source` `[B, S]`."""
        return self.logits(self.decode(self.encode(source, source_mask), source_mask, target), columns)

    def encode(self, source: Tensor, source_mask: Tensor | None = None, slots: Tensor | None = None) -> Tensor:
        """The states `[B, S, d_model]` of the tokens `source` `[B, S]`.

        `slots` `[C]`, for positions of items and slots: the slots of the C tokens that each item has (default: all).
        """
        states: Tensor = self.encoder(self.embedding(source), source_mask, slots=slots)
        return states

    def decode(self, memory: Tensor, memory_mask: Tensor | None, target: Tensor) -> Tensor:
        """The states `[B, T, d_model]` from which each token of `target` `[B, T]` is predicted.

        State t has read `PAD`, which is where the decoder starts, and the tokens before t. `memory` `[B, S, d_model]`
        are the states of the encoder.
        """
        shifted = torch.cat([target.new_full((len(target), 1), PAD), target[:, :-1]], 1)
        states: Tensor = self.decoder(self.embedding(shifted), None, memory, memory_mask)
        return states

    def logits(self, states: Tensor, columns: slice | None = None) -> Tensor:
        """Logits `[..., V]` of the decoder's states `[..., d_model]`; of the tokens `columns` alone, if given."""
        if self.head is not None:
            return linear(states, self.head.weight[columns or slice(None)])
        return linear(states * self.config.d_model**-0.5, self.embedding.weight[columns or slice(None)])


class Stack(nn.Module):
    """The layers of the encoder or of the decoder, and the position bias that they share."""

    def __init__(self, config: T5Config, layers: int, decoder: bool) -> None:
        super().__init__()
        self.config, self.is_decoder = config, decoder
        self.position_bias = _embedding(config.relative_attention_num_buckets, config.num_heads)
        self.slot_bias = None
        if config.positions == "item_slot" and not decoder:
            self.slot_bias = _embedding(2 * config.slots - 1, config.num_heads)
        self.layers = nn.ModuleList(Layer(config, decoder) for _ in range(layers))
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = Dropout(config.dropout_rate)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the position biases."""
        for bias in (self.position_bias, self.slot_bias):
            if bias is not None:
                nn.init.normal_(bias.weight, std=self.config.d_model**-0.5, generator=generator)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
        slots: Tensor | None = None,
    ) -> Tensor:
        """States `[B, T, d_model]` of the embeddings `x` `[B, T, d_model]` with `mask` `[B, T]`.

        A decoder also reads `memory` `[B, S, d_model]` with `memory_mask` `[B, S]`. `slots` as in `T5.encode`.
        """
        bias = self.bias(x.shape[1], slots)
        if mask is not None:
            bias = bias + mask_to_bias(mask, bias.dtype)
        memory_bias = None if memory_mask is None else mask_to_bias(memory_mask, bias.dtype)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, bias, memory, memory_bias)
        states: Tensor = self.dropout(self.norm(x))
        return states

    def bias(self, length: int, slots: Tensor | None = None) -> Tensor:
        """What to add to the attention scores, `[1, H, length, length]`: query rows, key columns."""
        config, weight = self.config, self.position_bias.weight
        if self.slot_bias is not None:
            slots = torch.arange(config.slots, device=weight.device) if slots is None else slots
            items, between = item_slot_distances(length, slots)
            shape = config.relative_attention_num_buckets, config.relative_attention_max_distance
            of_items = self.position_bias(relative_buckets(items, True, *shape))
            dual: Tensor = of_items + self.slot_bias(between + config.slots - 1)
            return dual.permute(2, 0, 1)[None]
        shape = config.relative_attention_num_buckets, config.relative_attention_max_distance
        bias: Tensor = self.position_bias(position_buckets(length, not self.is_decoder, *shape, weight.device))
        bias = bias.permute(2, 0, 1)[None]
        if self.is_decoder:
            later = torch.ones(length, length, dtype=torch.bool, device=weight.device).triu(1)
            bias = bias.masked_fill(later, -torch.inf)
        return bias


class Layer(nn.Module):
    """Self-attention, in a decoder attention to the encoder's states, and a feed-forward network."""

    def __init__(self, config: T5Config, decoder: bool) -> None:
        super().__init__()
        self.self_attention = Attention(config)
        self.cross_attention = Attention(config) if decoder else None
        self.feed_forward = FeedForward(config)
        self.dropout = Dropout(config.dropout_rate)

    def forward(self, x: Tensor, bias: Tensor, memory: Tensor | None, memory_bias: Tensor | None) -> Tensor:
        """The next states of `x` `[B, T, d_model]`; `bias` `[B or 1, H, T, T]`, `memory_bias` `[B, 1, 1, S]`."""
        normed = self.self_attention.norm(x)
        x = x + self.dropout(self.self_attention(normed, self.self_attention.keys_values(normed), bias))
        return self.after_self_attention(x, self.memory_keys_values(memory), memory_bias)

    def step(self, x: Tensor, kept: Tensor, bias: Tensor, memory: Tensor | None, memory_bias: Tensor | None) -> Tensor:
        """The next states of one token for each of W beams, `x` `[B, W, d_model]`.

        `kept` `[t, B W, 2 inner]` are the keys and values of the beams' tokens so far; those of this token are written
        into its last place. `memory` `[B, S, 2 inner]` are those of the encoder's states, which the beams of a user
        share; `bias` `[1, H, 1, t]`.
        """
        normed = self.self_attention.norm(x).view(-1, 1, x.shape[-1])
        kept[-1] = self.self_attention.keys_values(normed)[:, 0]
        x = x + self.self_attention(normed, kept.transpose(0, 1), bias).view_as(x)
        return self.after_self_attention(x, memory, memory_bias)

    def memory_keys_values(self, memory: Tensor | None) -> Tensor | None:
        """Keys and values `[B, S, 2 inner]` of the encoder's states `[B, S, d_model]`, for a layer that reads them."""
        if self.cross_attention is None or memory is None:
            return None
        return self.cross_attention.keys_values(memory)

    def after_self_attention(self, x: Tensor, memory: Tensor | None, memory_bias: Tensor | None) -> Tensor:
        """The rest of the layer: `x` `[B, T, d_model]`, `memory` as keys and values `[B, S, 2 inner]`."""
        if self.cross_attention is not None and memory is not None:
            x = x + self.dropout(self.cross_attention(self.cross_attention.norm(x), memory, memory_bias))
        return x + cast(Tensor, self.dropout(self.feed_forward(x)))


class Attention(nn.Module):
    """Attention of several heads, and the norm of the querying states."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.query = _linear(config.d_model, config.inner)
        self.key_value = _linear(config.d_model, 2 * config.inner)
        self.output = _linear(config.inner, config.d_model)
        self.dropout = Dropout(config.dropout_rate)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights; small queries replace the division of the scores."""
        d_model, d_kv = self.config.d_model, self.config.d_kv
        nn.init.normal_(self.query.weight, std=(d_model * d_kv) ** -0.5, generator=generator)
        nn.init.normal_(self.key_value.weight, std=d_model**-0.5, generator=generator)
        nn.init.normal_(self.output.weight, std=self.config.inner**-0.5, generator=generator)

    def keys_values(self, states: Tensor) -> Tensor:
        """The keys of all heads and then their values, `[..., 2 inner]`, of states `[..., d_model]`."""
        projected: Tensor = self.key_value(states)
        return projected

    def forward(self, normed: Tensor, keys_values: Tensor, bias: Tensor | None) -> Tensor:
        """What the states `normed` `[B, T, d_model]` read from `keys_values` `[B, S, 2 inner]`: `[B, T, d_model]`.

        `bias`, added to the scores, broadcasts to `[B, H, T, S]`; -inf hides a key. From PyTorch 2.5 on, a query from
        which all keys are hidden reads zeros.
        """
        batch, length, heads, d_kv = *normed.shape[:2], self.config.num_heads, self.config.d_kv
        query = self.query(normed).view(batch, length, heads, d_kv).transpose(1, 2)
        key, value = keys_values.view(batch, -1, 2, heads, d_kv).permute(2, 0, 3, 1, 4).unbind(0)
        if self.training and self.config.dropout_rate and query.device.type == "cpu":
            # PyTorch would take these steps too, its fused kernel having no dropout there, with a dropout that is slow.
            scores = query @ key.transpose(2, 3)
            scores = scores if bias is None else scores + bias
            read = self.dropout(torch._safe_softmax(scores, -1)) @ value
        else:
            rate = self.config.dropout_rate if self.training else 0.0
            read = scaled_dot_product_attention(query, key, value, bias, dropout_p=rate, scale=1.0)
        attended: Tensor = self.output(read.transpose(1, 2).flatten(2))
        return attended


class FeedForward(nn.Module):
    """A norm and two linear maps with a ReLU between them."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.wide, self.narrow = _linear(config.d_model, config.d_ff), _linear(config.d_ff, config.d_model)
        self.dropout = Dropout(config.dropout_rate)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights."""
        for module in (self.wide, self.narrow):
            nn.init.normal_(module.weight, std=module.in_features**-0.5, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., d_model]` → `[..., d_model]`."""
        transformed: Tensor = self.narrow(self.dropout(self.wide(self.norm(x)).relu_()))
        return transformed


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map without bias, its weights not yet drawn: the constructor would use the global generator."""
    return cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False))  # type: ignore[no-untyped-call]


def _embedding(rows: int, width: int) -> nn.Embedding:
    """A table of vectors that are not yet drawn."""
    return cast(nn.Embedding, nn.utils.skip_init(nn.Embedding, rows, width))  # type: ignore[no-untyped-call]
