"""What decides the semantic IDs of a catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace

from macrec.tokenizers.cross_modal import CrossModalConfig
from macrec.tokenizers.training import CodebookRecipe


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
