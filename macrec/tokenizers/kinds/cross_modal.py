"""One RQ-VAE per modality, with terms that let them learn from each other: MACRec's codebooks. The default."""

from __future__ import annotations

from macrec.tokenizers.codebooks import Codebooks
from macrec.tokenizers.kinds.kind import Kind

TOKENIZER = Kind("cross-modal", "one RQ-VAE per modality, with MACRec's terms between them", Codebooks)
