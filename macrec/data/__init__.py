"""Datasets: items, histories, pictures, the split, the loaders and the built-in catalog."""

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.histories import Histories
from macrec.data.load import load_dataset
from macrec.data.split import PADDING, Samples, Split, leave_one_out, train_part

__all__ = [
    "PADDING",
    "Dataset",
    "Histories",
    "Samples",
    "Split",
    "from_events",
    "leave_one_out",
    "load_dataset",
    "save_parquet",
    "train_part",
]
