"""Residual k-means of the vectors, without a network: the codebooks of OneRec and, with options, of HyMiRec."""

from __future__ import annotations

from typing import cast

from macrec.errors import DataError
from macrec.quantization.residual_kmeans import Metric, Residual, ResidualKMeans
from macrec.quantization.specs import split_spec
from macrec.tokenizers.fitted import FittedTokenizer
from macrec.tokenizers.kinds.kind import TRAINED, Kind


class RKMeans(FittedTokenizer):
    """Options: `metric` "l2" or "cosine", `residual` "subtract" or "project", `balanced` 1 for clusters of equal size.

    See `ResidualKMeans`. After "project" a vector is no sum of codewords; "least" and "hungarian" then resolve
    conflicts by the distance to the plain sum all the same.
    """

    def quantizer(self, sizes: tuple[int, ...]) -> ResidualKMeans:
        """Residual k-means with the options of the settings."""
        options = split_spec(self.settings.tokenizer, "tokenizer")[1]
        try:
            return ResidualKMeans(
                sizes,
                metric=cast(Metric, options.get("metric", "l2")),
                residual=cast(Residual, options.get("residual", "subtract")),
                balanced=options.get("balanced", "0") == "1",
                seed=self.settings.recipe.seed,
            )
        except ValueError as error:
            fix = "write such as rkmeans:metric=cosine,residual=project"
            raise DataError(str(error), field="tokenizer", fix=fix) from error


TOKENIZER = Kind(
    "rkmeans",
    "residual k-means of the vectors, without a network",
    RKMeans,
    ("metric", "residual", "balanced"),
    TRAINED,
)
