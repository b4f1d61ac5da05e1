"""What a notebook or a script runs: open a dataset, train and compare tokenizers and systems."""

from macrec.encoders.modalities import modality_specs
from macrec.experiments.modalities import embedding_table, encode_modalities, of_seen_items, shown_modality
from macrec.experiments.session import built_in_note, open_dataset

__all__ = [
    "built_in_note",
    "embedding_table",
    "encode_modalities",
    "modality_specs",
    "of_seen_items",
    "open_dataset",
    "shown_modality",
]
