"""From a text to its terms: the words of any script, and pairs of neighboring ones."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import regex

UNSPACED = (
    r"[[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Bopomofo}"
    r"\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]&&[\p{L}\p{N}]]"
)
"""The letters of scripts that put no space between words (Unicode Standard Annex 29, section 4)."""

WORD = regex.compile(
    rf"{UNSPACED}\p{{M}}*|[[\p{{L}}\p{{N}}]--{UNSPACED}][[\p{{L}}\p{{M}}\p{{N}}]--{UNSPACED}]*|\p{{So}}", regex.V1
)


def normalized(text: str) -> str:
    """`text` without differences that readers do not see: case, width of letters and of white space (NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """The words of a text, normalized, however short; emoji count as words, punctuation does not.

    Where a script has no spaces every character is a word, so that pairs of them are its usual bigrams.

    >>> words("Size 5, Café 红茶!")
    ['size', '5', 'café', '红', '茶']
    """
    return list(WORD.findall(normalized(text)))


def terms(text: str) -> list[str]:
    """The words of a text and its pairs of neighboring words, which have a space between them.

    >>> terms("Tea for two")
    ['tea', 'for', 'two', 'tea for', 'for two']
    """
    single = words(text)
    return single + [f"{one} {two}" for one, two in pairwise(single)]
