"""The tokenizers, one file each: a module of this package that holds a `TOKENIZER`.

A new tokenizer is one new file here; the name in its `Kind` is the value of the parameter `tokenizer`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.discovery import registered
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.quantization.specs import check_options, split_spec
from macrec.tokenizers.kinds.kind import Kind
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.tokenizer import Tokenizer

__all__ = ["Kind", "check_tokenizer", "open_tokenizer", "tokenizers"]


def tokenizers() -> dict[str, Kind]:
    """All tokenizers by name."""
    kinds: list[Kind] = registered(__name__, __path__, "TOKENIZER")
    return {each.name: each for each in sorted(kinds, key=lambda each: each.name)}


def check_tokenizer(spec: str) -> Kind:
    """The tokenizer that `spec` names. Raises DataError for an unknown name or option."""
    name, options = split_spec(spec, "tokenizer")
    known = tokenizers()
    if name not in known:
        fix = f"choose one of {', '.join(known)}"
        raise DataError(f'there is no tokenizer "{name}"', field="tokenizer", fix=fix)
    check_options(name, options, list(known[name].options), "tokenizer")
    return known[name]


def open_tokenizer(
    folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings
) -> Tokenizer:
    """The tokenizer that the settings name, over the vectors of a catalog; its result lies below `folder`.

    Raises DataError for an unknown name or option.
    """
    return check_tokenizer(settings.tokenizer).make(folder, data, embeddings, settings)
