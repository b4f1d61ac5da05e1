"""Image encoders: color histograms with HOG (offline, nothing to learn) and CLIP through open_clip."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from macrec.data.dataset import Dataset
from macrec.encoders.encoder import digest_path, library
from macrec.encoders.rotation import rotation
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError

DECODERS = min(8, os.cpu_count() or 1)
"""Threads that decode pictures (Pillow releases the interpreter lock while it decodes)."""


# ------------------------------------------------------------------------------------------------ color and HOG


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


# --------------------------------------------------------------------------------------------------------- CLIP


@dataclass
class OpenClipEncoder:
    """The picture half of a CLIP model from open_clip, with the model's own preprocessing; vectors not normalized.

    `model` is an architecture of open_clip and `pretrained` a tag of weights for it or a local file; `model` may also
    be "hf-hub:owner/name" or "local-dir:folder", which bring their weights along. `pretrained=None` then means those;
    otherwise it means random weights drawn from `seed`, which say nothing about pictures: for tests, and named so.
    `precision` is open_clip's ("fp32", "fp16", "bf16"); half precision is stored as float16.
    """

    model: str = "ViT-B-32"
    pretrained: str | None = "laion2b_s34b_b79k"
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    seed: int = 0
    batch_size: int = 64
    device: str | None = None
    modality: str = field(default="image", init=False)
    _loaded: Any = field(default=None, init=False, repr=False, compare=False)
    _preprocess: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16", "bf16"):
            raise ValueError(f"precision must be fp32, fp16 or bf16, got {self.precision}")
        if self.brings_weights and self.pretrained is not None:
            raise ValueError(f"{self.model} brings its weights along: leave pretrained at None")

    @property
    def brings_weights(self) -> bool:
        """Whether the model's name says where the weights are."""
        return self.model.startswith(("hf-hub:", "local-dir:"))

    @property
    def name(self) -> str:
        """Architecture and weights."""
        if self.brings_weights:
            return f"clip-{Path(self.model.partition(':')[2]).name}"
        return f"clip-{self.model}-{'random' if self.pretrained is None else Path(self.pretrained).name}"

    @property
    def settings(self) -> dict[str, Any]:
        """The weights and the precision; local weights are known by their contents, not by their path."""
        return {"weights": self.weights, "precision": self.precision, "library": library("open_clip_torch")}

    @cached_property
    def weights(self) -> str:
        """What the vectors come from, as text. Raises DataError for a local folder that does not exist."""
        if self.model.startswith("local-dir:"):
            folder = Path(self.model.removeprefix("local-dir:")).expanduser()
            if not folder.is_dir():
                raise self.not_loaded("the folder does not exist")
            return digest_path(folder)
        if self.pretrained is None:
            return self.model if self.brings_weights else f"{self.model} random {self.seed}"
        local = Path(self.pretrained).expanduser()
        return f"{self.model} {digest_path(local) if local.is_file() else self.pretrained}"

    def not_loaded(self, why: str) -> DataError:
        """The error for a model that cannot be had."""
        return DataError(
            f'the CLIP model "{self.model}" with weights "{self.pretrained}" cannot be loaded: {why}',
            fix="check the names (open_clip.list_pretrained()) and the connection, or work offline: give the path of a "
            'weights file as pretrained, "local-dir:<folder>" as model, or use the encoder "hog-color"',
        )

    def prepare(self, dataset: Dataset) -> None:
        """Load the weights, once. Raises DataError when they cannot be had; no other weights take their place."""
        if self._loaded is not None:
            return
        import_torchvision()
        import open_clip
        import torch

        device = self.device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            # Initial weights come from torch's global generator: seed it, and give it back as it was.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                model, _, preprocess = open_clip.create_model_and_transforms(
                    self.model,
                    pretrained=self.pretrained,
                    precision=self.precision,
                    device=device,
                )
        except Exception as error:  # open_clip, the hub and torch each have their own errors
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise self.not_loaded(why[0].rstrip(".")) from error
        self._loaded, self._preprocess = model.eval(), preprocess

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with a picture, `[N]`."""
        return dataset.images.present

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Equal for all items, `[N]`: pictures are brought to one size before anything expensive happens."""
        return np.ones(dataset.num_items, np.int32)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.floating]:
        """The projected image features, `[n, d]`. Raises DataError for a picture that does not decode."""
        self.prepare(dataset)
        import torch

        first = next(self._loaded.parameters())
        features = []
        with torch.inference_mode():
            for pictures in self.batches(dataset, rows.tolist()):
                batch = torch.stack(pictures).to(first.device, first.dtype)
                features.append(self._loaded.encode_image(batch).float().cpu().numpy())
        return np.concatenate(features).astype(np.float32 if self.precision == "fp32" else np.float16)

    def batches(self, dataset: Dataset, rows: Sequence[int]) -> Iterator[list[Any]]:
        """Preprocessed pictures in batches; threads decode the next batch while the model works on this one."""

        def load(row: int) -> Any:
            return self._preprocess(dataset.images.open(row))

        with ThreadPoolExecutor(DECODERS) as pool:
            ahead: list[Future[Any]] = [pool.submit(load, row) for row in rows[: self.batch_size]]
            for start in range(self.batch_size, len(rows) + self.batch_size, self.batch_size):
                batch, ahead = ahead, [pool.submit(load, row) for row in rows[start : start + self.batch_size]]
                yield [future.result() for future in batch]
