"""How many levels and codewords fit a catalog."""

from __future__ import annotations

MOST_LEVELS = 8
"""More levels are refused: the sentences of a generator would be too long."""

SIZES = {256: 4, 128: 3, 64: 4, 16: 4}
"""Codewords per level → levels at least. The most codewords that leave each ten items are the default.

On validation users of the built-in catalog (2,000 items) MACRec had NDCG@10 .2168 with 3 × 128 and .2114 with 4 × 64
codewords: one seed each, so no proof, but six codes are also faster to write than eight.
"""


def fitting_size(items: int, levels: int = 0, codewords: int = 0) -> tuple[int, int]:
    """Levels and codewords per level for a catalog of `items`, where they are 0; others stay as they are.

    256 codewords, as published IDs have them, from 2,560 items on: with 64, the names of a larger catalog crowd into
    the same IDs. Three or four levels (`SIZES`), and more where that leaves fewer than 100 IDs per item.

    >>> fitting_size(300), fitting_size(2_000), fitting_size(12_101), fitting_size(2_000, codewords=16)
    ((4, 16), (3, 128), (4, 256), (5, 16))
    """
    codewords = codewords or next((size for size in SIZES if items >= 10 * size), min(SIZES))
    fewest = SIZES.get(codewords, 4)
    needed = next((count for count in range(fewest, MOST_LEVELS) if codewords**count >= 100 * items), MOST_LEVELS)
    return levels or needed, codewords
