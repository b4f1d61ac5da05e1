"""One RQ-VAE per modality and nothing between them: the codebooks of TIGER and MQL4GRec."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.tokenizers.codebooks import Codebooks
from macrec.tokenizers.kinds.kind import BETWEEN, Kind
from macrec.tokenizers.settings import CodebookSettings


def rqvae(folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings) -> Codebooks:
    """The settings' network without any term between modalities."""
    return Codebooks(folder, data, embeddings, settings.independent())


TOKENIZER = Kind("rqvae", "one RQ-VAE per modality, without terms between them", rqvae, idle=BETWEEN)
