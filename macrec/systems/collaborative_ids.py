"""Semantic IDs of what people do: of vectors that are made of the training histories, and of nothing later."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.split import Split, item_counts
from macrec.encoders.collaborative import COLLABORATIVE, collaborative_vectors
from macrec.encoders.embeddings import Embeddings, of_seen_items, statistics
from macrec.encoders.filled import filled
from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.lightgcn_training import LightGCNRecipe, lightgcn_table
from macrec.systems.sasrec import SASRec
from macrec.systems.sasrec_network import SASRecRecipe
from macrec.tokenizers.ids import LearnedIds, Leaves
from macrec.tokenizers.settings import CodebookSettings
from macrec.training import Event, generator_for

TEACHERS = ("ppmi", "sasrec", "lightgcn", "shuffled")
"""Whose vectors are quantized: see `CollaborativeIds`."""

SHUFFLED = 11
"""What the draw of a permutation is for, among the uses of a seed."""


class CollaborativeIds:
    """The `Ids` of the modality "collaborative", kept in `folder`.

    `teacher` "ppmi": vectors by how often items follow each other (`macrec.encoders.collaborative`); "sasrec": the item
    table of a SASRec, which learns by `recipe` without looking at a validation user; "lightgcn": that of a LightGCN,
    which knows who took what and no order, with the width, epochs and seed of `recipe`; "shuffled": the vectors of
    "ppmi", permuted among the items by the seed of `recipe`. The last is a control: the vectors are as distinct, and
    the IDs as many, but which items are alike says nothing, so that what it loses is what their structure is worth. An
    item without training events gets the vector that `content` predicts (`macrec.encoders.filled`), and so an ID that
    says something. Raises DataError for an unknown teacher.
    """

    def __init__(
        self,
        folder: Path,
        settings: CodebookSettings,
        content: Mapping[str, Embeddings],
        teacher: str = "ppmi",
        recipe: SASRecRecipe | None = None,
    ) -> None:
        if teacher not in TEACHERS:
            fix = f"choose one of {', '.join(TEACHERS)}"
            raise DataError(f'there is no teacher "{teacher}"', field="teacher", fix=fix)
        self.folder, self.settings, self.content = folder, settings, dict(content)
        self.teacher, self.recipe = teacher, recipe or SASRecRecipe()
        self._split: Split | None = None
        self._vectors: Embeddings | None = None
        self._ids: LearnedIds | None = None

    def learn(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """The training of the teacher, where it is trained, then that of the tokenizer."""
        if self._vectors is None or self._split is not split:
            vectors = yield from self._taught(data, split)
            content = of_seen_items(self.content, split)
            self._split, self._vectors = split, filled(vectors, list(content.values()))
            self._ids = LearnedIds(self.folder / "codebooks", {COLLABORATIVE: self._vectors}, self.settings)
        assert self._ids is not None
        yield from self._ids.learn(data, split)

    def _taught(self, data: Dataset, split: Split) -> Generator[Event, None, Embeddings]:
        recipe = self.recipe
        if self.teacher == "sasrec":
            sasrec = SASRec(recipe, self.folder / "sasrec")
            yield from sasrec.fit(data, training_part(split))
            return of_item_table(sasrec.item_table(), self.teacher, split)
        if self.teacher == "lightgcn":
            graph = LightGCNRecipe(recipe.width, epochs=recipe.epochs, seed=recipe.seed)
            table = yield from lightgcn_table(split, data.num_items, graph, self.folder / "lightgcn")
            return of_item_table(table, self.teacher, split)
        vectors = collaborative_vectors(split, data.num_items)
        return shuffled(vectors, recipe.seed) if self.teacher == "shuffled" else vectors

    def vectors(self, data: Dataset, split: Split) -> Embeddings:
        """The vectors that are quantized; where nothing was learned of `split` yet, it is now."""
        if self._vectors is None or self._split is not split:
            for _ in self.learn(data, split):
                pass
        assert self._vectors is not None
        return self._vectors

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """The IDs of all items; where nothing was learned of `split` yet, it is now."""
        self.vectors(data, split)
        assert self._ids is not None
        return self._ids.tables(data, split)

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """The IDs before conflicts are resolved, and what that took."""
        self.vectors(data, split)
        assert self._ids is not None
        return self._ids.leaves(data, split)

    def known(self, data: Dataset, split: Split) -> bool:
        """Whether both trainings were seen to their end: the vectors are made by `learn`, so never before it."""
        return self._ids is not None and self._split is split and self._ids.known(data, split)


def training_part(split: Split) -> Split:
    """The split without its validation users: on them a SASRec would choose which of its epochs to keep."""
    return split._replace(valid=split.valid.take(np.zeros(0, np.int64)))


def shuffled(vectors: Embeddings, seed: int) -> Embeddings:
    """The same vectors, permuted at random among the items that have one: mean and deviation stay what they are."""
    rows = np.flatnonzero(vectors.present)
    values = vectors.values.copy()
    values[rows] = vectors.values[rows[torch.randperm(len(rows), generator=generator_for(seed, SHUFFLED)).numpy()]]
    return replace(vectors, encoder=f"{vectors.encoder}, shuffled", values=values)


def of_item_table(values: NDArray[np.float32], teacher: str, split: Split) -> Embeddings:
    """The vectors `[N, d]` of a trained network's items, mean-centred at use, with one deviation for all dimensions.

    An item without training events is absent: its vector is where it was drawn. Half precision, as in
    `collaborative_vectors`.
    """
    table = values.astype(np.float16)
    present = item_counts(split, len(table)) > 0
    table = np.where(present[:, None], table, np.float16(0))
    mean, std = statistics(table, present)
    one = np.full_like(std, np.sqrt(np.mean(np.square(std))))
    return Embeddings(COLLABORATIVE, teacher, table, present, mean, one)
