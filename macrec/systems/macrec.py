"""MACRec: codebooks that learn from each other's modality, and a generator told that two IDs are one item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from macrec.encoders import Embeddings
from macrec.generation.tasks import code_tasks
from macrec.systems.generative import Generative, GeneratorSettings
from macrec.tokenizers.codebooks import CodebookSettings
from macrec.tokenizers.ids import LearnedIds

Term = Literal["contrastive", "reconstructed", "implicit", "explicit"]
"""What MACRec is made of: L_con and L_align of the codebooks, L_implicit and the tasks between modalities."""


class MACRec(Generative):
    """ "Multi-Aspect Cross-modal Quantization for Generative Recommendation" (arXiv 2511.15122).

    Cross-modal residual quantization gives every item an ID per modality. The generator learns six tasks: the next
    item within each modality, the next item from one modality to the other, and an item's ID from its other ID
    (explicit alignment); beside them the encoder's states of an item's two IDs are drawn together (implicit
    alignment). All paths that were asked for are decoded and fused.

    `without` leaves terms out, as in the paper's Table 3. Without any, two single-modality generators in one network
    are left.
    """

    def __init__(
        self,
        folder: Path,
        embeddings: Mapping[str, Embeddings],
        codebooks: CodebookSettings,
        generator: GeneratorSettings,
        without: tuple[Term, ...] = (),
    ) -> None:
        for term in without:
            if term not in get_args(Term):
                raise ValueError(f'MACRec has no term "{term}", only {", ".join(get_args(Term))}')
        config = codebooks.config
        if "contrastive" in without:
            config = replace(config, lambda_con=(0.0,) * len(config.lambda_con))
        if "reconstructed" in without:
            config = replace(config, lambda_align=0.0)
        ids = LearnedIds(folder / "codebooks", embeddings, replace(codebooks, config=config))
        explicit = "explicit" not in without
        tasks = code_tasks(tuple(embeddings), sequence_level=explicit, item_level=explicit)
        settings = generator.without_implicit() if "implicit" in without else generator
        every = set(without) == set(get_args(Term))
        name = "MACRec w/o any term" if every else " ".join(["MACRec", *(f"w/o {term}" for term in without)])
        super().__init__(name, folder / "generators", ids, tasks, settings)
