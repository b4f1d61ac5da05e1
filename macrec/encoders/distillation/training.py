"""One RQ-DINO for the pictures of one dataset: trained once, kept in a checkpoint, asked for vectors and codes."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.encoders.distillation.labels import category_labels
from macrec.encoders.distillation.model import RQDINO, codes_of
from macrec.encoders.distillation.pictures import load_pictures
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.encoders.distillation.task import DistillationTask, sizes_for
from macrec.training import Event, best_device, train


class Distillation:
    """The RQ-DINO of a dataset's pictures; `settings` are what decides it, and its checkpoint lies below `folder`.

    Nothing is learned until `events` is consumed, or something is asked for that needs it.
    """

    def __init__(self, dataset: Dataset, recipe: DistillationRecipe, settings: dict[str, Any], folder: Path) -> None:
        self.dataset, self.recipe = dataset, recipe
        self.rows = np.flatnonzero(dataset.images.present)
        self.sizes = sizes_for(recipe, len(self.rows))
        identity = {"pictures": dataset.modality_fingerprint("image"), "settings": json.loads(json.dumps(settings))}
        self.checkpoint = Checkpoint.named(folder, identity)

    @cached_property
    def task(self) -> DistillationTask:
        """The network and all pictures, on the GPU where there is one."""
        pictures = load_pictures(self.dataset, self.rows, self.recipe.pixels)
        module = RQDINO(self.recipe, self.sizes).to(best_device())
        return DistillationTask(module, pictures, category_labels(self.dataset)[self.rows])

    def events(self) -> Generator[Event, None, None]:
        """Train, or resume from the checkpoint; earlier events are yielded too. Raises DataError for a collapse."""
        yield from train(self.task, self.task.plan(), self.checkpoint)

    @cached_property
    def module(self) -> RQDINO:
        """The trained network; trained now where it is not yet."""
        if not self.checkpoint.finished():
            for _ in self.events():
                pass
            return self.task.module.eval()
        stored = self.checkpoint.load()
        assert stored is not None
        # Weights that a network of timm began with are not asked for again.
        name, slash, _ = self.recipe.network.partition("/")
        begun = replace(self.recipe, network=f"{name}/random") if slash else self.recipe
        module = RQDINO(begun, self.sizes)
        weights = {name: value for name, value in stored[0].items() if name.startswith("module.")}
        module.load_state_dict({name.removeprefix("module."): value for name, value in weights.items()})
        return module.to(best_device()).eval()

    def vectors(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The vectors `[n, width]` of the pictures of the items in `rows` `[n]`."""
        module = self.module
        pictures = load_pictures(self.dataset, rows, self.recipe.pixels)
        return np.asarray(module.vectors(pictures).cpu().numpy(), np.float32)

    def codebooks(self) -> list[NDArray[np.float32]]:
        """The codebooks that were learned with the network, `[K_l, width]` per level."""
        return [codebook.cpu().numpy() for codebook in self.module.codebooks]

    def codes(self, vectors: NDArray[np.floating]) -> NDArray[np.int32]:
        """The codes `[n, L]` of `vectors` `[n, width]`."""
        own = self.module.codebooks
        return codes_of(torch.from_numpy(np.array(vectors, np.float32)).to(own[0].device), own).cpu().numpy()
