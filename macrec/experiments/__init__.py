"""What a notebook or a script runs: open a dataset, train and compare tokenizers and systems."""

from macrec.experiments.session import (
    built_in_note,
    embedding_table,
    encode_modalities,
    open_dataset,
    shown_modality,
)

__all__ = ["built_in_note", "embedding_table", "encode_modalities", "open_dataset", "shown_modality"]
