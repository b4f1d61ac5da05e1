"""The interface of an encoder: it turns items into vectors, and names all that its vectors depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings

DECODERS = min(8, os.cpu_count() or 1)
"""Threads that decode pictures (Pillow releases the interpreter lock while it decodes)."""


class Encoder(Protocol):
    """Turns items into vectors, in one modality.

    The order of use is `prepare`, then `present`, `cost` and `encode` on the same dataset; `EmbeddingStore.get` does
    all of it. Each row that `encode` returns depends on its own item (and on what `prepare` learned), never on the
    rows beside it.
    """

    @property
    def name(self) -> str:
        """A short name, for display and folder names."""

    @property
    def modality(self) -> str:
        """ "text", "image", ..."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that changes the vectors, as JSON values: two encoders with equal settings make equal vectors.

        How fast they are made (device, batch size) does not belong here.
        """

    def prepare(self, dataset: Dataset) -> None:
        """Load what is needed to encode `dataset`, or learn it from `dataset`. Calling it again changes nothing."""

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Which items can be encoded, `[N]`. The others are never passed to `encode`."""

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """How long each item takes, in any unit, `[N]`: items of similar cost are encoded together."""

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.floating]:
        """The vectors of the items in `rows` `[n]`, in that order: `[n, d]`, float16 or float32."""


@runtime_checkable
class LearnsFromCatalog(Protocol):
    """An encoder whose `prepare` learns from the items: it also encodes those that come later, as learned."""

    def for_items(self, dataset: Dataset) -> Encoder:
        """The same encoder, prepared for the items of another dataset without learning from them."""


@runtime_checkable
class GivenVectors(Protocol):
    """Takes the place of an encoder for vectors that were computed elsewhere."""

    @property
    def name(self) -> str:
        """A short name, for display."""

    @property
    def modality(self) -> str:
        """The modality of the vectors."""

    def open(self, dataset: Dataset) -> Embeddings:
        """The vectors, one row per item of `dataset`."""


def library(name: str) -> str:
    """A library with its version up to the minor number, for `settings`: where the code makes the vectors, it counts.

    >>> library("numpy").split(" ")[0]
    'numpy'
    """
    return f"{name} {'.'.join(metadata.version(name).split('.')[:2])}"


def digest_path(path: Path) -> str:
    """A digest of a file, or of all files below a folder with their relative names: what local weights are known by."""
    digest = hashlib.blake2b(digest_size=16)
    for file in [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file()):
        if file != path:
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "blake2b").digest())
    return digest.hexdigest()
