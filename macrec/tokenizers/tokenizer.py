"""What a tokenizer is: it learns codebooks for the vectors of a catalog, once per setting, and gives semantic IDs.

One file per tokenizer in `macrec.tokenizers.kinds`. Its result is kept in a checkpoint and found again.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.data.split import Split, item_counts
from macrec.encoders import Embeddings
from macrec.encoders.embeddings import chunks
from macrec.errors import DataError
from macrec.quantization.conflict_policies import extra_codebook, unique_ids
from macrec.quantization.conflicts import ConflictReport
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.pseudo_labels import pseudo_labels
from macrec.tokenizers.settings import CodebookSettings
from macrec.training import Event, generator_for


class Tokenizer(ABC):
    """The codebooks of one setting; nothing is learned until `events` is consumed, or a checkpoint is found.

    The checkpoint's folder in `folder` is named by everything that decides the result, so that other settings never
    meet old weights, and equal ones find them again. How conflicts are resolved is no part of that.

    It learns from the items that `Embeddings.seen` names, the same in all modalities; the others get the nearest of the
    codewords that were learned. Raises ValueError where modalities differ in that.
    """

    def __init__(
        self, folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings
    ) -> None:
        self.data, self.embeddings, self.settings = data, dict(embeddings), settings
        self.identity: dict[str, Any] = {
            "dataset": data.fingerprint,
            "encoders": {name: table.encoder for name, table in embeddings.items()},
            "vectors": {name: digest(table) for name, table in embeddings.items()},
            "settings": self.decides(),
        }
        masks = [table.seen for table in self.embeddings.values() if table.seen is not None]
        self.seen = masks[0] if masks else None
        """`[N]`: the items that are learned from; None for all."""
        if masks and not (len(masks) == len(self.embeddings) and all(np.array_equal(masks[0], each) for each in masks)):
            raise ValueError("the modalities are to be learned from different items")
        if self.seen is not None:
            self.identity["learned_from"] = digest_of_rows(self.seen)
        self.checkpoint = Checkpoint.named(folder, self.identity)

    @abstractmethod
    def decides(self) -> dict[str, Any]:
        """The settings that decide the codebooks, as plain values."""

    @abstractmethod
    def events(self) -> Generator[Event, None, None]:
        """Train, or resume from the checkpoint; earlier events are yielded too."""

    @abstractmethod
    def ids(self, absent: bool = False) -> dict[str, SemanticIds]:
        """The semantic IDs of every modality as the quantizers give them, conflicts and all, for the items that have
        it; with `absent` for the others too, whose vector is the mean."""

    @abstractmethod
    def latents(self, absent: bool = False) -> dict[str, NDArray[np.float32]]:
        """What is quantized, `[n, width]` per modality: the rows of `ids`."""

    @abstractmethod
    def quantize(self, modality: str, vectors: Embeddings) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The codes `[M, L]` of further `vectors` of a modality, conflicts and all, and what is quantized `[M, width]`:
        what `ids` and `latents` give for the items of the catalog with `absent`. Nothing is learned from them."""

    @abstractmethod
    def codebooks(self) -> dict[str, list[NDArray[np.float32]]]:
        """The codebooks of every modality: one `[K_l, width]` per level, whose codewords sum to a decoded latent."""

    @abstractmethod
    def reconstruction(self) -> dict[str, float]:
        """The mean squared error of decoded codes over items and standardized dimensions, by modality."""

    def resolved(
        self, absent: bool = False, split: Split | None = None
    ) -> tuple[dict[str, SemanticIds], dict[str, ConflictReport]]:
        """The IDs after resolving conflicts by the policy of the settings, and what that took, by modality.

        Where there are more items than IDs, a level more counts the items of each ID. With `absent` there is an ID for
        every item of the catalog, as a generator needs: an item without the modality gets a free one near that of the
        mean vector: unique, but without information. Items that are not learned from come last: they get what the
        others leave, which have the IDs that they would have alone. The policy "rank" counts the training events of
        `split` (default: that of the data).
        """
        resolved, reports = {}, {}
        latents, books, policy = self.latents(absent), self.codebooks(), self.settings.conflicts
        counts = item_counts(split or self.data.split(), self.data.num_items) if policy == "rank" else None
        for name, ids in self.ids(absent).items():
            rows = slice(None) if absent else self.embeddings[name].present
            priority = None if counts is None else counts[rows]
            extra = extra_codebook(name, policy)
            first = None if self.seen is None else self.seen[rows]
            resolved[name], reports[name] = unique_ids(ids, latents[name], books[name], policy, priority, extra, first)
        return resolved, reports

    @cached_property
    def labels(self) -> dict[str, NDArray[np.int32]]:
        """Pseudo-labels `[N]` of every modality."""
        return catalog_labels(self.embeddings, self.settings.clusters, self.settings.recipe.seed)

    def batch(self, size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The standardized vectors `[B, d]` and the pseudo-labels `[B]` of `size` random items, by modality.

        Raises DataError for fewer than 2.
        """
        if size < 2:
            raise DataError(f"{size} cannot be used", field="batch", fix="give a number of 2 or more")
        rows = torch.randperm(self.data.num_items, generator=generator_for(self.settings.recipe.seed))[:size]
        chosen = rows.sort().values.numpy()
        x = {name: torch.from_numpy(table.standardized(chosen)) for name, table in self.embeddings.items()}
        return x, {name: torch.from_numpy(label[chosen]).long() for name, label in self.labels.items()}


def digest(embeddings: Embeddings) -> str:
    """A digest of the vectors: a file made elsewhere may change while its name stays."""
    hashed = hashlib.blake2b(np.packbits(embeddings.present).tobytes(), digest_size=8)
    for rows in chunks(embeddings.values):
        hashed.update(np.ascontiguousarray(embeddings.values[rows]).data)
    return hashed.hexdigest()


def digest_of_rows(rows: NDArray[np.bool_]) -> str:
    """A digest of which rows of a catalog these are, `[N]`."""
    return hashlib.blake2b(np.packbits(rows).tobytes(), digest_size=8).hexdigest()


def catalog_labels(embeddings: Mapping[str, Embeddings], clusters: int, seed: int) -> dict[str, NDArray[np.int32]]:
    """Pseudo-labels `[N]` of every modality; on small catalogs fewer, of at least three items on average.

    With a cluster for every item nothing would be alike, and the contrastive terms would have nothing to draw.
    """
    return {
        name: pseudo_labels(table, min(clusters, max(1, int(table.learnable.sum()) // 3)), seed)
        for name, table in embeddings.items()
    }
