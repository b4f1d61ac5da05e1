"""From embeddings to semantic IDs: networks with codebooks, their training, and the tables that come out."""

from macrec.tokenizers.codebooks import Codebooks
from macrec.tokenizers.ids import GivenIds, JoinedIds, LearnedIds
from macrec.tokenizers.kinds import open_tokenizer, tokenizers
from macrec.tokenizers.settings import CodebookSettings

__all__ = ["CodebookSettings", "Codebooks", "GivenIds", "JoinedIds", "LearnedIds", "open_tokenizer", "tokenizers"]
