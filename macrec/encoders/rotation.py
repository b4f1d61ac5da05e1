"""A random rotation, so that standardizing every dimension does not change which items are near each other."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=8)
def rotation(dim: int, seed: int = 0) -> NDArray[np.float32]:
    """A random orthogonal matrix `[dim, dim]`: rows multiplied by it keep their distances and angles.

    Where few dimensions hold most of the variance, as after an SVD, scaling each to one deviation would make the noise
    of the last as large as the first; codebooks then code noise. Rotated, every dimension has its share of everything.
    (In language models, where a few outlier dimensions dominate, scaling per dimension may be needed.)
    """
    drawn = np.random.default_rng([seed, dim]).standard_normal((dim, dim))
    orthogonal, triangle = np.linalg.qr(drawn)
    orthogonal *= np.sign(np.diag(triangle))  # the one decomposition that makes every rotation equally likely
    matrix = orthogonal.astype(np.float32)
    matrix.setflags(write=False)
    return matrix
