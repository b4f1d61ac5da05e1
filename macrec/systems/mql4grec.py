"""MQL4GRec without pre-training: the codes of several modalities as languages that translate into each other."""

from __future__ import annotations

from macrec.systems.generative import Generative
from macrec.systems.registry import TWO_MODALITIES, Context, Entry


class MQL4GRec(Generative):
    """Zhai et al., "Multimodal Quantitative Language for Generative Recommendation", ICLR 2025, in its style.

    Each modality has codebooks of its own. One generator learns next-item generation within each modality and from
    each to the other, and to translate an item's ID; there is no implicit alignment. (The original draws the
    direction of the cross-modal histories at random, so that each is half as frequent; MACRec, and so we, both.)
    """

    def __init__(self, context: Context) -> None:
        settings = context.settings
        ids = context.ids(settings.codebooks.independent())
        generator = settings.generator.without_implicit()
        super().__init__(
            "MQL4GRec",
            context.folder / "generators",
            ids,
            generator.tasks(context.modalities),
            generator,
            context.embeddings,
        )


SYSTEM = Entry(
    name="MQL4GRec",
    family="generative",
    paper="Zhai et al., ICLR 2025",
    idea="several modalities as languages: one generator within and across them, and translation of IDs",
    make=lambda context, without: [MQL4GRec(context)],
    needs=(TWO_MODALITIES,),
    place=3,
    color="purple",
)
