"""Tuples of codes as arrays: packed into one integer each, checked against codebooks, and the error they leave."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError

Codes = NDArray[np.int32]
Keys = NDArray[np.int64]
Floats = NDArray[np.float64]
Codebooks = list[Floats]


def pack(codes: NDArray[np.integer], sizes: Sequence[int]) -> Keys:
    """Tuples `[N, L]` as one integer each `[N]`, in the same order: mixed radix, the last level counts in ones.

    Raises ValueError where the tuples of the codebook `sizes` outnumber 2^62.
    """
    if math.prod(sizes) > 1 << 62:
        raise ValueError(
            f"codebooks of {' x '.join(map(str, sizes))} codes give more than 2^62 tuples, which do not fit in 64-bit "
            "keys: use fewer levels or smaller codebooks"
        )
    keys = np.zeros(len(codes), np.int64)
    for level, size in enumerate(sizes):
        keys *= size
        keys += codes[:, level]
    return keys


def unpack(keys: Keys, sizes: Sequence[int]) -> Codes:
    """The tuples `[N, L]` of packed keys `[N]`."""
    codes = np.empty((len(keys), len(sizes)), np.int32)
    for level in reversed(range(len(sizes))):
        keys, codes[:, level] = np.divmod(keys, sizes[level])
    return codes


def errors(codes: NDArray[np.integer], vectors: NDArray[np.floating], codebooks: Sequence[Floats]) -> Floats:
    """Squared distance `[N]` of every vector `[N, d]` to the sum of its codewords."""
    rest = residuals(codes, vectors, codebooks)
    squared: Floats = np.einsum("nd,nd->n", rest, rest)
    return squared


def checked(
    codes: NDArray[np.integer], vectors: NDArray[np.floating], codebooks: Sequence[NDArray[np.floating]]
) -> tuple[Codes, Codebooks]:
    """The codes as int32 and the codebooks as float64, if they fit each other; DataError otherwise."""
    if vectors.ndim != 2 or codes.shape != (len(vectors), len(codebooks)) or not len(codebooks):
        raise DataError(
            f"codes {codes.shape} do not fit vectors {vectors.shape} and {len(codebooks)} codebooks",
            fix="pass codes [N, L], vectors [N, d] and L codebooks [K, d]",
        )
    if not np.issubdtype(codes.dtype, np.integer):
        raise DataError(f"codes are {codes.dtype}", fix="pass integers")
    for level, codebook in enumerate(codebooks):
        if (
            codebook.ndim != 2
            or codebook.shape[1] != vectors.shape[1]
            or not len(codebook)
            or not np.isfinite(codebook).all()
        ):
            raise DataError(
                f"the codebook of level {level} has shape {codebook.shape} or values that are not finite",
                fix=f"pass finite codewords [K, {vectors.shape[1]}]",
            )
        wrong = np.flatnonzero((codes[:, level] < 0) | (codes[:, level] >= len(codebook)))
        if len(wrong):
            raise DataError(
                f"code {codes[wrong[0], level]} at level {level} is not in a codebook of {len(codebook)}",
                row=f"item {wrong[0]}",
                fix=f"use codes from 0 to {len(codebook) - 1}",
            )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(wrong):
        raise DataError("the vector is not finite", row=f"item {wrong[0]}", fix="check the encoder that made it")
    return codes.astype(np.int32), [codebook.astype(np.float64) for codebook in codebooks]


def residuals(codes: NDArray[np.integer], vectors: NDArray[np.floating], codebooks: Sequence[Floats]) -> Floats:
    """What the codewords of the given levels leave of every vector `[N, d]`."""
    rest = vectors.astype(np.float64)
    for level, codebook in enumerate(codebooks):
        rest -= codebook[codes[:, level]]
    return rest
