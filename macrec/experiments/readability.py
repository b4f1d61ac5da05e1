"""What vectors and codes of pictures still say: how often a linear map reads each attribute of the items from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings, EmbeddingStore, make_encoder
from macrec.encoders.distillation.labels import category_labels
from macrec.encoders.rq_dino import NAME, RQDINOEncoder
from macrec.errors import DataError
from macrec.quantization.health import entropy_bits
from macrec.quantization.residual_kmeans import ResidualKMeans

ATTRIBUTES = ("shape", "pattern", "palette", "category")
"""What a picture of the built-in catalog shows."""
FOLDS = 3
ABOUT_READABILITY = (
    "The share of items whose attribute logistic regression reads correctly, of items that it has not seen; "
    "perplexity of the codes level by level. The last row always names the most frequent."
)
"""The caption of `readability_table`."""


@dataclass(frozen=True)
class Readable:
    """Vectors `[n, d]` of the same n pictures, called `name`, and codes `[n, L]`: both, or one of them."""

    name: str
    vectors: NDArray[np.floating] | None
    codes: NDArray[np.integer] | None = None


def attributes_of(data: Dataset, rows: NDArray[np.integer]) -> dict[str, NDArray[np.int64]]:
    """Attribute → its number `[n]` for the items in `rows`, -1 for none: those of the catalog, else the category.

    Raises DataError where the items have none.
    """
    known = [name for name in ATTRIBUTES if name in data.items.columns]
    labels = {name: data.items[name].cast(pl.Categorical).to_physical().cast(pl.Int64) for name in known}
    by_name = {name: column.fill_null(-1).to_numpy()[rows] for name, column in labels.items()}
    by_name = by_name or {"category": category_labels(data)[rows]}
    if all((label < 0).all() for label in by_name.values()):
        fix = "give items with categories"
        raise DataError("no item has an attribute that could be read", file=data.name, fix=fix)
    return by_name


def linear_readability(x: NDArray[np.floating], labels: NDArray[np.integer], seed: int = 0) -> float:
    """The accuracy with which logistic regression reads `labels` `[n]` from `x` `[n, d]` of items it has not seen.

    The mean over `FOLDS` parts, drawn from the seed, of items with a label (not -1). NaN for fewer than 2 labels.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    known = labels >= 0
    x, labels = x[known], labels[known]
    if len(np.unique(labels)) < 2:
        return float("nan")
    correct = 0
    for learned, asked in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
        fitted = LogisticRegression(max_iter=500, tol=1e-2).fit(x[learned], labels[learned])
        correct += int((fitted.predict(x[asked]) == labels[asked]).sum())
    return correct / len(labels)


def one_hot(codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Codes `[n, L]` as zeros and ones: a column per code that occurs at a level."""
    columns = [np.unique(column, return_inverse=True)[1] for column in codes.T]
    return np.concatenate([np.eye(int(column.max()) + 1, dtype=np.float32)[column] for column in columns], axis=1)


def standardized(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Columns with mean 0 and deviation 1; those that do not vary are 0."""
    x = np.asarray(x, np.float32) - x.mean(0)
    deviation = x.std(0)
    return np.asarray(x / np.where(deviation > 1e-6, deviation, 1), np.float32)


def perplexities(codes: NDArray[np.integer]) -> list[float]:
    """The perplexity of the codes `[n, L]` of every level."""
    return [float(2 ** entropy_bits(np.unique_counts(column).counts)) for column in codes.T]


def readability_rows(
    readable: Sequence[Readable], attributes: Mapping[str, NDArray[np.integer]], seed: int = 0
) -> list[dict[str, Any]]:
    """A row for the vectors and one for the codes of each: the accuracy by attribute, and the perplexity by level.

    The row "most frequent" is what always naming the most frequent label scores.
    """
    rows: list[dict[str, Any]] = []
    for each in readable:
        parts = {} if each.vectors is None else {"vectors": standardized(each.vectors)}
        if each.codes is not None:
            parts["codes"] = one_hot(each.codes)
        for of, x in parts.items():
            row: dict[str, Any] = {"pictures by": each.name, "read from": of, "seed": seed}
            row |= {name: round(linear_readability(x, label, seed), 4) for name, label in attributes.items()}
            if of == "codes" and each.codes is not None:
                row["perplexity"] = [round(value, 1) for value in perplexities(each.codes)]
            rows.append(row)
    most = {name: _most_frequent(label) for name, label in attributes.items()}
    return [*rows, {"pictures by": "most frequent", "read from": "nothing", "seed": seed} | most]


def _most_frequent(labels: NDArray[np.integer]) -> float:
    counts = np.bincount(labels[labels >= 0])
    return round(float(counts.max() / counts.sum()), 4)


def readable_pictures(
    data: Dataset, encoder: RQDINOEncoder, store: EmbeddingStore | None = None, plain: bool = True
) -> list[Readable]:
    """What is compared: RQ-DINO with its codes; its vectors with codes made afterwards, by residual k-means; with
    `plain` the same network learned without a quantizer, with such codes; and HOG with colors, with such codes.

    Trains what is not trained yet.
    """
    store = store or EmbeddingStore()
    own, given = (store.get(data, one, progress=False) for one in (encoder, make_encoder("hog-color")))
    trained, seed = encoder.distillation(data), encoder.recipe.seed
    rows, sizes = np.flatnonzero(own.present), trained.sizes
    compared = [
        Readable(NAME, own.values[rows], trained.codes(own.values[rows])),
        Readable(f"{NAME}, codes afterwards", None, fitted_codes(own, sizes, seed)),
    ]
    if plain:
        without = RQDINOEncoder(replace(encoder.recipe, quantize="none"), encoder.folder)
        alone = store.get(data, without, progress=False)
        compared.append(Readable(f"{NAME} without quantizer", alone.values[rows], fitted_codes(alone, sizes, seed)))
    return [*compared, Readable("hog-color", given.values[rows], fitted_codes(given, sizes, seed))]


def fitted_codes(table: Embeddings, sizes: tuple[int, ...], seed: int) -> NDArray[np.int32]:
    """Codes `[n, L]` of the present rows by residual k-means on their standardized vectors: the tokenizer `rkmeans`."""
    x = torch.from_numpy(table.standardized(np.flatnonzero(table.present)))
    return ResidualKMeans(sizes, seed=seed).fit(x).encode(x).cpu().numpy()


def readability_table(
    data: Dataset, encoder: RQDINOEncoder, store: EmbeddingStore | None = None, plain: bool = True
) -> pl.DataFrame:
    """The rows of `readability_rows` for `readable_pictures` as a table, for a notebook. Raises what these raise."""
    readable = readable_pictures(data, encoder, store, plain)
    attributes = attributes_of(data, np.flatnonzero(data.images.present))
    rows = readability_rows(readable, attributes, encoder.recipe.seed)
    return pl.DataFrame([{**row, "perplexity": " · ".join(map(str, row.get("perplexity", [])))} for row in rows]).drop(
        "seed"
    )
