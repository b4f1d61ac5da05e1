"""Multimodal generative recommendation: semantic IDs from text and images, and models that generate them.

The names below are what most scripts begin with. Each is imported when it is first used: `import macrec` is cheap.
Everything else is imported from its package, as `docs/architecture.md` lists them.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from macrec.threads import bounded_spin

if TYPE_CHECKING:
    from macrec.data.curio import curio
    from macrec.data.dataset import Dataset
    from macrec.data.formats.parquet_save import save_parquet
    from macrec.data.load import load_dataset
    from macrec.encoders.registry import make_encoder
    from macrec.encoders.store import EmbeddingStore
    from macrec.errors import DataError
    from macrec.evaluation.evaluate import evaluate
    from macrec.quantization.health import codebook_health
    from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids

__version__ = "0.1.0"

PUBLIC = {
    "DataError": "macrec.errors",
    "Dataset": "macrec.data.dataset",
    "EmbeddingStore": "macrec.encoders.store",
    "SemanticIds": "macrec.quantization.semantic_ids",
    "codebook_health": "macrec.quantization.health",
    "curio": "macrec.data.curio",
    "evaluate": "macrec.evaluation.evaluate",
    "load_dataset": "macrec.data.load",
    "load_semantic_ids": "macrec.quantization.semantic_ids",
    "make_encoder": "macrec.encoders.registry",
    "save_parquet": "macrec.data.formats.parquet_save",
}
"""Public name → the module it comes from."""

__all__ = [
    "DataError",
    "Dataset",
    "EmbeddingStore",
    "SemanticIds",
    "__version__",
    "codebook_health",
    "curio",
    "evaluate",
    "load_dataset",
    "load_semantic_ids",
    "make_encoder",
    "save_parquet",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *PUBLIC})


# OpenMP reads its settings once, when torch is loaded: they count where macrec is imported before it.
os.environ.update(bounded_spin(os.environ))
