"""Running notebooks, keeping runs, the command line."""

from macrec.workbench.run import Run
from macrec.workbench.session import (
    built_in_note,
    embedding_table,
    encode_modalities,
    open_dataset,
    shown_modality,
)

__all__ = ["Run", "built_in_note", "embedding_table", "encode_modalities", "open_dataset", "shown_modality"]
