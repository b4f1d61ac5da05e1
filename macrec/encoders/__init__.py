"""From items to vectors: text and image encoders and the store that keeps what they made.

Importing this package is cheap: PyTorch, transformers, open_clip, scikit-learn and scikit-image are imported by the
encoder that needs them, when it first does.
"""

from macrec.encoders.clip import OpenClipEncoder
from macrec.encoders.embeddings import Embeddings, shared_items
from macrec.encoders.encoder import Encoder
from macrec.encoders.fields import item_texts
from macrec.encoders.hog_color import HogColorEncoder
from macrec.encoders.npy import NpyEncoder
from macrec.encoders.registry import available, make_encoder
from macrec.encoders.sentence_transformer import SentenceTransformerEncoder
from macrec.encoders.store import EmbeddingStore
from macrec.encoders.tfidf import TfidfEncoder

__all__ = [
    "EmbeddingStore",
    "Embeddings",
    "Encoder",
    "HogColorEncoder",
    "NpyEncoder",
    "OpenClipEncoder",
    "SentenceTransformerEncoder",
    "TfidfEncoder",
    "available",
    "item_texts",
    "make_encoder",
    "shared_items",
]
