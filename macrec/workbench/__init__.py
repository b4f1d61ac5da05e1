"""Running notebooks, keeping runs, the command line."""

from macrec.workbench.run import Run
from macrec.workbench.session import embedding_table, encode_modalities, open_dataset, require

__all__ = ["Run", "embedding_table", "encode_modalities", "open_dataset", "require"]
