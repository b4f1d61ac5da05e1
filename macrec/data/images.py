"""Where the pictures of a dataset are, and how one is opened. Pictures are decoded only when opened."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from macrec.data.reading.decoding import LARGEST_BYTES, decode
from macrec.errors import DataError

DECODING_VERSION = b"2"
"""Raise it when `decode` shows anything differently: what was learned from the pictures then no longer fits them."""


class ImageSource(Protocol):
    """The pictures of N items; row i belongs to row i of the item table."""

    @property
    def present(self) -> NDArray[np.bool_]:
        """`[N]`: which items have a picture."""

    @property
    def fingerprint(self) -> str:
        """Changes when, and only when, a picture changes."""

    def open(self, row: int) -> Image.Image:
        """Decode one picture to RGB. Raises DataError when it does not decode, KeyError when the item has none."""

    def content_keys(self) -> list[bytes | None]:
        """One key per item, equal for byte-identical pictures, None where there is none: finds exact duplicates."""


class NoImages:
    """A dataset of N items without pictures."""

    fingerprint = "none"

    def __init__(self, num_items: int) -> None:
        self.present: NDArray[np.bool_] = np.zeros(num_items, bool)

    def open(self, row: int) -> Image.Image:
        """Always raises KeyError: there is nothing to open."""
        raise KeyError(f"item {row} has no picture")

    def content_keys(self) -> list[bytes | None]:
        """None for every item."""
        return [None] * len(self.present)


class FolderImages:
    """Pictures as files below one folder, one relative path (or None) per item.

    Raises DataError at once for a path that leaves the folder and for a file that is not there; `names` are the item
    ids used in messages.
    """

    def __init__(self, folder: Path, paths: Sequence[str | None], names: Sequence[str]) -> None:
        self.folder = folder
        root = folder.resolve()
        self.files: list[Path | None] = []
        for path, name in zip(paths, names, strict=True):
            if not path:
                self.files.append(None)
                continue
            row = f"item {name}"
            try:
                file = (root / path).resolve()
                exists = file.is_file()
            except (ValueError, OSError, RuntimeError) as error:  # a NUL byte, a name too long, a loop of links
                what = f"the image path is not usable ({error})"
                raise DataError(what, file=folder, row=row, field="image", fix="correct it") from error
            if not file.is_relative_to(root):
                what, fix = f'the image path "{path}" leaves the image folder', "use a path inside that folder"
                raise DataError(what, file=folder, row=row, field="image", fix=fix)
            if not exists:
                fix = "add the file, or leave the image of this item empty"
                raise DataError(f'the image file "{path}" does not exist', file=folder, row=row, field="image", fix=fix)
            self.files.append(file)
        self.names = list(names)
        self.present: NDArray[np.bool_] = np.array([file is not None for file in self.files], bool)

    def open(self, row: int) -> Image.Image:
        """Read and decode one file."""
        file = self.files[row]
        if file is None:
            raise KeyError(f"item {self.names[row]} has no picture")
        row_name = f"item {self.names[row]}"
        try:
            if (size := file.stat().st_size) > LARGEST_BYTES:
                what = f"the image file has {size / 1e6:,.0f} MB, more than {LARGEST_BYTES / 1e6:,.0f}"
                raise DataError(what, file=file, row=row_name, field="image", fix="give a smaller picture")
            data = file.read_bytes()
        except OSError as error:
            what = f"the image cannot be read ({error.strerror})"
            fix = "check the file and its permissions"
            raise DataError(what, file=file, row=row_name, field="image", fix=fix) from error
        return decode(data, file=file, row=row_name)

    def content_keys(self) -> list[bytes | None]:
        """A digest of each file's bytes."""
        return [None if file is None else digest_of(file) for file in self.files]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every file's bytes, read once."""
        return digest_keys(self.content_keys())


class PackedImages:
    """Pictures as encoded bytes in a parquet column, held in memory: one bytes object (or None) per item."""

    def __init__(self, file: Path, data: pl.Series, names: Sequence[str]) -> None:
        self.file, self.data, self.names = file, data, list(names)
        self.present: NDArray[np.bool_] = data.is_not_null().to_numpy()

    def open(self, row: int) -> Image.Image:
        """Decode one cell of the column."""
        data = self.data[row]
        if data is None:
            raise KeyError(f"item {self.names[row]} has no picture")
        return decode(data, file=self.file, row=f"item {self.names[row]}")

    def content_keys(self) -> list[bytes | None]:
        """A digest of each cell's bytes."""
        return [None if data is None else hashlib.blake2b(data, digest_size=16).digest() for data in self.data]

    @cached_property
    def fingerprint(self) -> str:
        """A digest of every cell."""
        return digest_keys(self.content_keys())


def digest_of(file: Path) -> bytes:
    """A digest of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).digest()


def digest_keys(keys: list[bytes | None]) -> str:
    """One hexadecimal digest of a list of content keys, order included."""
    digest = hashlib.blake2b(DECODING_VERSION, digest_size=16)
    for key in keys:
        digest.update(b"\0" if key is None else b"\1" + key)
    return digest.hexdigest()
