"""The workbench's own layout."""

from __future__ import annotations

from pathlib import Path

from macrec.data.formats.format import Format
from macrec.data.parquet import EVENT_FILES, load_parquet


def find(path: Path) -> Path | None:
    """The folder of the events."""
    folder = path.parent if path.name in EVENT_FILES else path
    return folder if any((folder / name).is_file() for name in EVENT_FILES) else None


FORMAT = Format(
    name="parquet",
    title="parquet (also what `save_parquet` writes)",
    files="`items.parquet`, `interactions.parquet`, optional `images.parquet` or `images/`",
    find=find,
    load=load_parquet,
)
