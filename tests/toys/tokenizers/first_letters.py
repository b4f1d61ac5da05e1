"""A toy tokenizer in one file: the codes of an item are which of its first dimensions are largest, group by group."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from macrec.tokenizers.fitted import FittedTokenizer
from macrec.tokenizers.kinds import Kind


class Largest:
    """Level l looks at dimensions 0 to K_l - 1, and its codewords are unit vectors."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes, self.codebooks = tuple(sizes), list[Tensor]()

    def fit(self, x: Tensor) -> Self:
        self.codebooks = [torch.eye(x.shape[1])[:size] / (level + 1) for level, size in enumerate(self.sizes)]
        return self

    def encode(self, x: Tensor) -> Tensor:
        order = [x[:, :size].argsort(1, descending=True)[:, level] for level, size in enumerate(self.sizes)]
        return torch.stack(order, 1).int()

    def reconstruct(self, x: Tensor) -> Tensor:
        columns = zip(self.codebooks, self.encode(x).long().unbind(1), strict=True)
        return torch.stack([words[codes] for words, codes in columns]).sum(0)

    def tensors(self) -> list[Tensor]:
        return self.codebooks

    def restore(self, tensors: Sequence[Tensor]) -> Self:
        self.codebooks = list(tensors)
        return self


class FirstLetters(FittedTokenizer):
    """See above."""

    def quantizer(self, sizes: tuple[int, ...]) -> Largest:
        return Largest(sizes)


TOKENIZER = Kind("first letters", "which of the first dimensions are largest", FirstLetters)
