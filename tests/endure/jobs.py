"""The jobs that `test_deaths` kills: what computes for long in macrec, on a small scale.

Importing this file computes nothing: what uses Polars or OpenMP starts threads, which a forked process has not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.lcrec_save import save_lcrec
from macrec.data.formats.parquet_save import save_parquet
from macrec.encoders import Embeddings, EmbeddingStore
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.training import CodebookRecipe, CodebookTask
from macrec.training import drain, train

ITEMS = 96


def numbers() -> Dataset:
    """A catalog of items that are called by their numbers."""
    rows = range(ITEMS)
    items = pl.DataFrame({"item_id": [f"i{row}" for row in rows], "title": [f"item {row}" for row in rows]})
    events = pl.DataFrame({"user_id": ["u"] * 3, "item_id": ["i0", "i1", "i2"]})
    return from_events("numbers", events, items, events_file="events", items_file="items")


@dataclass
class Sines:
    """Vectors that are a function of the row; every tenth item has none."""

    name: str = "sines"
    modality: str = "text"
    settings: dict[str, Any] = field(default_factory=dict)

    def prepare(self, dataset: Dataset) -> None:
        """There is nothing to prepare."""

    def present(self, dataset: Dataset) -> np.ndarray:
        return np.arange(dataset.num_items) % 10 != 3

    def cost(self, dataset: Dataset) -> np.ndarray:
        return (np.arange(dataset.num_items) * 7) % 11

    def encode(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        return np.sin(rows[:, None] * np.arange(1.0, 6.0)).astype(np.float32)


def store(folder: Path) -> None:
    """Embed a catalog."""
    found = EmbeddingStore(folder / "store", chunk=8).get(numbers(), Sines(), progress=False)
    arrays = (found.values, found.present, found.mean, found.std)
    (folder / "result").write_bytes(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))


def codebooks(folder: Path) -> None:
    """Train the codebooks of two modalities, keeping every event."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    groups = rng.integers(4, size=ITEMS)
    vectors = {
        name: Embeddings.from_values(name, "test", (rng.normal(size=(4, dim))[groups] + rng.random((ITEMS, dim)) + 1)
                                     .astype(np.float32))
        for name, dim in (("text", 8), ("image", 6))
    }  # fmt: skip
    rqvae = RQVAEConfig(projection=None, hidden=(8,), width=4, sizes=(6, 5), dropout=0.1)
    config = CrossModalConfig(rqvae, lambda_con=(0.0, 0.01), lambda_align=0.01)
    recipe = CodebookRecipe(epochs=6, batch=48, learning_rate=5e-3, warmup_share=0.2)
    module = CrossModalRQVAE({name: found.dim for name, found in vectors.items()}, config, recipe.seed)
    task = CodebookTask(module, vectors, dict.fromkeys(vectors, groups.astype(np.int32)), recipe)
    plan = task.plan(reports=12, measurements=4)
    trained = drain(train(task, plan, Checkpoint(folder / "kept", {"job": 1}), checkpoint_seconds=0))
    events = repr([(event.step, event.losses, event.measured) for event in trained.events])
    (folder / "result").write_bytes(events.encode() + save(dict(module.state_dict())))


def folders(folder: Path) -> None:
    """Save a dataset twice over in two layouts."""
    data = numbers()
    for write in (save_parquet, save_lcrec):
        for _ in range(2):
            write(data, folder / "saved" / write.__name__)
