"""MACRec: cross-modal codebooks, and a generator whose states of an item's two IDs are aligned."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from macrec.systems.generative import Generative
from macrec.systems.registry import TWO_MODALITIES, Context, Entry, named_without

TERMS = {
    "contrastive": "L_con: in the codebooks of one modality, items that are alike in another are drawn together",
    "reconstructed": "L_align: the two reconstructed latents of an item are drawn together",
    "implicit": "the generator's states of an item's two IDs are drawn together",
    "explicit": "tasks across modalities: the next item, and an item's ID from its other ID",
}


class MACRec(Generative):
    """ "Multi-Aspect Cross-modal Quantization for Generative Recommendation" (arXiv 2511.15122).

    Cross-modal residual quantization gives every item an ID per modality. The generator learns the next item
    within each modality, the next item from one modality to the other, and an item's ID from its other ID (explicit
    alignment): the six tasks of the paper. A causal generator also learns the next item from both modalities at once.
    Beside these tasks its states of an item's two IDs are drawn together (implicit alignment). The paths that read both
    modalities are decoded and fused, or else, as published, those within each.

    `without` leaves `TERMS` out, as in the paper's Table 3. Without any, two single-modality generators in one network
    are left. `name`: what a system with other settings is called.
    """

    def __init__(self, context: Context, without: Collection[str] = (), name: str = "MACRec") -> None:
        codebooks, generator = context.settings.codebooks, context.settings.generator
        config = codebooks.config
        if "contrastive" in without:
            config = replace(config, lambda_con=(0.0,) * len(config.lambda_con), contrast="labels")
        if "reconstructed" in without:
            config = replace(config, lambda_align=0.0)
        explicit = "explicit" not in without
        super().__init__(
            named_without(name, without, SYSTEM.terms_in(context)),
            context.folder / "generators",
            context.ids(replace(codebooks, config=config)),
            generator.tasks(context.modalities, sequences=explicit, items=explicit, joint=True),
            generator.without_implicit() if "implicit" in without else generator,
            context.embeddings,
        )


SYSTEM = Entry(
    name="MACRec",
    family="generative",
    paper="arXiv 2511.15122",
    idea="cross-modal codebooks, tasks within and across modalities, and aligned states of an item's IDs",
    make=lambda context, without: [MACRec(context, without)],
    needs=(TWO_MODALITIES,),
    terms=TERMS,
    of_ids=("contrastive", "reconstructed"),
    otherwise="TIGER",
    place=4,
    color="green",
)
