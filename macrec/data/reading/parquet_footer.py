"""The unpacked size of a parquet file, read from its footer before anything is unpacked.

The footer is a Thrift structure in the compact protocol (apache/parquet-format, parquet.thrift: FileMetaData).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROW_GROUPS, TOTAL_BYTE_SIZE = 4, 2
"""Numbers of the fields FileMetaData.row_groups and RowGroup.total_byte_size."""


def unpacked_bytes(file: Path) -> int:
    """Bytes of all columns once decompressed, as the writer noted them; 0 where the footer is not one."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 8))
        tail = stream.read()
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != b"PAR1" or length > size - 8:
            return 0
        stream.seek(size - 8 - length)
        footer = Compact(stream.read(length))
    try:
        groups = footer.structure().get(ROW_GROUPS, [])
        return sum(max(0, group[TOTAL_BYTE_SIZE]) for group in groups)
    except (IndexError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return 0  # polars says what is wrong with it


class Compact:
    """Values of Thrift's compact protocol, one after another; raises IndexError at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def byte(self) -> int:
        """The next byte."""
        self.place += 1
        return self.data[self.place - 1]

    def varint(self) -> int:
        """A number of seven bits per byte, the lowest first."""
        value = shift = 0
        while (part := self.byte()) & 0x80:
            value |= (part & 0x7F) << shift
            shift += 7
        return value | part << shift

    def integer(self) -> int:
        """A signed number (zigzag)."""
        value = self.varint()
        return value >> 1 ^ -(value & 1)

    def structure(self) -> dict[int, Any]:
        """The fields of a structure by their number."""
        fields: dict[int, Any] = {}
        number = 0
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else self.integer()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self.value(kind)
        return fields

    def value(self, kind: int) -> Any:
        """A value of one of the protocol's kinds."""
        if kind in (1, 2, 3):
            return self.byte()
        if kind in (4, 5, 6):
            return self.integer()
        if kind in (7, 8):
            length = 8 if kind == 7 else self.varint()
            self.place += length
            return self.data[self.place - length : self.place]
        if kind in (9, 10):
            head = self.byte()
            size = self.varint() if head >> 4 == 15 else head >> 4
            return [self.value(head & 15) for _ in range(size)]
        if kind == 12:
            return self.structure()
        raise ValueError(f"kind {kind}")
