"""From the bytes of an image file to RGB: upright, bounded in size, and with a reason where it does not work."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from macrec.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "MPO", "JPEG2000", "PPM", "ICO")
"""What is read, where Pillow can. Its other formats are not for photographs, and one of them starts a program (EPS)."""

LARGEST_PIXELS = 50_000_000
"""Pixels of the largest picture that is decoded (a photograph of 48 megapixels): more is taken for a bomb."""

LARGEST_BYTES = 64 << 20
"""Bytes of the largest image file that is read."""

# What Pillow raises for bytes that are no whole picture: its own errors and, from its plugins, those of all kinds.
UNDECODABLE = (
    UnidentifiedImageError,
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

ORIENTATION = 0x0112
"""The EXIF tag of a picture's orientation."""

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(data: bytes, *, file: Path, row: str) -> Image.Image:
    """Decode the bytes of a picture to upright RGB completely; `file` and `row` name it in the DataError."""
    try:
        return decoded(io.BytesIO(data))
    except UNDECODABLE as error:
        raise DataError(
            f"the image does not decode ({reason(error)})",
            file=file,
            row=row,
            field="image",
            fix="replace it, or leave the image of this item empty so that it counts as missing",
        ) from error


def decoded(source: io.BytesIO | Path) -> Image.Image:
    """A picture as upright RGB. Raises one of `UNDECODABLE`."""
    with Image.open(source, formats=formats()) as picture:
        check_size(picture)
        flat = flatten(picture)
        turn = UPRIGHT.get(orientation(picture))  # asked for after loading: Pillow turns some formats itself (TIFF)
        return flat if turn is None else flat.transpose(turn)


def defect(source: Path | bytes) -> str | None:
    """Why a file, or its bytes, is no picture that decodes, or None for one that does.

    What has the right size and begins and ends like a JPEG, PNG or WebP is taken for whole; others are decoded.
    """
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as stream:
            if (size := stream.seek(0, 2)) > LARGEST_BYTES:
                return f"{size / 1e6:,.0f} MB, more than {LARGEST_BYTES / 1e6:,.0f}"
            stream.seek(0)
            with Image.open(stream, formats=formats()) as picture:
                check_size(picture)
                if not is_closed(stream, picture.format):
                    picture.load()
    except UNDECODABLE as error:
        return reason(error)
    return None


def is_closed(stream: IO[bytes], kind: str | None) -> bool:
    """Whether a JPEG, PNG or WebP file ends as it should; False for all others. The stream stays in its place."""
    place = stream.tell()
    size = stream.seek(0, 2)
    stream.seek(0)
    head = stream.read(12)
    stream.seek(-min(size, 12), 2)
    tail = stream.read()
    stream.seek(place)
    if kind == "JPEG":
        return tail.endswith(b"\xff\xd9")
    if kind == "PNG":
        return tail.endswith(b"IEND\xaeB`\x82")
    return kind == "WEBP" and int.from_bytes(head[4:8], "little") + 8 <= size


def reason(error: BaseException) -> str:
    """What is wrong with a picture, in a few words on one line."""
    if isinstance(error, UnidentifiedImageError):
        return "no image format is recognized"
    return " ".join(str(error).split()) or type(error).__name__


@cache
def formats() -> list[str]:
    """Those of `FORMATS` that the installed Pillow supports."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def check_size(picture: Image.Image) -> None:
    """Raise DecompressionBombError for a picture that claims to be larger than any photograph."""
    width, height = picture.size
    if width * height > LARGEST_PIXELS:
        what = f"it is {width:,} × {height:,} pixels large, and up to {LARGEST_PIXELS / 1e6:.0f} million are read"
        raise Image.DecompressionBombError(what)


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or its entry is damaged."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except UNDECODABLE:
        return 1
    return value if isinstance(value, int) else 1


def flatten(picture: Image.Image) -> Image.Image:
    """RGB, with transparent parts on white (a plain convert would show whatever color hides under them)."""
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    if picture.mode.startswith("I"):  # 16 bits of gray; a plain convert would cut them off and leave white
        picture = gray(np.asarray(picture.convert("I"), np.float32) / 257)
    elif picture.mode == "F":  # brightness from 0 to 1 as a rule; a plain convert would leave black
        levels = np.nan_to_num(np.asarray(picture, np.float32))
        picture = gray(levels * 255 if levels.min() >= 0 and levels.max() <= 1 else levels)
    return picture.convert("RGB")


def gray(levels: NDArray[np.floating]) -> Image.Image:
    """A gray picture from brightness of 0 to 255."""
    return Image.fromarray(np.clip(np.round(levels), 0, 255).astype(np.uint8))
