"""Optimized product quantization: codes of groups of dimensions, parallel rather than residual."""

from __future__ import annotations

from macrec.errors import DataError
from macrec.quantization.product import ProductQuantizer
from macrec.quantization.specs import number, split_spec
from macrec.tokenizers.fitted import FittedTokenizer
from macrec.tokenizers.kinds.kind import TRAINED, Kind


class OPQ(FittedTokenizer):
    """As many groups as the settings have levels. Option: `rotate` 0 for plain product quantization."""

    def quantizer(self, sizes: tuple[int, ...]) -> ProductQuantizer:
        """A product quantizer, by default with its rotation."""
        rotate = number(split_spec(self.settings.tokenizer, "tokenizer")[1], "rotate", 1, "tokenizer")
        if rotate not in (0, 1):
            raise DataError(f"rotate is {rotate:g}", field="tokenizer", fix="give 0 or 1")
        return ProductQuantizer(sizes, rotate=bool(rotate), seed=self.settings.recipe.seed)


TOKENIZER = Kind("opq", "optimized product quantization of the vectors, without a network", OPQ, ("rotate",), TRAINED)
