"""The pictures of a catalog in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from macrec.data.dataset import Dataset
from macrec.encoders.encoder import DECODERS


def load_pictures(dataset: Dataset, rows: NDArray[np.integer], pixels: int) -> Tensor:
    """The pictures of the items in `rows` `[n]`, brought to one size: `[n, 3, pixels, pixels]` uint8.

    2,000 of 36 pixels take 8 MB. Raises DataError for a picture that does not decode, KeyError for an item without.
    """

    def load(row: int) -> NDArray[np.uint8]:
        picture = dataset.images.open(row)
        return np.asarray(picture.resize((pixels, pixels), Image.Resampling.BILINEAR, reducing_gap=2.0))

    held = np.empty((len(rows), pixels, pixels, 3), np.uint8)
    with ThreadPoolExecutor(DECODERS) as pool:
        for place, picture in enumerate(pool.map(load, rows.tolist())):
            held[place] = picture
    return torch.from_numpy(np.ascontiguousarray(held.transpose(0, 3, 1, 2)))
