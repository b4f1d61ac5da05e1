"""IDs for items that come later, by the tokenizers that gave the old ones theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.encoders import Embeddings
from macrec.encoders.further import like
from macrec.errors import DataError
from macrec.quantization.appended import append_ids
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.ids import Ids, JoinedIds, LearnedIds
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.training import drain

Appended = tuple[dict[str, SemanticIds], dict[str, NDArray[np.bool_]]]


def tokenizers_of(ids: Ids, data: Dataset, split: Split) -> dict[str, Tokenizer]:
    """Modality → the tokenizer that gave its IDs, as it was trained.

    Raises DataError for IDs that no codebooks gave, such as those from a file.
    """
    match ids:
        case JoinedIds():
            return {name: one for part in ids.parts for name, one in tokenizers_of(part, data, split).items()}
        case LearnedIds():
            tokenizer = ids.tokenizer(data, split)
            drain(tokenizer.events())
            return dict.fromkeys(ids.modalities or tuple(tokenizer.embeddings), tokenizer)
    what = "its IDs are not those of codebooks over what items say and show"
    raise DataError(what, field="system", fix="name a run whose IDs were learned from texts, pictures or vectors")


def append_with(
    tokenizers: Mapping[str, Tokenizer],
    tables: Mapping[str, SemanticIds],
    item_ids: pl.Series,
    further: Mapping[str, Embeddings],
) -> Appended:
    """`tables`, modality by modality, with the IDs of the items `item_ids` `[M]` behind them, whose vectors are
    `further`; and which of these did not get the codes nearest to them, `[M]`. Raises what `append_ids` raises.
    """
    longer, moved = {}, {}
    for name, tokenizer in tokenizers.items():
        standardized_alike = like(tokenizer.embeddings[name], further[name].values)
        codes, vectors = tokenizer.quantize(name, standardized_alike)
        books = tokenizer.codebooks()[name]
        longer[name], moved[name] = append_ids(tables[name], item_ids, codes, vectors, books)
    return longer, moved
