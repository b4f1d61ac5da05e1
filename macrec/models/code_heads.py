"""Heads that write codes: from the state of a place to the logits of every code of several semantic IDs.

A slot is one level of one ID. Slots of an ID are written one after the other: each sees the state and the codewords
chosen before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu


class CodeHeads(nn.Module):
    """Heads for IDs of `levels` (how many each has), over states of `width` dimensions.

    With the state h and the sum p of the codewords chosen so far, the query of a slot is
    q = A h + B p + a + O gelu(U h + V p + u), and the logit of a code its product with the codeword, and a bias. The
    matrices A and U, which read h, are one parameter, as are B and V, which read p: each is one product.
    """

    def __init__(
        self, levels: Sequence[int], codewords: int, width: int, hidden: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        slots = sum(levels)
        self.levels, self.first = tuple(levels), tuple(sum(levels[:number]) for number in range(len(levels)))

        def drawn(inputs: int, outputs: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(slots, inputs, outputs, generator=generator) * (0.5 / math.sqrt(inputs)))

        self.of_state, self.of_prefix = drawn(width, width + hidden), drawn(width, width + hidden)
        self.out = drawn(hidden, width)
        self.bias = nn.Parameter(torch.zeros(slots, width + hidden))
        self.code_bias = nn.Parameter(torch.zeros(slots, codewords))

    def slots(self) -> list[Slot]:
        """The heads one by one: views of the parameters, made at once so that one backward pass collects them."""
        of = (self.of_state, self.of_prefix, self.out, self.bias, self.code_bias)
        return [Slot(*weights) for weights in zip(*(parameter.unbind(0) for parameter in of), strict=True)]


class Slot(NamedTuple):
    """The head of one slot, see `CodeHeads`.

    `of_state`, `of_prefix` `[width, width + hidden]`, `out` `[hidden, width]`, `bias` `[width + hidden]`,
    `code_bias` `[K]`.
    """

    of_state: Tensor
    of_prefix: Tensor
    out: Tensor
    bias: Tensor
    code_bias: Tensor

    def logits(self, states: Tensor, prefix: Tensor | None, codebook: Tensor) -> Tensor:
        """Logits `[..., K]` of the codes after `states` `[..., width]`, by their `codebook` `[K, width]`.

        `prefix`: the sums of the codewords before, of any shape that broadcasts with that of the states: what is the
        same for all states is computed once. None where there are none, as in the first slot of an ID.
        """
        read = states @ self.of_state + self.bias
        if prefix is not None:
            read = read + prefix @ self.of_prefix
        width = states.shape[-1]
        query = read[..., :width] + gelu(read[..., width:]) @ self.out
        return query @ codebook.T + self.code_bias[: len(codebook)]
