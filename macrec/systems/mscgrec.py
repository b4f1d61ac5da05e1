"""MSCGRec: what items say, show and are taken with, read together; the ID of one modality is written."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, cast

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.encoders.collaborative import COLLABORATIVE
from macrec.encoders.embeddings import Embeddings
from macrec.errors import DataError
from macrec.generation.tasks import CodeTask
from macrec.models.t5 import T5Config
from macrec.systems.collaborative_ids import CollaborativeIds
from macrec.systems.generative import Generative, GeneratorSettings
from macrec.systems.registry import A_MODALITY, Context, Entry, named_without
from macrec.tokenizers.ids import Ids, JoinedIds
from macrec.tokenizers.self_supervised import SelfSupervisedIds, has_codes

TERMS = {
    "text": "the IDs of texts are read",
    "image": "the IDs of pictures are read",
    "self-supervised": "the IDs of pictures were learned with their vectors, not made of them afterwards",
    "collaborative": "the collaborative IDs are read; they are written in any case",
    "constrained": "in training a code competes with those that can follow, not with its whole level",
    "masking": "in training whole modalities are left out of what is read",
    "positions": "the encoder-decoder tells the distance in items from that in codes",
}

MASKED = 0.25
"""The probability by which a modality is left out in training. The paper's rate is not known."""


class MSCGRec(Generative):
    """ "Multimodal Generative Recommendation for Fusing Semantic and Collaborative Signals" (arXiv 2602.03713).

    What people do is a modality beside texts and pictures, each with an ID of its own. Every item of a history is read
    with all its IDs, and the ID of the next item is written in one modality, `decode`, among the codes that can follow;
    in training whole modalities are masked. The causal backbone reads an item in one place, where its codes are summed,
    so that the paper's positions of codes within an item do not exist there; the encoder-decoder reads them one after
    the other.

    The paper body could not be read; rates and sizes are ours. Its image IDs come from self-distillation, as ours do
    where the encoder of pictures is `rq-dino`; else they come from the codebooks of the other systems. A new item has a
    collaborative ID here, predicted from its contents (`CollaborativeIds`), and can be written; in the paper it has
    none. Raises DataError where there is no modality `decode`.
    """

    def __init__(self, context: Context, without: Collection[str] = ()) -> None:
        settings = context.settings
        codebooks = settings.codebooks.independent()
        content = tuple(name for name in context.modalities if name != COLLABORATIVE)
        vectors = {name: table for name, table in context.embeddings.items() if name != COLLABORATIVE}
        every = (*content, COLLABORATIVE)
        if settings.decode not in every:
            what = f'there is no modality "{settings.decode}" to be written'
            raise DataError(what, field="decode", fix=f"choose one of {', '.join(every)}")
        read = tuple(name for name in every if name not in without) or (settings.decode,)
        used = tuple(name for name in every if name in read or name == settings.decode)
        self.taught = CollaborativeIds(context.folder, codebooks, vectors, settings.teacher, settings.sasrec)
        given = (COLLABORATIVE,) if COLLABORATIVE in context.given else ()
        own = self_supervised(context) and "self-supervised" not in without and "image" in used
        named = tuple(name for name in used if name in content + given and not (own and name == "image"))
        parts: list[Ids] = [context.ids(codebooks, named)] if named else []
        if own:
            parts.append(SelfSupervisedIds(vectors["image"], codebooks.conflicts))
        self.learns = COLLABORATIVE in used and not given
        super().__init__(
            named_without("MSCGRec", without, SYSTEM.terms_in(context)),
            context.folder / "generators",
            JoinedIds((*parts, self.taught) if self.learns else tuple(parts)),
            [CodeTask("+".join(read), settings.decode, "sequence")],
            generator(settings.generator, without),
            vectors,
        )

    def contents(self, data: Dataset, split: Split) -> Mapping[str, Embeddings]:
        """The vectors of texts and pictures, and those of what people do."""
        if not (self.learns and self.settings.content):
            return self.embeddings
        return {**self.embeddings, COLLABORATIVE: self.taught.vectors(data, split)}


def generator(settings: GeneratorSettings, without: Collection[str]) -> GeneratorSettings:
    """The settings of the generator without these terms."""
    plain = settings.without_implicit()
    recipe = replace(
        cast(Any, plain.recipe),
        softmax="level" if "constrained" in without else "children",
        mask_modality=0.0 if "masking" in without else MASKED,
    )
    config = plain.config
    if isinstance(config, T5Config) and "positions" not in without:
        config = replace(config, positions="item_slot")
    return replace(plain, config=config, recipe=recipe)


def self_supervised(context: Context) -> bool:
    """Whether the encoder of pictures learned codes with its vectors, and no others are given."""
    return "image" in context.embeddings and "image" not in context.given and has_codes(context.embeddings["image"])


def there(context: Context, term: str) -> bool:
    """Whether there is anything to leave out: no pictures without pictures, no positions of codes in one place."""
    if term in ("text", "image"):
        return term in context.modalities
    if term == "self-supervised":
        return self_supervised(context)
    return term != "positions" or isinstance(context.settings.generator.config, T5Config)


SYSTEM = Entry(
    name="MSCGRec",
    family="generative",
    paper="arXiv 2602.03713",
    idea="what people do as a modality: all IDs of an item are read, that of one modality is written",
    make=lambda context, without: [MSCGRec(context, without)],
    needs=(A_MODALITY,),
    terms=TERMS,
    there=there,
    place=7,
)
