"""TIGER: one modality, its codebooks, and a generator that reads and writes their codes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.generation.tasks import code_tasks
from macrec.systems.generative import Generative, GeneratorSettings
from macrec.tokenizers.codebooks import CodebookSettings
from macrec.tokenizers.ids import LearnedIds


class TIGER(Generative):
    """Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, on text or on pictures alone.

    An RQ-VAE per modality gives the IDs, and a T5 learns to write the ID of the next item. The codebooks of all
    modalities are learned in one training without any term between them, so that other systems find them as well.
    (The original begins every history with a hashed user, and counts items of one ID in a further code, where here
    conflicts are resolved.)
    """

    def __init__(
        self,
        folder: Path,
        embeddings: Mapping[str, Embeddings],
        modality: str,
        codebooks: CodebookSettings,
        generator: GeneratorSettings,
    ) -> None:
        if modality not in embeddings:
            what = f'there are no "{modality}" embeddings, only {" and ".join(embeddings)}'
            raise DataError(what, field="modality", fix="choose one of these")
        ids = LearnedIds(folder / "codebooks", embeddings, codebooks.independent(), (modality,))
        name = f"TIGER ({modality})"
        super().__init__(name, folder / "generators", ids, code_tasks([modality]), generator.without_implicit())
