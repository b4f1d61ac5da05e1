"""Heads that write codes: from the state of a place to the logits of every code of several semantic IDs.

A slot is one level of one ID. Slots of an ID are written one after the other: each sees the state and the codewords
chosen before it. All slots are computed in batched products, so that a place is asked for all IDs at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu


class CodeHeads(nn.Module):
    """Heads for IDs of `levels` (how many each has), over states `[R, width]`.

    With the state h and the sum p of the codewords chosen so far, the query of a slot is
    q = A h + B p + a + O gelu(U h + V p + u), and the logit of a code its product with the codeword, and a bias. A
    linear prefix alone, or heads that do not see it, are measurably worse.
    """

    def __init__(
        self, levels: Sequence[int], codewords: int, width: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        slots = sum(levels)
        self.levels, self.first = tuple(levels), tuple(sum(levels[:number]) for number in range(len(levels)))

        def drawn(inputs: int, outputs: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(slots, inputs, outputs, generator=generator) * (0.5 / math.sqrt(inputs)))

        self.of_state, self.of_prefix = drawn(width, width), drawn(width, width)
        self.hidden_of_state, self.hidden_of_prefix = drawn(width, hidden), drawn(width, hidden)
        self.out = drawn(hidden, width)
        self.query_bias = nn.Parameter(torch.zeros(slots, 1, width))
        self.hidden_bias = nn.Parameter(torch.zeros(slots, 1, hidden))
        self.code_bias = nn.Parameter(torch.zeros(slots, codewords))
        before = torch.zeros(slots, slots)
        for first, count in zip(self.first, levels, strict=True):
            before[first : first + count, first : first + count] = torch.ones(count, count).tril(-1)
        self.register_buffer("before", before, persistent=False)

    def prefixes(self, words: Tensor) -> Tensor:
        """The sums `[S, R, width]` of the codewords before each slot, of `words` `[R, S, width]`."""
        return torch.einsum("sj,rjw->srw", self.before, words)

    def forward(self, states: Tensor, words: Tensor, codebooks: Tensor) -> Tensor:
        """Logits `[S, R, K]` of all codes of all slots, where the codewords `words` `[R, S, width]` are chosen.

        `codebooks` `[S, K, width]`.
        """
        prefix = self.prefixes(words)
        hidden = gelu(states @ self.hidden_of_state + prefix @ self.hidden_of_prefix + self.hidden_bias)
        query = states @ self.of_state + prefix @ self.of_prefix + self.query_bias + hidden @ self.out
        return torch.baddbmm(self.code_bias[:, None], query, codebooks.transpose(1, 2))

    def slot(self, number: int, states: Tensor, prefix: Tensor, codebook: Tensor) -> Tensor:
        """Logits `[B, W, K]` of one slot for W prefixes of each state: `states` `[B, width]`, `prefix` `[B, W, width]`.

        `codebook` `[K, width]`. A `prefix` `[1, W, width]` is the same for all states, and costs what one of them does.
        Equals `forward` where the prefix is the sum of the same codewords.
        """
        hidden = (states @ self.hidden_of_state[number] + self.hidden_bias[number])[:, None]
        hidden = gelu(hidden + prefix @ self.hidden_of_prefix[number])
        query = (states @ self.of_state[number] + self.query_bias[number])[:, None]
        query = query + prefix @ self.of_prefix[number] + hidden @ self.out[number]
        return query @ codebook.T + self.code_bias[number]
