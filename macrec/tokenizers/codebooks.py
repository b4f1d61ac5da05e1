"""A tokenizer that trains RQ-VAEs, one per modality, with or without terms between them."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.encoders import Embeddings
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.cross_modal import CrossModalRQVAE
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.tokenizers.training import CodebookTask
from macrec.training import Event, best_device, train


class Codebooks(Tokenizer):
    """The codebooks of RQ-VAEs, by `settings.config` and `settings.recipe`, whatever the name in the settings."""

    def decides(self) -> dict[str, Any]:
        """The network, its training and the number of pseudo-labels."""
        settings: dict[str, Any] = json.loads(json.dumps(asdict(self.settings)))
        return {name: settings[name] for name in ("config", "recipe", "clusters")}

    @cached_property
    def task(self) -> CodebookTask:
        """The model and its data, on the GPU where there is one."""
        dims = {name: table.dim for name, table in self.embeddings.items()}
        model = CrossModalRQVAE(dims, self.settings.config, self.settings.recipe.seed)
        model.to(best_device())
        return CodebookTask(model, self.embeddings, self.labels, self.settings.recipe)

    def events(self) -> Generator[Event, None, None]:
        """Train, or resume from the checkpoint; earlier events are yielded too."""
        yield from train(self.task, self.task.plan(), self.checkpoint)

    def ids(self, absent: bool = False) -> dict[str, SemanticIds]:
        """The codes of the quantizers, conflicts included."""
        return self.task.semantic_ids(self.data.items["item_id"], absent=absent)

    def latents(self, absent: bool = False) -> dict[str, NDArray[np.float32]]:
        """The encoder outputs `[n, width]` of every modality."""
        return {name: vectors.cpu().numpy() for name, vectors in self.task.latents(absent=absent).items()}

    @torch.no_grad()
    def quantize(self, modality: str, vectors: Embeddings) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The codes of further vectors, and the encoder outputs."""
        branch = self.task.module.eval().branch(modality)
        raw = not self.settings.recipe.standardize
        x = torch.from_numpy(np.array(vectors.values, np.float32) if raw else vectors.standardized())
        latents = torch.cat([branch.encoder(part) for part in torch.split(x.to(best_device()), 1 << 16)])
        return branch.quantizer.encode(latents).cpu().numpy(), latents.cpu().numpy()

    def codebooks(self) -> dict[str, list[NDArray[np.float32]]]:
        """The codebooks of every modality: one `[K_l, width]` per level."""
        module = self.task.module
        return {
            name: [book.detach().cpu().numpy() for book in module.branch(name).quantizer.codebooks]
            for name in module.modalities
        }

    def reconstruction(self) -> dict[str, float]:
        """The mean squared error of the decoded codes, by modality."""
        return self.task.reconstruction()
