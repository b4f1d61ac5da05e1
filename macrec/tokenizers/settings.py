"""What decides the semantic IDs of a catalog, and how many levels and codewords fit it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from macrec.tokenizers.cross_modal import CrossModalConfig
from macrec.tokenizers.training import CodebookRecipe

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


@dataclass(frozen=True)
class CodebookSettings:
    """Everything that decides what semantic IDs a catalog gets.

    `config`: the model, `recipe`: how it learns, `clusters`: the number of pseudo-labels. `tokenizer`: a name and
    options of `open_tokenizer`; those that train no network take levels, codewords and the seed from here.
    `conflicts`: a policy of `macrec.quantization.conflict_policies`.
    """

    config: CrossModalConfig
    recipe: CodebookRecipe
    clusters: int = 512
    tokenizer: str = "cross-modal"
    conflicts: str = "least"

    def independent(self) -> CodebookSettings:
        """The same without any cross-modal term."""
        tokenizer = "rqvae" if self.tokenizer == "cross-modal" else self.tokenizer
        return replace(self, config=self.config.independent(), tokenizer=tokenizer)

    def published(self) -> CodebookSettings:
        """The same network, trained as the published code trains it."""
        return replace(self, config=self.config.published(), recipe=self.recipe.published(), tokenizer="cross-modal")

    def with_lambda(self, value: float) -> CodebookSettings:
        """The same with another contrastive weight."""
        return replace(self, config=self.config.with_lambda(value), tokenizer="cross-modal")

    def by_prefix(self, value: float) -> CodebookSettings:
        """The same with this contrastive weight, on the pairs of items that could end in conflict."""
        weighted = self.with_lambda(value)
        return replace(weighted, config=replace(weighted.config, contrast="prefix"))

    def with_seed(self, seed: int) -> CodebookSettings:
        """The same from another random start."""
        return replace(self, recipe=replace(self.recipe, seed=seed))
