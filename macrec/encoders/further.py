"""Vectors for items that come later, by an encoder that stays what it is for the old ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings, Float, nonzero_rows
from macrec.encoders.encoder import Encoder, GivenVectors, LearnsFromCatalog
from macrec.errors import DataError

TRIED = 8
"""Old items that are encoded again, to see that the encoder is the one that made their vectors."""

ROUNDING = 0.01
"""How far a vector that is computed again may be off, as a share of its length: half precision, other batches."""


def further_vectors(
    data: Dataset, embeddings: Embeddings, encoder: Encoder | GivenVectors, items: Dataset
) -> Embeddings:
    """The vectors of `items` `[M]` as `encoder` makes them, which made the `embeddings` of `data`.

    Nothing is learned from the new items: what an encoder learns, it learns of `data`, and mean and deviation are those
    of `embeddings`. Vectors from a file (`GivenVectors`) are those of the new items. Raises DataError for vectors of
    another width, and for an encoder that does not give `TRIED` old items the vectors that they have.
    """
    if isinstance(encoder, GivenVectors):
        given = encoder.open(items)
        return like(embeddings, given.values)
    encoder.prepare(data)
    own: Encoder = encoder
    if isinstance(encoder, LearnsFromCatalog):
        own = encoder.for_items(items)
    else:
        own.prepare(items)
    present = np.asarray(own.present(items), bool)
    values: Float = np.zeros((items.num_items, embeddings.dim), np.float32)
    rows = np.flatnonzero(present)
    old = np.flatnonzero(embeddings.present)[:TRIED]
    again = encoder.encode(data, old)
    if again.shape != (len(old), embeddings.dim) or not near(again, embeddings.values[old]):
        what = f"the encoder {embeddings.encoder} gives the old items other vectors than they have"
        fix = "use the version and the weights that made them; an encoder of your own needs a method for_items"
        raise DataError(what, field=embeddings.modality, fix=fix)
    if len(rows):
        values[rows] = own.encode(items, rows)
    return like(embeddings, values)


def like(embeddings: Embeddings, values: Float) -> Embeddings:
    """`values` `[M, d]` as vectors of the modality, with the mean and the deviation of `embeddings`.

    Rows of zeros are those of items without the modality, as in `Embeddings.from_npy`.
    """
    if values.shape[1] != embeddings.dim:
        what = f"the vectors of the new items have {values.shape[1]} dimensions, and those of the old {embeddings.dim}"
        raise DataError(what, field=embeddings.modality, fix="encode them with the same encoder")
    half = embeddings.values.dtype == np.float16
    vectors: Float = np.array(values, np.float16) if half else np.array(values, np.float32)
    present = nonzero_rows(vectors)
    return Embeddings(embeddings.modality, embeddings.encoder, vectors, present, embeddings.mean, embeddings.std)


def near(again: NDArray[np.floating], before: NDArray[np.floating]) -> bool:
    """Whether vectors `[n, d]` are the same but for rounding."""
    one, other = np.asarray(again, np.float64), np.asarray(before, np.float64)
    apart, length = np.linalg.norm(one - other, axis=1), np.linalg.norm(other, axis=1)
    return bool((apart <= ROUNDING * length + 1e-6).all())
