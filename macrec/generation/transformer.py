"""A compact T5: an encoder-decoder that reads the tokens of a history and writes those of the next item.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", JMLR 2020. Held to
the implementation of Hugging Face: the same weights give the same logits, and files go both ways. What is particular
to T5: norms come first and only scale; positions enter as a bias of the attention, learned per bucket of distances;
scores are not divided by the square root of the width, for which the initial weights make up; nothing has a bias.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from macrec.errors import DataError
from macrec.files import replacing, write_json
from macrec.generation.dropout import Dropout
from macrec.generation.vocabulary import EOS, PAD
from macrec.training import generator_for


@dataclass(frozen=True)
class T5Config:
    """The shape of a T5; the names and the defaults of all else are those of Hugging Face.

    `d_model` is the width of the states; each of `num_heads` heads has `d_kv` dimensions and each feed-forward layer
    `d_ff`. With `tie_word_embeddings` the embeddings of the tokens also read the logits off the decoder's states.
    Raises ValueError for shapes that no model has.
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
    """A T5 of `tokens` tokens, initialized from `seed` as section 5.1 of the specification says.

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

    def encode(self, source: Tensor, source_mask: Tensor | None = None) -> Tensor:
        """The states `[B, S, d_model]` of the tokens `source` `[B, S]`."""
        states: Tensor = self.encoder(self.embedding(source), source_mask)
        return states

    def decode(self, memory: Tensor, memory_mask: Tensor | None, target: Tensor) -> Tensor:
        """The states `[B, T, d_model]` from which each token of `target` `[B, T]` is to be told.

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

    def load_hugging_face(self, weights: nn.Module | Mapping[str, Tensor]) -> None:
        """Take the weights of a `transformers.T5ForConditionalGeneration`, or of its state dict.

        Raises DataError for weights that are missing, of another shape, or have no place in this model, and for a
        module whose config says otherwise than this one's; a state dict has no config, so only its shapes are checked.
        """
        fix = "give the config that belongs to the weights"
        if isinstance(weights, nn.Module):
            for name, mine in asdict(self.config).items():
                found = getattr(weights.config, name)
                if found != mine and name not in ("dropout_rate", "tie_word_embeddings"):  # the weights tell of ties
                    raise DataError(f"{name} is {found} there and {mine} here", fix=fix)
            weights = weights.state_dict()
        names, own, values = counterparts(self.config), self.state_dict(), {}
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
        self.load_state_dict(values)

    def to_hugging_face(self, folder: Path | str) -> None:
        """Write a folder of config.json and model.safetensors, for `T5ForConditionalGeneration.from_pretrained`.

        A folder that was written before is replaced; any other with something in it is refused (DataError).
        """
        weights = {}
        for name, theirs in counterparts(self.config).items():
            for their, part in zip(theirs, self.state_dict()[name].chunk(len(theirs)), strict=True):
                weights[their] = part.contiguous()
        about = asdict(self.config) | {
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "feed_forward_proj": "relu",
            "vocab_size": self.embedding.num_embeddings,
            "pad_token_id": PAD,
            "decoder_start_token_id": PAD,
            "eos_token_id": EOS,
        }
        with replacing(Path(folder)) as temporary:
            temporary.mkdir()
            save_file(weights, temporary / "model.safetensors", {"format": "pt"})
            write_json(temporary / "config.json", about)


class Stack(nn.Module):
    """The layers of the encoder or of the decoder, and the position bias that they share."""

    def __init__(self, config: T5Config, layers: int, decoder: bool) -> None:
        super().__init__()
        self.config, self.is_decoder = config, decoder
        self.position_bias = _embedding(config.relative_attention_num_buckets, config.num_heads)
        self.layers = nn.ModuleList(Layer(config, decoder) for _ in range(layers))
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.dropout = Dropout(config.dropout_rate)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the position bias."""
        nn.init.normal_(self.position_bias.weight, std=self.config.d_model**-0.5, generator=generator)

    def forward(
        self, x: Tensor, mask: Tensor | None, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> Tensor:
        """States `[B, T, d_model]` of the embeddings `x` `[B, T, d_model]` with `mask` `[B, T]`.

        A decoder also sees `memory` `[B, S, d_model]` with `memory_mask` `[B, S]`.
        """
        bias = self.bias(x.shape[1])
        if mask is not None:
            bias = bias + hiding(mask, bias.dtype)
        memory_bias = None if memory_mask is None else hiding(memory_mask, bias.dtype)
        x = self.dropout(x)
        for layer in self.layers:
            x = layer(x, bias, memory, memory_bias)
        states: Tensor = self.dropout(self.norm(x))
        return states

    def bias(self, length: int) -> Tensor:
        """What to add to the attention scores, `[1, H, length, length]`: query rows, key columns."""
        config, weight = self.config, self.position_bias.weight
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
        """Keys and values `[B, S, 2 inner]` of the encoder's states `[B, S, d_model]`, for a layer that sees them."""
        if self.cross_attention is None or memory is None:
            return None
        return self.cross_attention.keys_values(memory)

    def after_self_attention(self, x: Tensor, memory: Tensor | None, memory_bias: Tensor | None) -> Tensor:
        """The rest of the layer: `x` `[B, T, d_model]`, `memory` as keys and values `[B, S, 2 inner]`."""
        if self.cross_attention is not None and memory is not None:
            x = x + self.dropout(self.cross_attention(self.cross_attention.norm(x), memory, memory_bias))
        return x + cast(Tensor, self.dropout(self.feed_forward(x)))


class Attention(nn.Module):
    """Attention of several heads, and the norm of the states that ask."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.RMSNorm(config.d_model, config.layer_norm_epsilon)
        self.query = _linear(config.d_model, config.inner)
        self.key_value = _linear(config.d_model, 2 * config.inner)
        self.output = _linear(config.inner, config.d_model)
        self.dropout = Dropout(config.dropout_rate)

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weights; small queries stand in for the division of the scores."""
        d_model, d_kv = self.config.d_model, self.config.d_kv
        nn.init.normal_(self.query.weight, std=(d_model * d_kv) ** -0.5, generator=generator)
        nn.init.normal_(self.key_value.weight, std=d_model**-0.5, generator=generator)
        nn.init.normal_(self.output.weight, std=self.config.inner**-0.5, generator=generator)

    def keys_values(self, states: Tensor) -> Tensor:
        """The keys of all heads and then their values, `[..., 2 inner]`, of states `[..., d_model]`."""
        found: Tensor = self.key_value(states)
        return found

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
        found: Tensor = self.output(read.transpose(1, 2).flatten(2))
        return found


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
        found: Tensor = self.narrow(self.dropout(self.wide(self.norm(x)).relu_()))
        return found


class Decoding:
    """Writing token by token, in any number of beams per user, without computing anything twice.

    Beams are further query rows of their user: the encoder's keys and values exist once per user, and those of the
    beams' own tokens are kept and follow the beams. Gives the logits of `T5.forward`. Needs a model in eval mode.
    """

    def __init__(self, model: T5) -> None:
        if model.training:
            raise ValueError("the model would drop units out: call its eval() before decoding")
        self.model = model
        self.layers = cast(list[Layer], list(model.decoder.layers))
        self.length = 0

    @torch.no_grad()
    def start(self, memory: Tensor, mask: Tensor | None = None, columns: slice | None = None) -> Tensor:
        """Logits `[B, 1, V]`, or of the tokens `columns` alone, of the first token.

        `memory` `[B, S, d_model]` and `mask` `[B, S]` as `T5.encode` gave and took them. Starts anew when called again.
        """
        self.memory = [layer.memory_keys_values(memory) for layer in self.layers]
        self.memory_bias = None if mask is None else hiding(mask, memory.dtype)
        self.kept = [memory.new_empty(1, len(memory), 2 * self.model.config.inner) for _ in self.layers]
        self.length, self.beams = 0, 1
        return self._feed(torch.full((len(memory), 1), PAD, device=memory.device), columns)

    @torch.no_grad()
    def advance(self, parents: Tensor, tokens: Tensor, columns: slice | None = None) -> Tensor:
        """Logits `[B, W, V]` of the next token, or of `columns`, after beam w has become a beam before it and a token.

        `parents` `[B, W]` numbers the beams of the call before, of which there were any number (1 after `start`);
        `tokens` `[B, W]` are what each of them wrote.
        """
        if self.length == 0:
            raise RuntimeError("there is nothing to advance: call start first")
        users = torch.arange(len(parents), device=parents.device)[:, None] * self.beams
        places = torch.arange(self.length, device=parents.device)[:, None] * len(parents) * self.beams
        rows = (places + (users + parents).flatten()).flatten()
        for number, kept in enumerate(self.kept):
            # One copy in place order, and room for the new token: twice as fast as indexing and joining.
            grown = kept.new_empty(self.length + 1, parents.numel(), kept.shape[-1])
            torch.index_select(kept.flatten(0, 1), 0, rows, out=grown[:-1].view(-1, kept.shape[-1]))
            self.kept[number] = grown
        self.beams = parents.shape[1]
        return self._feed(tokens, columns)

    def _feed(self, tokens: Tensor, columns: slice | None) -> Tensor:
        self.length += 1
        bias = self.model.decoder.bias(self.length)[:, :, -1:]  # what the newest place sees
        x = self.model.embedding(tokens)
        for layer, kept, memory in zip(self.layers, self.kept, self.memory, strict=True):
            x = layer.step(x, kept, bias, memory, self.memory_bias)
        return self.model.logits(self.model.decoder.norm(x), columns)


@lru_cache(maxsize=64)
def position_buckets(length: int, bidirectional: bool, buckets: int, max_distance: int, device: torch.device) -> Tensor:
    """The bucket of each distance between `length` queries and keys, `[length, length]`."""
    with torch.inference_mode(False):  # kept tensors must serve training as well
        place = torch.arange(length, device=device)
        return relative_buckets(place - place[:, None], bidirectional, buckets, max_distance)


def relative_buckets(distance: Tensor, bidirectional: bool, buckets: int = 32, max_distance: int = 128) -> Tensor:
    """The bucket of every distance, key place minus query place.

    Small distances have a bucket each; larger ones share buckets that widen with the logarithm, up to `max_distance`
    and all beyond. Half of the buckets are for keys after the query, if `bidirectional`; else those count as 0.

    >>> relative_buckets(torch.tensor([-16, -1, 0, 1, 100]), bidirectional=True).tolist()
    [10, 1, 0, 17, 31]
    """
    offset: Tensor | int = 0
    if bidirectional:
        buckets //= 2
        offset, distance = (distance > 0) * buckets, distance.abs()
    else:
        distance = -distance.clamp(max=0)
    exact = buckets // 2
    octaves = (distance.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    coarse = exact + (octaves * (buckets - exact)).long()
    return offset + torch.where(distance < exact, distance, coarse.clamp(max=buckets - 1))


def hiding(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """`mask` `[B, S]` as an attention bias `[B, 1, 1, S]`: 0 where True, -inf where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)[:, None, None]


COPIES = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight"}
"""Further names of the embeddings at Hugging Face; the last one only where they are tied."""


def counterparts(config: T5Config) -> dict[str, tuple[str, ...]]:
    """The name of every weight → its names at Hugging Face; where there are several, they stand one below the other."""
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


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map without bias, its weights not yet drawn: the constructor would use the global generator."""
    return cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False))  # type: ignore[no-untyped-call]


def _embedding(rows: int, width: int) -> nn.Embedding:
    """A table of vectors that are not yet drawn."""
    return cast(nn.Embedding, nn.utils.skip_init(nn.Embedding, rows, width))  # type: ignore[no-untyped-call]
