"""TIGER: one modality, its codebooks, and a generator that reads and writes their codes."""

from __future__ import annotations

from macrec.systems.generative import Generative
from macrec.systems.registry import A_MODALITY, Context, Entry


class TIGER(Generative):
    """Rajput et al., "Recommender Systems with Generative Retrieval", NeurIPS 2023, on text or on pictures alone.

    An RQ-VAE per modality gives the IDs, and a generator, in the paper a T5, learns to write the ID of the next item.
    The codebooks of all modalities are learned in one training without any term between them, so that other systems
    find them as well. (The original begins every history with a hashed user, and counts items of one ID in a further
    code, where here conflicts are resolved.) Raises DataError for a modality that there is none of.
    """

    def __init__(self, context: Context, modality: str) -> None:
        settings = context.settings
        ids = context.ids(settings.codebooks.independent(), (modality,))
        generator = settings.generator.without_implicit()
        super().__init__(
            f"TIGER ({modality})",
            context.folder / "generators",
            ids,
            generator.tasks([modality]),
            generator,
            context.embeddings,
        )


SYSTEM = Entry(
    name="TIGER",
    family="generative",
    paper="Rajput et al., NeurIPS 2023",
    idea="one modality: residual-quantized IDs, and a generator that writes the next one",
    make=lambda context, without: [TIGER(context, modality) for modality in context.modalities],
    needs=(A_MODALITY,),
    place=1,
)
