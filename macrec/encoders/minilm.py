"""all-MiniLM-L6-v2 from the package of the `minilm` extra: a sentence-transformers model without a download."""

from __future__ import annotations

from functools import partial

from macrec.encoders.kind import EncoderKind, without_rest
from macrec.encoders.sentence_transformer import MINILM_PACKAGE, SentenceTransformerEncoder

ENCODER = EncoderKind(
    name="minilm",
    form="minilm",
    modality="text",
    make=without_rest(partial(SentenceTransformerEncoder, "minilm")),
    needs={"sentence_transformers": "sentence-transformers", MINILM_PACKAGE: "macrec[minilm]"},
    remark="meaning across words, without a download; about 80 items a second on two CPU cores, 1.1 GB",
)
