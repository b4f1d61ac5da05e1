"""Latent semantic analysis of texts, with a random sketch of what it leaves out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from macrec.encoders.words import normalized, terms

SIGNS = 8
"""Random signs by which a term enters the sketch: two terms share all of them with next to no probability."""

NARROWEST = 16
"""Dimensions even where the texts have fewer directions, so that the sketch has room."""


@dataclass(frozen=True)
class LatentSpace:
    """Texts as weighted terms, the strongest directions among the common ones, and a random projection of all.

    `common` `[N, C]` and `rare` `[N, R]` are sparse TF-IDF weights of the terms that were frequent enough for the
    directions, and of the other words; `directions` `[C, width]` are orthonormal columns, or zero beyond the rank of
    the texts; `sketch_common` `[C, width]` and `sketch_rare` `[R, width]` have `SIGNS` signs per term; `whole`: the
    weight of a text as one more word, that of a word in one text. `terms` `[C]` and `[R]` and their `weights` are those
    of the columns of `common` and `rare`.
    """

    common: Any
    rare: Any
    directions: NDArray[np.float32]
    sketch_common: Any
    sketch_rare: Any
    whole: float
    terms: tuple[NDArray[Any], NDArray[Any]]
    weights: tuple[NDArray[np.float32], NDArray[np.float32]]

    @classmethod
    def of(cls, texts: Sequence[str], dim: int, min_df: int, max_features: int, seed: int) -> Self | None:
        """Learn from `texts`; None where fewer than two terms occur in `min_df` of them.

        Weights are (1 + log tf) · (1 + log((1 + N) / (1 + df))), as scikit-learn's smooth IDF has them.
        """
        from scipy import sparse
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.preprocessing import normalize
        from sklearn.utils.extmath import randomized_svd

        if not any(map(terms, texts)):
            return None
        vectorizer = CountVectorizer(analyzer=terms, dtype=np.float32)
        weights = vectorizer.fit_transform(texts)
        names = vectorizer.get_feature_names_out()
        df = weights.getnnz(axis=0)
        weights.data = 1 + np.log(weights.data)
        weight = idf(df, len(texts))
        weights = (weights @ sparse.diags(weight)).tocsc()

        often = np.flatnonzero(df >= min_df)
        often = np.sort(often[np.argsort(-df[often], kind="stable")][:max_features])
        if len(often) < 2:
            return None
        others = np.setdiff1d([column for column, name in enumerate(names) if " " not in name], often)
        common, rare = weights[:, often].tocsr(), weights[:, others].tocsr()

        _, strengths, right = randomized_svd(normalize(common), min(dim, *common.shape), n_iter=5, random_state=seed)
        # A direction beyond the rank of the terms holds rounding alone, which unit length would blow up.
        kept = strengths > np.finfo(np.float32).eps * max(common.shape) * strengths[0]
        right = right[kept].T.astype(np.float32)
        width = max(right.shape[1], min(dim, NARROWEST))
        directions = np.pad(right, ((0, 0), (0, width - right.shape[1])))
        rng = np.random.default_rng(seed)
        of_common, of_rare = (random_signs(len(columns), width, rng) for columns in (often, others))
        whole = float(idf(np.ones(1), len(texts))[0])
        columns = (often, np.asarray(others, np.int64))
        return cls(
            common, rare, directions, of_common, of_rare, whole,
            terms=(names[columns[0]], names[columns[1]]), weights=(weight[columns[0]], weight[columns[1]]),
        )  # fmt: skip

    def with_texts(self, texts: Sequence[str]) -> Self:
        """Other `texts` in the same space: terms, weights and directions stay, and terms that are new are left out."""
        common, rare = (weighted(texts, *columns) for columns in zip(self.terms, self.weights, strict=True))
        return replace(self, common=common, rare=rare)

    @property
    def width(self) -> int:
        """The dimensions of both parts."""
        return int(self.directions.shape[1])

    @property
    def terms_per_text(self) -> NDArray[np.integer]:
        """Terms of every text, `[N]`."""
        return np.asarray(self.common.getnnz(axis=1) + self.rare.getnnz(axis=1))

    def meaning(self, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The common terms of the texts `rows` `[n]`, at unit length, along the directions: `[n, width]`."""
        common = self.common[rows]
        squared = squares(common)
        length = np.sqrt(np.where(squared > 0, squared, 1))
        return np.asarray(common @ self.directions / length[:, None])

    def detail(self, rows: NDArray[np.integer], texts: Sequence[str]) -> NDArray[np.float32]:
        """All terms and the whole text, at unit length, less what the directions hold, sketched: `[n, width]`.

        `texts` `[n]` are those of the `rows` `[n]`.
        """
        common, rare = self.common[rows], self.rare[rows]
        held = (common @ self.directions) @ (self.directions.T @ self.sketch_common)
        sketched = (common @ self.sketch_common + rare @ self.sketch_rare).toarray() - held
        signatures = np.stack([signature(text, self.width) for text in texts])
        length = np.sqrt(squares(common) + squares(rare) + self.whole**2)
        return np.asarray((sketched + self.whole * signatures) / length[:, None], np.float32)


def weighted(texts: Sequence[str], names: NDArray[Any], weights: NDArray[np.float32]) -> Any:
    """The TF-IDF weights `[n, T]` of the terms `names` `[T]` in `texts` `[n]`, as `LatentSpace.of` has them."""
    from scipy import sparse
    from sklearn.feature_extraction.text import CountVectorizer

    if not len(names):
        return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
    counts = CountVectorizer(analyzer=terms, dtype=np.float32, vocabulary=names.tolist()).transform(texts)
    counts.data = 1 + np.log(counts.data)
    return (counts @ sparse.diags(weights)).tocsr()


def idf(df: NDArray[Any], texts: int) -> NDArray[np.float32]:
    """Smoothed inverse document frequencies of terms that occur in `df` of `texts`."""
    return (1 + np.log((1 + texts) / (1 + df))).astype(np.float32)


def random_signs(rows: int, width: int, rng: np.random.Generator) -> Any:
    """A sparse matrix `[rows, width]` that keeps lengths on average: `SIGNS` signs a row at random places."""
    from scipy import sparse

    values = rng.choice(np.array([-1, 1], np.float32), rows * SIGNS) / np.float32(np.sqrt(SIGNS))
    return sparse.csr_matrix(
        (values, rng.integers(width, size=rows * SIGNS), np.arange(rows + 1) * SIGNS), (rows, width)
    )


def signature(text: str, width: int) -> NDArray[np.float32]:
    """Numbers `[width]` of mean 0 and squares that add up to about 1, drawn by a hash of the normalized text."""
    drawn = np.frombuffer(hashlib.shake_128(normalized(text).encode()).digest(4 * width), "<u4")
    return np.asarray((drawn / 2**31 - 1) * np.sqrt(3 / width), np.float32)


def squares(rows: Any) -> NDArray[np.float32]:
    """The squared lengths `[n]` of sparse rows."""
    return np.asarray(rows.multiply(rows).sum(axis=1), np.float32).ravel()


def unit_rows(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """`x` `[n, d]` with rows of unit length; rows of zeros stay."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1), np.float32)
