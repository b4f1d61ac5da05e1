"""Parquet files as tables, whose claims about their size are checked before anything is unpacked."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from macrec.data.reading.parquet_footer import unpacked_bytes
from macrec.data.reading.text_files import existing_file
from macrec.errors import DataError, unseen

ROWS, ROWS_PER_BYTE = 1_000_000, 8
"""Rows that a file may always have, and how many more for every byte of it."""

UNPACKED, UNPACKED_PER_BYTE = 128 << 20, 50
"""Bytes that a file may always have once unpacked, and how many more for every byte of it."""


def read_table(file: Path, columns: tuple[str, ...] | None = None) -> pl.DataFrame:
    """Read a parquet file, or those of `columns` that it has. Raises DataError when it is missing or not parquet."""
    existing_file(file)
    try:
        schema = pl.read_parquet_schema(file)
        wanted = [name for name in schema if columns is None or name in columns]
        rows = pl.scan_parquet(file).select(pl.len()).collect().item()
        if rows > ROWS + ROWS_PER_BYTE * file.stat().st_size:
            what = f"the file claims to hold {rows:,} rows, more than fit into its size"
            raise DataError(what, file=file, fix="fetch or write it again")
        if (size := unpacked_bytes(file)) > UNPACKED + UNPACKED_PER_BYTE * file.stat().st_size:
            what = f"the file says it holds {size >> 20:,} MB unpacked, far more than its size"
            raise DataError(what, file=file, fix="check where it comes from, or write it again")
        return pl.read_parquet(file, columns=wanted)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, MemoryError) as error:
        is_panic = isinstance(error, pl.exceptions.PanicException)  # its words are about the code of polars
        reason = "its bytes are damaged" if is_panic else (str(error).splitlines() or ["damaged"])[0]
        what = f"the file is not readable as parquet ({reason})"
        raise unseen(error, file) or DataError(what, file=file, fix="fetch or write it again") from error
