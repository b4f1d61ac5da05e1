"""The tokens of the generator: two specials, the codewords of every named codebook, task prompts, and nothing else.

Only this module defines where the tokens of a codebook begin; everything else uses its range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macrec.errors import DataError
from macrec.quantization.semantic_ids import Codes, SemanticIds

PAD, EOS = 0, 1
"""Padding, which is also what the decoder starts from, as in T5; and the end of a sequence."""

NO_CODE = -1
"""What `Vocabulary.codes` gives for a token that is no codeword."""

MOST_TOKENS = 4_000_000
"""Tokens of a vocabulary, at most: a generator learns a vector for each."""


@dataclass(frozen=True)
class Vocabulary:
    """Which tokens there are, in this order: `PAD`, `EOS`, the codewords of each codebook, the prompts of each task.

    `codebooks` and `prompts` are pairs of a name and how many tokens it has. `Vocabulary.of` reads them off tables of
    semantic IDs. Raises ValueError for a name that comes twice and for a size below 1.
    """

    codebooks: tuple[tuple[str, int], ...]
    prompts: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for what, pairs in (("codebook", self.codebooks), ("task", self.prompts)):
            names = [name for name, _ in pairs]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"the {what} {twice[0]} comes twice")
            if empty := [name for name, size in pairs if size < 1]:
                raise ValueError(f"the {what} {empty[0]} has no tokens")

    @classmethod
    def of(cls, ids: Mapping[str, SemanticIds], prompts: Mapping[str, int] | None = None) -> Vocabulary:
        """The vocabulary of any number of tables, by whatever name, and of `prompts`: task → number of prompt tokens.

        Codebooks come in the order in which the tables name them; levels and tables that name the same codebook share
        its tokens. Raises DataError when they disagree about its size, and for more than `MOST_TOKENS`.

        >>> text = SemanticIds.from_codes([[0, 3]], ("text_a", "text_b"), (256, 256))
        >>> vocabulary = Vocabulary.of({"text": text}, prompts={"item2image": 4})
        >>> vocabulary.tokens(text).tolist(), vocabulary.prompt("item2image").tolist(), len(vocabulary)
        ([[2, 261]], [514, 515, 516, 517], 518)
        """
        sizes: dict[str, int] = {}
        for table, table_ids in ids.items():
            for codebook, size in zip(table_ids.codebooks, table_ids.sizes, strict=True):
                if sizes.setdefault(codebook, size) != size:
                    raise DataError(
                        f"the codebook {codebook} has {size} codewords in {table} and {sizes[codebook]} elsewhere",
                        field="sizes",
                        fix="give it one size, or two names if these are two codebooks",
                    )
        if sum(sizes.values()) > MOST_TOKENS:
            largest = max(sizes, key=sizes.__getitem__)
            what = f"the codebook {largest} has {sizes[largest]:,} codewords, and a generator learns a vector for each"
            raise DataError(what, field="sizes", fix=f"number the codes that occur, or give at most {MOST_TOKENS:,}")
        return cls(tuple(sizes.items()), tuple((prompts or {}).items()))

    def __len__(self) -> int:
        return 2 + sum(size for _, size in (*self.codebooks, *self.prompts))

    def range(self, codebook: str) -> slice:
        """The tokens of a codebook. Raises KeyError, naming those that there are."""
        return _named(self._codebook_ranges, codebook, "codebook")

    def prompt(self, task: str) -> NDArray[np.int64]:
        """The prompt tokens of a task, `[n]`. Raises KeyError, naming the tasks that have one."""
        tokens = _named(self._prompt_ranges, task, "task")
        return np.arange(tokens.start, tokens.stop, dtype=np.int64)

    def ranges(self, ids: SemanticIds) -> tuple[slice, ...]:
        """The tokens possible at each of the L levels of `ids`: the columns of a level-restricted softmax."""
        slices = tuple(self.range(codebook) for codebook in ids.codebooks)
        for codebook, size, tokens in zip(ids.codebooks, ids.sizes, slices, strict=True):
            if size != tokens.stop - tokens.start:
                held = tokens.stop - tokens.start
                raise ValueError(f"the codebook {codebook} has {size} codewords here and {held} in the vocabulary")
        return slices

    def level_mask(self, ids: SemanticIds) -> NDArray[np.bool_]:
        """The same as a mask `[L, V]`: True where a token is possible at a level."""
        mask = np.zeros((ids.num_levels, len(self)), bool)
        for level, tokens in enumerate(self.ranges(ids)):
            mask[level, tokens] = True
        return mask

    def tokens(self, ids: SemanticIds) -> NDArray[np.int64]:
        """The tokens of every item, `[N, L]`: each code moved to the range of its codebook."""
        starts = np.array([tokens.start for tokens in self.ranges(ids)], np.int64)
        return ids.codes.astype(np.int64) + starts

    def codes(self, tokens: ArrayLike) -> Codes:
        """Back: the code of every token inside its own codebook, in the shape of `tokens`; `NO_CODE` for the others.

        Raises ValueError for a number that is no token.
        """
        tokens = np.asarray(tokens, np.int64)
        if ((tokens < 0) | (tokens >= len(self))).any():
            raise ValueError(f"tokens go from 0 to {len(self) - 1}, got {tokens.min()} to {tokens.max()}")
        decoded: Codes = self._code_of_token[tokens]
        return decoded

    @cached_property
    def _codebook_ranges(self) -> dict[str, slice]:
        return _consecutive(self.codebooks, 2)

    @cached_property
    def _prompt_ranges(self) -> dict[str, slice]:
        return _consecutive(self.prompts, 2 + sum(size for _, size in self.codebooks))

    @cached_property
    def _code_of_token(self) -> Codes:
        code_of = np.full(len(self), NO_CODE, np.int32)
        for tokens in self._codebook_ranges.values():
            code_of[tokens] = np.arange(tokens.stop - tokens.start)
        return code_of


def _consecutive(pairs: tuple[tuple[str, int], ...], start: int) -> dict[str, slice]:
    """Ranges of the given sizes, one after the other from `start`."""
    slices = {}
    for name, size in pairs:
        slices[name] = slice(start, start + size)
        start += size
    return slices


def _named(ranges: Mapping[str, slice], name: str, what: str) -> slice:
    if name not in ranges:
        raise KeyError(f"the vocabulary has no {what} {name}, only {', '.join(ranges) or 'none'}")
    return ranges[name]
