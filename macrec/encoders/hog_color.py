"""Pictures by their colors and shapes: color histograms with HOG, offline, nothing to learn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrec.data.dataset import Dataset
from macrec.encoders.encoder import DECODERS, library
from macrec.encoders.kind import EncoderKind, without_rest
from macrec.encoders.rotation import rotation


@cache
def color_table() -> tuple[NDArray[np.int64], int]:
    """The number below C of the perceptual color of each RGB value, `[32768]` by 5 bits per channel, and C.

    CIELAB is cut into boxes of 25 in lightness and 40 in both hue axes, so that equal boxes look equally different;
    the C boxes that RGB can reach are numbered.
    """
    from skimage.color import rgb2lab

    middle = (np.arange(32) * 8 + 4) / 255
    rgb = np.stack(np.meshgrid(middle, middle, middle, indexing="ij"), axis=-1).reshape(-1, 3)
    boxes = np.rint((rgb2lab(rgb) - [12.5, 0, 0]) / [25, 40, 40]).astype(int)
    distinct, number = np.unique(boxes, axis=0, return_inverse=True)
    return number.reshape(-1).astype(np.int64), len(distinct)


def color_histogram(picture: NDArray[np.uint8], cells: int = 3) -> NDArray[np.float32]:
    """Histogram the colors of an RGB picture `[size, size, 3]` in `cells` × `cells` places: `[cells² · C]`.

    The square root is taken, so that the distance of two vectors is the Hellinger distance of the histograms, and the
    length is 1. `size` is a multiple of `cells`.
    """
    table, colors = color_table()
    size = len(picture)
    red, green, blue = np.moveaxis(picture.astype(np.int64) >> 3, 2, 0)
    place = np.arange(size) * cells // size
    bins = (place[:, None] * cells + place) * colors + table.take(red << 10 | green << 5 | blue)
    counts = np.bincount(bins.ravel(), minlength=cells * cells * colors)
    return np.asarray(np.sqrt(counts) / size, np.float32)


@dataclass
class HogColorEncoder:
    """Color and shape without a network: perceptual color histograms beside a histogram of oriented gradients (HOG).

    Pictures are scaled to `size` × `size`. The color part counts perceptual colors in 3 × 3 places; the HOG part has
    4 × 4 cells with `orientations` directions, normalized in blocks of 2 × 2 (Dalal and Triggs, 2005). Both parts have
    unit length and a similar number of dimensions, so neither drowns the other.
    """

    size: int = 96
    orientations: int = 9
    name: str = field(default="hog-color", init=False)
    modality: str = field(default="image", init=False)

    def __post_init__(self) -> None:
        if self.size < 24 or self.size % 12:
            raise ValueError(f"size must be a multiple of 12 (for 3 and 4 cells a side), at least 24, got {self.size}")
        if self.orientations < 2:
            raise ValueError(f"orientations must be at least 2, got {self.orientations}")

    @property
    def settings(self) -> dict[str, Any]:
        """The size and the number of directions."""
        return {
            "version": 2,  # 2: rotated
            "size": self.size,
            "orientations": self.orientations,
            "library": library("scikit-image"),
        }

    def prepare(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with a picture, `[N]`."""
        return dataset.images.present

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Equal for all items, `[N]`: pictures are brought to one size before anything expensive happens."""
        return np.ones(dataset.num_items, np.int32)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Color part and HOG part, rotated, `[n, d]`. Raises DataError for a picture that does not decode."""

        def load(row: int) -> tuple[Image.Image, NDArray[np.float32]]:
            picture = dataset.images.open(row)
            scaled = picture.resize((self.size, self.size), Image.Resampling.BILINEAR, reducing_gap=2.0)
            return scaled, color_histogram(np.asarray(scaled))

        with ThreadPoolExecutor(DECODERS) as pool:
            # HOG holds the interpreter lock, so it runs here while the pool decodes the pictures that follow.
            parts = [np.hstack([color, self.hog(picture)]) for picture, color in pool.map(load, rows.tolist())]
        vectors = np.stack(parts)
        return np.asarray(vectors @ rotation(vectors.shape[1]), np.float32)

    def hog(self, picture: Image.Image) -> NDArray[np.float32]:
        """The gradient histograms of one picture of the right size, `[9 · 4 · orientations]`, of length 1.

        A plain surface has no gradients: its histograms stay zero.
        """
        from skimage.feature import hog

        gray = np.asarray(picture.convert("L"), np.float32)
        features = hog(gray, self.orientations, pixels_per_cell=(self.size // 4,) * 2, cells_per_block=(2, 2))
        return np.asarray(features / (np.linalg.norm(features) or 1), np.float32)


ENCODER = EncoderKind(
    name="hog-color",
    form="hog-color",
    modality="image",
    make=without_rest(HogColorEncoder),
    needs={"skimage": "scikit-image"},
    remark="colors and shapes, no weights; about 800 pictures a second on two CPU cores, 210 MB",
)
