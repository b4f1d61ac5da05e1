"""MQL4GRec without pre-training: the codes of several modalities as languages that translate into each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.encoders import Embeddings
from macrec.generation.tasks import code_tasks
from macrec.systems.generative import Generative, GeneratorSettings
from macrec.tokenizers.codebooks import CodebookSettings
from macrec.tokenizers.ids import LearnedIds


class MQL4GRec(Generative):
    """Zhai et al., "Multimodal Quantitative Language for Generative Recommendation", ICLR 2025, in its style.

    Each modality has codebooks of its own. One generator learns next-item generation within each modality and from
    each to the other, and to translate an item's ID; there is no implicit alignment. (The original draws the
    direction of the cross-modal histories at random, so that it sees each half as often; MACRec, and so we, both.)
    """

    def __init__(
        self,
        folder: Path,
        embeddings: Mapping[str, Embeddings],
        codebooks: CodebookSettings,
        generator: GeneratorSettings,
    ) -> None:
        ids = LearnedIds(folder / "codebooks", embeddings, codebooks.independent())
        tasks = code_tasks(tuple(embeddings))
        super().__init__("MQL4GRec", folder / "generators", ids, tasks, generator.without_implicit())
