"""Semantic IDs from files: nothing is learned, `GivenIds` takes the place of a tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings
from macrec.errors import DataError
from macrec.tokenizers.kinds.kind import Kind
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.tokenizer import Tokenizer


def no_file(folder: Path, data: Dataset, embeddings: Mapping[str, Embeddings], settings: CodebookSettings) -> Tokenizer:
    """Raise DataError: where files are given, no tokenizer is opened."""
    fix = "give text_ids=FILE or image_ids=FILE, or choose another tokenizer"
    what = f"no file of semantic IDs is given for {' and '.join(embeddings)}"
    raise DataError(what, field="tokenizer", fix=fix)


TOKENIZER = Kind("ids", "semantic IDs from the files that text_ids and image_ids name", no_file)
