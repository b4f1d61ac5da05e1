"""Vectors of what people do: items that follow each other in the training histories lie close.

Co-occurrence counts, their positive pointwise mutual information, and a truncated singular value decomposition of that:
what a skip-gram model learns from the same histories (Levy and Goldberg, "Neural Word Embedding as Implicit Matrix
Factorization", NIPS 2014), without a training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from macrec.data.split import Samples, Split
from macrec.data.transitions import transition_counts
from macrec.encoders.embeddings import Embeddings, statistics
from macrec.errors import NotApplicable

if TYPE_CHECKING:
    from scipy.sparse import coo_array, csr_array

COLLABORATIVE = "collaborative"
"""What the modality is called."""
GAPS = 2
"""Items that are so many steps apart at most count as neighbors, each time 1 / gap."""
NOISE = 1e-6
"""Singular values below this share of the largest are rounding: the matrix has no further dimensions."""


def collaborative_vectors(split: Split, num_items: int, dim: int = 64) -> Embeddings:
    """Embeddings `[N, d]` of the N = `num_items` items by the transitions in the training part of `split`.

    U √S of `positive_pmi` ≈ U S Vᵀ, the largest singular value first; the entry of a dimension that is largest in
    absolute value is positive. d is `dim`, or less where the matrix has no more dimensions. One deviation standardizes
    all dimensions, so that they keep their weights √S. Items without a training transition are absent.

    Numbers are in half precision: their bits, which name what is trained on them, then do not depend on the rounding of
    the machine. Raises NotApplicable where no item follows another more often than by chance, ValueError for a `dim`
    below 1.
    """
    if dim < 1:
        raise ValueError(f"dim must be 1 or more, got {dim}")
    pmi, present = positive_pmi(split.train, num_items)
    if not pmi.nnz:
        raise NotApplicable(
            "no item follows another in the training histories more often than by chance",
            field=COLLABORATIVE,
            fix="give more or longer histories, or leave this modality out",
        )
    values = np.zeros((num_items, min(dim, int(present.sum()) - 1)), np.float16)
    values[present] = singular_vectors(pmi[present][:, present], values.shape[1])
    values = values[:, values.any(0)]
    mean, std = statistics(values, present)
    return Embeddings(COLLABORATIVE, "ppmi", values, present, mean, np.full_like(std, np.sqrt(np.mean(np.square(std)))))


def positive_pmi(train: Samples, num_items: int) -> tuple[csr_array, NDArray[np.bool_]]:
    """max(0, log p(i, j) / (p(i) p(j))) of items up to `GAPS` steps apart, `[N, N]`, and who has any, `[N]`."""
    from scipy.sparse import csr_array  # takes a while, and the list of encoders is to be there at once

    counts = transition_counts(train, num_items, GAPS)
    both: coo_array = (counts + counts.T).tocoo()
    each = np.asarray(both.sum(axis=1)).ravel()
    row, column = both.coords
    pmi = np.log(both.data * each.sum() / (each[row] * each[column]))
    kept = pmi > 0
    return csr_array((pmi[kept], (row[kept], column[kept])), shape=both.shape), each > 0


def singular_vectors(matrix: csr_array, count: int) -> NDArray[np.float16]:
    """The first `count` left singular vectors times √S, `[n, count]`, `count` < n; zeros beyond the matrix's rank."""
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(0).standard_normal(matrix.shape[0])
    with threadpool_limits(1, "blas"):  # waking a second thread for every short product takes ten times as long
        vectors, lengths, _ = svds(matrix, count, v0=start)
    order = np.argsort(-lengths, kind="stable")
    lengths = np.where(lengths > NOISE * lengths.max(), lengths, 0.0)[order]
    values = (vectors[:, order] * np.sqrt(lengths)).astype(np.float16)
    largest = np.take_along_axis(values, np.abs(values).argmax(0, keepdims=True), 0)
    # Plus 0, as the bits of -0 are others than those of 0.
    signed: NDArray[np.float16] = values * np.sign(largest) + np.float16(0)
    return signed
