"""A causal Transformer: the state of a place has read that place and those before it, and nothing after it.

Positions enter as a bias of the attention per bucket of distances, as in T5, so that a state depends on what was read
and in which order, and never on how many places follow or where the sequence was cut from.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from macrec.models.dropout import Dropout
from macrec.models.packed_attention import causal_attention
from macrec.models.relative_positions import position_buckets
from macrec.training import generator_for


@dataclass(frozen=True)
class CausalConfig:
    """The shape of the network.

    States have `width` dimensions, shared by `heads`; each of `layers` blocks has a feed-forward network of
    `feed_forward` units. `dropout` acts on the inputs and on what each block adds, not inside attention. `buckets` of
    distances reach to `max_distance` places. Raises ValueError for shapes that no network has.
    """

    width: int = 64
    heads: int = 2
    layers: int = 2
    feed_forward: int = 256
    dropout: float = 0.4
    buckets: int = 32
    max_distance: int = 128

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


class CausalTransformer(nn.Module):
    """Blocks of causal attention over packed inputs; weights are drawn from `generator`, deviation 0.02."""

    def __init__(self, config: CausalConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        generator = generator or generator_for(0)
        self.blocks = nn.ModuleList(Block(config, generator) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """States `[P, width]` of the inputs `x` `[P, width]`, which fill the places `inside` `[B, T]` row by row.

        Row b is a sequence, and its True places come before all False ones.
        """
        length = inside.shape[1]
        buckets = position_buckets(length, False, self.config.buckets, self.config.max_distance, x.device)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, inside, buckets, later)
        states: Tensor = self.norm(x)
        return states


class Block(nn.Module):
    """Causal self-attention and a feed-forward network; the norms come first."""

    def __init__(self, config: CausalConfig, generator: torch.Generator) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.attention_norm, self.feed_forward_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.query_key_value = _matrix(3 * width, width, generator)
        self.output = _matrix(width, width, generator)
        self.wide, self.narrow = (
            _matrix(config.feed_forward, width, generator),
            _matrix(width, config.feed_forward, generator),
        )
        self.distance_bias = nn.Parameter(torch.zeros(config.buckets, config.heads))
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, inside: Tensor, buckets: Tensor, later: Tensor) -> Tensor:
        """The next states of `x` `[P, width]` at the places `inside` `[B, T]`.

        `buckets` and `later` `[T, T]`: query rows, key columns.
        """
        bias = self.distance_bias[buckets].permute(2, 0, 1).masked_fill(later, -torch.inf)
        read = causal_attention(self.query_key_value(self.attention_norm(x)), inside, self.heads, bias)
        x = x + self.dropout(self.output(read))
        added: Tensor = self.dropout(self.narrow(gelu(self.wide(self.feed_forward_norm(x)))))
        return x + added


def _matrix(outputs: int, inputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear map without bias, its weights drawn with deviation 0.02."""
    linear: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=False)  # type: ignore[no-untyped-call]
    nn.init.normal_(linear.weight, std=0.02, generator=generator)
    return linear
