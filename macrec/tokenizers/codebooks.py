"""Codebooks of a catalog, the first stage of a generative system: trained once per setting, then found again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.encoders.embeddings import chunks
from macrec.errors import DataError
from macrec.quantization.conflicts import ConflictReport, resolve_conflicts
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.pseudo_labels import pseudo_labels
from macrec.tokenizers.training import CodebookRecipe, CodebookTask
from macrec.training import Event, best_device, generator_for, train

MOST_LEVELS = 8
"""More levels are refused: the sentences of a generator would be too long."""

CODEWORDS = (256, 64, 16)
"""How many codewords a level may have unless told otherwise: the largest number that leaves each ten items."""


def fitting_size(items: int, levels: int = 0, codewords: int = 0) -> tuple[int, int]:
    """Levels and codewords per level for a catalog of `items`, where they are 0; others stay as they are.

    256 codewords, as published IDs have them, from 2,560 items on: with 64, the names of a larger catalog crowd into
    the same IDs. Four levels, and more where that leaves fewer than 100 IDs per item.

    >>> fitting_size(300), fitting_size(2_000), fitting_size(12_101), fitting_size(2_000, codewords=16)
    ((4, 16), (4, 64), (4, 256), (5, 16))
    """
    codewords = codewords or next((size for size in CODEWORDS if items >= 10 * size), CODEWORDS[-1])
    needed = next((count for count in range(4, MOST_LEVELS) if codewords**count >= 100 * items), MOST_LEVELS)
    return levels or needed, codewords


@dataclass(frozen=True)
class CodebookSettings:
    """Everything that decides what codebooks come out: the model, the recipe, and the number of pseudo-labels."""

    config: CrossModalConfig
    recipe: CodebookRecipe
    clusters: int = 512

    def independent(self) -> CodebookSettings:
        """The same training without any cross-modal term."""
        return replace(self, config=self.config.independent())

    def compat(self) -> CodebookSettings:
        """The same network, trained as the published code trains it."""
        return replace(self, config=self.config.compat(), recipe=self.recipe.compat())

    def with_lambda(self, value: float) -> CodebookSettings:
        """The same with another contrastive weight on the levels that have one (the upper half if none has)."""
        before = self.config.lambda_con
        upper = (level >= len(before) // 2 for level in range(len(before)))
        chosen = (weight > 0 for weight in before) if any(before) else upper
        weights = tuple(value if here else 0.0 for here in chosen)
        return replace(self, config=replace(self.config, lambda_con=weights))

    def with_seed(self, seed: int) -> CodebookSettings:
        """The same from another random start."""
        return replace(self, recipe=replace(self.recipe, seed=seed))


class Codebooks:
    """The codebooks of one setting; untrained until `events` is consumed, or a checkpoint is found.

    The checkpoint's folder in `folder` is named by everything that decides the result, so that other settings never
    meet old weights, and equal ones find them again.
    """

    def __init__(
        self, folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings
    ) -> None:
        self.data, self.embeddings, self.settings = data, dict(embeddings), settings
        self.identity = {
            "dataset": data.fingerprint,
            "encoders": {name: found.encoder for name, found in embeddings.items()},
            "vectors": {name: digest(found) for name, found in embeddings.items()},
            "settings": json.loads(json.dumps(asdict(settings))),
        }
        self.checkpoint = Checkpoint.named(folder, self.identity)

    @cached_property
    def labels(self) -> dict[str, NDArray[np.int32]]:
        """Pseudo-labels `[N]` of every modality."""
        return catalog_labels(self.embeddings, self.settings.clusters, self.settings.recipe.seed)

    @cached_property
    def task(self) -> CodebookTask:
        """The model and its data, on the GPU where there is one."""
        dims = {name: found.dim for name, found in self.embeddings.items()}
        model = CrossModalRQVAE(dims, self.settings.config, self.settings.recipe.seed)
        model.to(best_device())
        return CodebookTask(model, self.embeddings, self.labels, self.settings.recipe)

    def events(self) -> Generator[Event, None, None]:
        """Train, or go on where the checkpoint stands; what was done before comes as events too."""
        yield from train(self.task, self.task.plan(), self.checkpoint)

    def batch(self, size: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The standardized vectors `[B, d]` and the pseudo-labels `[B]` of `size` random items, by modality.

        Raises DataError for fewer than 2.
        """
        if size < 2:
            raise DataError(f"{size} cannot be used", field="batch", fix="give a number of 2 or more")
        rows = torch.randperm(self.data.num_items, generator=generator_for(self.settings.recipe.seed))[:size]
        chosen = rows.sort().values.numpy()
        x = {name: torch.from_numpy(found.standardized(chosen)) for name, found in self.embeddings.items()}
        return x, {name: torch.from_numpy(label[chosen]).long() for name, label in self.labels.items()}

    def ids(self) -> dict[str, SemanticIds]:
        """The semantic IDs of every modality, for the items that have it, as the quantizers give them."""
        return self.task.semantic_ids(self.data.items["item_id"])

    def resolved(self, absent: bool = False) -> tuple[dict[str, SemanticIds], dict[str, ConflictReport]]:
        """The same after resolving conflicts, and what that took, by modality.

        Where there are more items than IDs, a level more counts the items of each ID. With `absent` there is an ID for
        every item of the catalog, as a generator needs: an item without the modality gets a free one near that of the
        mean vector, which tells it from the others and nothing more.
        """
        found, reports = {}, {}
        latents, books = self.task.latents(absent=absent), self.codebooks()
        for name, ids in self.task.semantic_ids(self.data.items["item_id"], absent=absent).items():
            codes, report = resolve_conflicts(
                ids.codes, latents[name].cpu().numpy(), books[name], saturated="extra_level"
            )
            extra = codes[:, ids.num_levels :]
            found[name] = SemanticIds.from_codes(
                codes,
                ids.codebooks + (f"{name}_count",) * extra.shape[1],
                ids.sizes + tuple(int(size) for size in extra.max(0, initial=0) + 1),
                ids.item_ids,
            )
            reports[name] = report
        return found, reports

    def latents(self) -> dict[str, NDArray[np.float32]]:
        """The encoder outputs `[n, width]` of every modality, for the items that have it: the rows of `ids`."""
        return {name: found.cpu().numpy() for name, found in self.task.latents().items()}

    def codebooks(self) -> dict[str, list[NDArray[np.float32]]]:
        """The codebooks of every modality: one `[K_l, width]` per level."""
        module = self.task.module
        return {
            name: [book.detach().cpu().numpy() for book in module.branch(name).quantizer.codebooks]
            for name in module.modalities
        }


def digest(embeddings: Embeddings) -> str:
    """A digest of the vectors: a file made elsewhere may change while its name stays."""
    found = hashlib.blake2b(np.packbits(embeddings.present).tobytes(), digest_size=8)
    for rows in chunks(embeddings.values):
        found.update(np.ascontiguousarray(embeddings.values[rows]).data)
    return found.hexdigest()


def catalog_labels(embeddings: Mapping[str, Embeddings], clusters: int, seed: int) -> dict[str, NDArray[np.int32]]:
    """Pseudo-labels `[N]` of every modality; on small catalogs fewer, of at least three items on average.

    With a cluster for every item nothing would be alike, and the contrastive terms would have nothing to draw.
    """
    return {
        name: pseudo_labels(found, min(clusters, max(1, int(found.present.sum()) // 3)), seed)
        for name, found in embeddings.items()
    }
