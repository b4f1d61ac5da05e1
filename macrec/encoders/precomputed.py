"""Vectors that were made elsewhere, in the place of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings


@dataclass(frozen=True)
class NpyEncoder:
    """The vectors in the `.npy` file `path`, row i for item i. See `Embeddings.from_npy` for what is accepted.

    `EmbeddingStore.get` opens the file where it is; there is nothing to compute, so this has none of an encoder's
    other methods.
    """

    path: Path | str
    modality: str
    mask: Path | str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return f"npy:{Path(self.path).name}"

    def open(self, dataset: Dataset) -> Embeddings:
        """Open the file for `dataset`."""
        return Embeddings.from_npy(self.path, dataset, self.modality, self.mask)
