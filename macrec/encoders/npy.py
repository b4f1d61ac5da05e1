"""Vectors that were made elsewhere, in the place of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings
from macrec.encoders.kind import EncoderKind
from macrec.encoders.paths import existing_path


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


def made(rest: str, modality: str = "", **settings: Any) -> NpyEncoder | None:
    """The vectors of "npy:FILE"; None without a file or a modality."""
    return NpyEncoder(rest, modality, **settings) if rest and modality else None


ENCODER = EncoderKind(
    name="npy",
    form="npy:<file>",
    modality="any",
    make=made,
    located=existing_path,
    remark="vectors made elsewhere: one row per item, in the order of the item table, zeros where an item has none",
)
