"""From embeddings to semantic IDs: networks with codebooks, their training, and the tables that come out."""

from macrec.tokenizers.codebooks import Codebooks, CodebookSettings
from macrec.tokenizers.ids import GivenIds, LearnedIds

__all__ = ["CodebookSettings", "Codebooks", "GivenIds", "LearnedIds"]
