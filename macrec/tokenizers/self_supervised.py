"""Semantic IDs of pictures from the codebooks that an RQ-DINO learned together with its network."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from macrec.data.dataset import Dataset
from macrec.data.split import Split, item_counts, seen_items
from macrec.encoders import Embeddings, make_encoder
from macrec.encoders.rq_dino import NAME, RQDINOEncoder
from macrec.errors import DataError
from macrec.quantization.conflict_policies import extra_codebook, unique_ids
from macrec.quantization.conflicts import ConflictReport
from macrec.quantization.semantic_ids import SemanticIds, level_names
from macrec.terms import codebook_prefix
from macrec.tokenizers.ids import Leaves
from macrec.training import Event


def has_codes(vectors: Embeddings) -> bool:
    """Whether the encoder of `vectors` learned codes with them: an RQ-DINO that was trained with its quantizer."""
    if vectors.encoder.partition(":")[0] != NAME:
        return False
    encoder = make_encoder(vectors.encoder)
    return isinstance(encoder, RQDINOEncoder) and encoder.recipe.quantize != "none"


class SelfSupervisedIds:
    """The `Ids` of `vectors` that an encoder "rq-dino" made, by its own codebooks; `conflicts`: a policy.

    The network and its codebooks are given with the catalog, as any encoder is: they know the pictures of all items,
    and nobody's events. Where items share a code, those with training events come first. An item without a picture is
    coded as the mean vector is, and gets an ID of its own near that. Raises DataError for vectors of another encoder.
    """

    def __init__(self, vectors: Embeddings, conflicts: str = "least") -> None:
        if not has_codes(vectors):
            what = f'the encoder "{vectors.encoder}" learns no codes'
            raise DataError(what, field=f"{vectors.modality}_encoder", fix=f'choose "{NAME}", with its quantizer')
        self.vectors, self.conflicts = vectors, conflicts
        encoder = make_encoder(vectors.encoder)
        assert isinstance(encoder, RQDINOEncoder)
        self.encoder = encoder

    def learn(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """The training of the encoder, or its events where it is finished, as it is where its vectors are there."""
        yield from self.encoder.events(data)

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """One ID per item of the catalog."""
        return {self.vectors.modality: self._ids(data, split)[1]}

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """The codes themselves, before conflicts are resolved, and what that took."""
        codes, _, report = self._ids(data, split)
        return {self.vectors.modality: (codes, report)}

    def _ids(self, data: Dataset, split: Split) -> tuple[SemanticIds, SemanticIds, ConflictReport]:
        """The codes of all items, the IDs made of them, and the report of that."""
        table, policy, trained = self.vectors, self.conflicts, self.encoder.distillation(data)
        vectors = np.where(table.present[:, None], table.values, table.mean).astype(np.float32)
        codes, prefix = trained.codes(vectors), codebook_prefix(table.modality)
        names = tuple(f"{prefix}_{letter}" for letter in level_names(codes.shape[1]))
        ids = SemanticIds.from_codes(codes, names, trained.sizes, data.items["item_id"])
        counts = item_counts(split, data.num_items) if policy == "rank" else None
        extra = extra_codebook(table.modality, policy)
        seen = seen_items(split.train, data.num_items)
        return (ids, *unique_ids(ids, vectors, trained.codebooks(), policy, counts, extra, seen))

    def known(self, data: Dataset, split: Split) -> bool:
        """Whether the encoder was trained to its end before."""
        return self.encoder.distillation(data).checkpoint.finished()
