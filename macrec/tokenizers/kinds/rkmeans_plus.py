"""RQ-VAE that starts as residual k-means: at its first step it is principal components with k-means codebooks.

K-means works on the vectors, an RQ-VAE on latents. So the encoder starts as the projection to the first principal
components of the vectors, the decoder as its transpose (`start_as_projection`), and the codebooks as residual k-means
of the latents, which are those components. Training starts from there; there is no warm-up without codebooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.tokenizers.codebooks import Codebooks
from macrec.tokenizers.kinds.kind import BETWEEN, Kind
from macrec.tokenizers.settings import CodebookSettings


def rkmeans_plus(
    folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings
) -> Codebooks:
    """The settings' network without terms between modalities, from that start."""
    recipe = replace(settings.recipe, start="projection", warmup_share=0.0, kmeans_init="data")
    return Codebooks(folder, data, embeddings, replace(settings.independent(), recipe=recipe))


TOKENIZER = Kind(
    "rkmeans+", "RQ-VAE that starts as residual k-means of principal components", rkmeans_plus, idle=BETWEEN
)
