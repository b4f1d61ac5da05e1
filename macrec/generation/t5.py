"""The encoder-decoder as a generator: a T5 that reads the tokens of a history and writes those of the next item."""

from __future__ import annotations

from copy import copy
from typing import Self

import torch
from torch import Tensor

from macrec.data.split import Samples
from macrec.generation.backbones.backbone import CodeGenerator
from macrec.generation.batches import CodeTables
from macrec.generation.beam import Normalize
from macrec.generation.implicit import pooled
from macrec.models.kv_cache import KVCache
from macrec.models.t5 import T5
from macrec.quantization.vocabulary import EOS


class T5Generator(T5, CodeGenerator):
    """A `T5` over the vocabulary of code tables."""

    normalizations = ("children", "level", "vocabulary")
    places = "token"

    def scorer(self, tables: CodeTables, task: int, samples: Samples, normalize: Normalize) -> PathScorer:
        """The path of a task: the source is encoded once, and the target decoded token by token."""
        return PathScorer(self, tables, task, samples, normalize)

    def item_states(self, tables: CodeTables, modality: int, batch: int) -> Tensor:
        """The mean `[N, d_model]` of the encoder's states over every item's ID and `EOS`; each ID is encoded once."""
        every, _ = tables.item_tokens(modality, torch.arange(tables.tokens.shape[1], device=tables.device))
        tokens, which = every.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
        parts = [pooled(self.encode, part, torch.ones_like(part, dtype=torch.bool)) for part in tokens.split(batch)]
        return torch.cat(parts)[which]


class PathScorer:
    """A T5 on one path for B histories, as a `Scorer` of beam search: codes in, logits of codes out.

    With `normalize` "vocabulary" log-probabilities among all tokens come out, and after the last level one more, whose
    only code is `EOS`.
    """

    def __init__(
        self, model: T5, tables: CodeTables, task: int, samples: Samples, normalize: Normalize = "children"
    ) -> None:
        device = tables.device
        self.ranges = tables.vocabulary.ranges(tables.ids[tables.tasks[task].target])
        self.all_tokens = normalize == "vocabulary"
        if self.all_tokens:
            self.ranges = (*self.ranges, slice(EOS, EOS + 1))
        which = torch.full((len(samples),), task, device=device)
        # Only what these users have seen travels to the device, not the events of all.
        items, begin, length = (torch.from_numpy(column).to(device) for column in (*samples.flat(), samples.lengths))
        source, self.mask = tables.sources(which, items, begin, length)
        with torch.no_grad():
            self.memory = model.encode(source, self.mask)
        self.decoding = KVCache(model)

    def first(self) -> Tensor:
        """Logits `[B, 1, K_0]` of the codes of level 0."""
        return self._of_codes(0, self.decoding.start(self.memory, self.mask, self._columns(0)))

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """Logits `[B, W, K_level]`; see `macrec.generation.beam.Scorer`."""
        users = len(self.memory)
        tokens = codes.expand(users, -1) + self.ranges[level - 1].start
        return self._of_codes(level, self.decoding.advance(parents.expand(users, -1), tokens, self._columns(level)))

    def fork(self) -> Self:
        """A copy of the scorer at the same step, independent of it."""
        other = copy(self)
        other.decoding = copy(self.decoding)
        other.decoding.kept = list(self.decoding.kept)  # a step puts new tensors into it, and writes into no old one
        return other

    def _columns(self, level: int) -> slice | None:
        return None if self.all_tokens else self.ranges[level]

    def _of_codes(self, level: int, logits: Tensor) -> Tensor:
        if not self.all_tokens:
            return logits
        logits = logits.float()
        return logits[..., self.ranges[level]] - logits.logsumexp(-1, keepdim=True)
