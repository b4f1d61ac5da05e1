"""Decoding with a T5 one token at a time: the keys and values of what was written are kept."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from macrec.models.relative_positions import mask_to_bias
from macrec.models.t5 import T5, Layer
from macrec.quantization.vocabulary import PAD


class KVCache:
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
        self.memory_bias = None if mask is None else mask_to_bias(mask, memory.dtype)
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
