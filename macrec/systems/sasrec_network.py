"""The network of SASRec, a causal Transformer over item numbers, and the recipe that sets its size and training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import cast

from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from macrec.models.dropout import Dropout
from macrec.models.packed_attention import causal_attention
from macrec.training import Decay, generator_for

WEIGHTS = 0
"""What a random draw is for; see `generator_for`. (The order of an epoch is `macrec.data.windows.SHUFFLE`.)"""


@dataclass(frozen=True)
class SASRecRecipe:
    """The network and how it learns; the defaults were chosen by validation on the built-in catalog.

    States have `width` dimensions, shared by `heads`; there are `layers` blocks, and `dropout` on the embeddings, in
    attention and on what each block adds. The newest `max_history` items are read. At most `epochs` over all training
    targets, `batch` sequences a step; after each epoch up to `validate_users` users are measured, and `patience`
    epochs in a row with neither a better NDCG@10 nor a lower loss on them end the training (None: never).

    Raises ValueError for values of which no network or no training can be made.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    max_history: int = 20
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    decay: Decay = "matrices"
    validate_users: int = 1000
    patience: int | None = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 1 and name != "seed":
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


class SASRecNetwork(nn.Module):
    """Embeddings of `items` items, positions counted from the newest item, causal blocks; weights from the seed.

    Sequences are padded on the right, and only where attention needs a matrix: as no item attends to a later one,
    causality alone hides the padding, and all else is computed for the items that are there.
    """

    def __init__(self, items: int, recipe: SASRecRecipe) -> None:
        super().__init__()
        self.embedding = _embedding(items, recipe.width)
        self.age = _embedding(recipe.max_history, recipe.width)
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(recipe.width)
        self.dropout = Dropout(recipe.dropout)
        generator = generator_for(recipe.seed, WEIGHTS)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, items: Tensor, inside: Tensor) -> Tensor:
        """States `[P, width]` after each of `items` `[P]`, which fill the places `inside` `[B, T]` row by row.

        Row b is a sequence, oldest item first, and its True places come before all False ones.
        """
        age = inside.sum(1, keepdim=True) - inside.cumsum(1)
        x = self.dropout(self.embedding(items) + self.age(age[inside]))
        for block in self.blocks:
            x = block(x, inside)
        states: Tensor = self.norm(x)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """How well every item follows `states` `[..., width]`: products with its embedding, `[..., N]`."""
        return linear(states, self.embedding.weight)


class Block(nn.Module):
    """Causal self-attention and a feed-forward network; the norms come first."""

    def __init__(self, recipe: SASRecRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.heads = recipe.heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.output = _linear(width, 3 * width), _linear(width, width)
        self.wide, self.narrow = _linear(width, 4 * width), _linear(4 * width, width)
        self.dropout = Dropout(recipe.dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """The next states of `x` `[P, width]` at the places `inside` `[B, T]`, as in `SASRecNetwork.forward`."""
        rate = self.dropout.rate if self.training else 0.0
        read = causal_attention(self.query_key_value(self.attention_norm(x)), inside, self.heads, dropout=rate)
        x = x + self.dropout(self.output(read))
        return x + cast(Tensor, self.dropout(self.narrow(gelu(self.wide(self.feed_forward_norm(x))))))


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map whose weights are not yet drawn: the constructor would use the global generator."""
    return cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs))  # type: ignore[no-untyped-call]


def _embedding(rows: int, width: int) -> nn.Embedding:
    """A table of vectors that are not yet drawn."""
    return cast(nn.Embedding, nn.utils.skip_init(nn.Embedding, rows, width))  # type: ignore[no-untyped-call]
