"""Where the pictures of a dataset are, and how one is opened. Pictures are decoded only when asked for."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from macrec.errors import DataError


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


# What Pillow raises for bytes that are no whole picture: its own errors and, from some plugins, their libraries'.
UNDECODABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, RuntimeError, Image.DecompressionBombError)


def decode(data: bytes, *, file: Path, row: str) -> Image.Image:
    """Decode the bytes of a picture to RGB completely; `file` and `row` name it in the DataError."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return flatten(picture)
    except UNDECODABLE as error:
        why = "no image format is recognized" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(
            f"the image does not decode ({why or type(error).__name__})",
            file=file,
            row=row,
            field="image",
            fix="replace it, or leave the image of this item empty so that it counts as missing",
        ) from error


def flatten(picture: Image.Image) -> Image.Image:
    """RGB, with transparent parts on white (a plain convert would show whatever color hides under them)."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if picture.mode.startswith("I"):  # 16 bits of gray; a plain convert would cut them off and leave white
        levels = np.asarray(picture.convert("I"), np.float32) / 257
        picture = Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
    return picture.convert("RGB")


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
        try:
            data = file.read_bytes()
        except OSError as error:
            what = f"the image cannot be read ({error.strerror})"
            fix = "check the file and its permissions"
            raise DataError(what, file=file, row=f"item {self.names[row]}", field="image", fix=fix) from error
        return decode(data, file=file, row=f"item {self.names[row]}")

    def content_keys(self) -> list[bytes | None]:
        """A digest of each file's bytes."""
        return [
            None if file is None else hashlib.blake2b(file.read_bytes(), digest_size=16).digest() for file in self.files
        ]

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


def digest_keys(keys: list[bytes | None]) -> str:
    """One hexadecimal digest of a list of content keys, order included."""
    digest = hashlib.blake2b(digest_size=16)
    for key in keys:
        digest.update(b"\0" if key is None else b"\1" + key)
    return digest.hexdigest()
