"""A dense head: the logit of every item after a state, as one product with a table of item vectors.

It stands beside heads that write codes, which know of an item what its codes keep. The vector of an item is made of its
codes and contents, so that one that nobody has taken yet can be ranked; vectors that items have of their own are the
generator's choice. As in LIGER (arXiv 2411.18814), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class DenseHead(nn.Module):
    """Logits of N items after states `[R, width]`.

    With the state h, the logit of item i is h Q · (codewords of i + contents of i W) + a bias of i. `contents`: name →
    vectors `[N, d]`. Q begins as the identity, W at deviation 0.02, the biases at 0.
    """

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
