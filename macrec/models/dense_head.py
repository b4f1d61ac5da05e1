"""Dense heads: the logit of every item after a state, as one product with a table of item vectors.

They stand beside heads that write codes, which know of an item what its codes keep. The vector of an item is made of
what is known of it, so that one that nobody has taken yet can be ranked: of codes and contents in `DenseHead`, where
vectors that items have of their own are the generator's choice, and of contents alone in `CosineHead`, which is that of
LIGER (arXiv 2411.18814, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class DenseHead(nn.Module):
    """Logits of N items after states `[R, width]`.

    With the state h, the logit of item i is h Q · (codewords of i + contents of i W) + a bias of i. `contents`: name →
    vectors `[N, d]`. Q begins as the identity, W at deviation 0.02, the biases at 0. `seen_only`: whether only items
    with training events compete in the loss. Here all do: that an item has no event is something to learn by its bias,
    and through its codewords and contents it takes part in what is learned.
    """

    seen_only: ClassVar[bool] = False

    def __init__(self, items: int, width: int, contents: Mapping[str, Tensor], generator: torch.Generator) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.eye(width))
        self.projections = nn.ParameterDict()
        for name, vectors in contents.items():
            self.register_buffer(f"content_{name}", vectors, persistent=False)
            self.projections[name] = nn.Parameter(torch.randn(vectors.shape[1], width, generator=generator) * 0.02)
        self.bias = nn.Parameter(torch.zeros(items))

    def table(self, codewords: Tensor) -> Tensor:
        """The vectors `[N, width]` of all items: their `codewords` `[N, width]`, summed, and their contents."""
        table = codewords
        for name, projection in self.projections.items():
            table = table + self.get_buffer(f"content_{name}") @ projection
        return table

    def forward(self, states: Tensor, codewords: Tensor) -> Tensor:
        """Logits `[R, N]` after `states` `[R, width]`; `codewords` `[N, width]` as in `table`."""
        return (states @ self.query) @ self.table(codewords).T + self.bias


@dataclass(frozen=True)
class CosineConfig:
    """The choice of a `CosineHead`: its `temperature`, and whether the vectors it ranks by are also `read`.

    What is read of an item beside its codes is then the vector that ranks it, from one projection. Raises ValueError
    for a temperature of 0 or less.
    """

    temperature: float = 0.07
    read: bool = True

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")


class CosineHead(nn.Module):
    """Logits of N items after a state: the cosine between it and the vector of each, over the temperature.

    It has no weights: a vector is the projection of the contents of its item, and an item without training events is
    ranked by it like any other. So that none of these is learned to be unlikely, only seen items compete in the loss.
    """

    seen_only: ClassVar[bool] = True

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, states: Tensor, vectors: Tensor) -> Tensor:
        """Logits `[R, N]` after `states` `[R, width]` by the `vectors` `[N, width]` of all items; of zeros it is 0."""
        return normalize(states, dim=1) @ normalize(vectors, dim=1).T / self.temperature
