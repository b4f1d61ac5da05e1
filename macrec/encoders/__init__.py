"""From items to vectors: text and image encoders and the store that keeps what they made.

Importing this room is cheap: PyTorch, transformers, open_clip, scikit-learn and scikit-image are imported by the
encoder that needs them, when it first does.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

from macrec.encoders.embeddings import Embeddings, shared_items
from macrec.encoders.encoder import Encoder
from macrec.encoders.fields import item_texts
from macrec.encoders.image import HogColorEncoder, OpenClipEncoder
from macrec.encoders.precomputed import NpyEncoder
from macrec.encoders.store import EmbeddingStore
from macrec.encoders.text import MINILM_PACKAGE, SentenceTransformerEncoder, TfidfEncoder
from macrec.errors import DataError

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


class Available(NamedTuple):
    """One way to name an encoder: whether its packages are installed, and what to install where they are not."""

    spec: str
    modality: str
    installed: bool
    missing: str


SPECS: dict[str, tuple[str, dict[str, str]]] = {
    "tfidf": ("text", {"sklearn": "scikit-learn"}),
    "minilm": ("text", {"sentence_transformers": "sentence-transformers", MINILM_PACKAGE: "macrec[minilm]"}),
    "st:<model name or folder>": ("text", {"sentence_transformers": "sentence-transformers"}),
    "hog-color": ("image", {"skimage": "scikit-image"}),
    "clip:<model>/<weights>": ("image", {"open_clip": "open_clip_torch"}),
    "npy:<file>": ("any", {}),
}
"""How `make_encoder` names each encoder, its modality, and the modules it needs with what installs them."""


def available() -> list[Available]:
    """Every kind of encoder and whether it can be used here; nothing heavy is imported to find out."""
    result = []
    for spec, (modality, needs) in SPECS.items():
        missing = [package for module, package in needs.items() if find_spec(module) is None]
        result.append(Available(spec, modality, not missing, ", ".join(missing)))
    return result


def make_encoder(spec: str, **settings: Any) -> Encoder | NpyEncoder:
    """The encoder that `spec` names, with its `settings` (see the classes).

    "tfidf", "minilm", "st:<model name or folder>", "hog-color", "clip:<model>/<weights>" (weights: a tag of open_clip
    or a file; "random" for tests), "clip:hf-hub:<owner>/<name>", "clip:local-dir:<folder>", and "npy:<file>", which
    needs `modality`. Raises DataError for anything else.

    >>> make_encoder("tfidf", dim=64).name
    'tfidf'
    """
    kind, _, rest = spec.partition(":")
    match kind, rest:
        case "tfidf", "":
            return TfidfEncoder(**settings)
        case "minilm", "":
            return SentenceTransformerEncoder("minilm", **settings)
        case "hog-color", "":
            return HogColorEncoder(**settings)
        case "st", model if model:
            return SentenceTransformerEncoder(model, **settings)
        case "clip", model if model.startswith(("hf-hub:", "local-dir:")):
            return OpenClipEncoder(model, None, **settings)
        case "clip", model if "/" in model.strip("/"):
            architecture, _, weights = model.partition("/")
            return OpenClipEncoder(architecture, None if weights == "random" else weights, **settings)
        case "npy", path if path and "modality" in settings:
            return NpyEncoder(path, **settings)
    raise DataError(f'there is no encoder "{spec}"', fix=f"choose one of {', '.join(SPECS)} (npy with a modality)")
