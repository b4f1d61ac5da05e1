"""Files as bytes that are known to be text: opened, unpacked, cut into pieces of bounded size, checked; and JSON.

No file takes more memory than its own size warrants, however it was packed: lines and documents have a longest length.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from macrec.errors import DataError

PIECE_BYTES = 32 << 20
"""Bytes of (unpacked) text parsed at a time."""

LONGEST_LINE = 16 << 20
"""Bytes allowed before the next line end."""

LARGEST_DOCUMENT = 512 << 20
"""Bytes of (unpacked) text of a file that is read as a whole."""

HIGHEST_RATIO = 50
"""How many times its size a packed document may have once unpacked (text comes to 3 to 20)."""

_MARKS = re.compile(rb"\A(?:\xef\xbb\xbf)+")
"""Byte order marks at the beginning of a file; joining files leaves several, and polars would take away one more."""

MOST_VALUES = 20_000_000
"""Values that a JSON document may hold: each takes some 64 bytes, however short it is written."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Piece(NamedTuple):
    """Part of a file, as a rule whole lines: the number of the first line (from 1) and the bytes (UTF-8)."""

    first_line: int
    data: bytes


def pieces(
    path: Path, piece_bytes: int = PIECE_BYTES, encoding: str = "utf-8", *, end: bytes = b"\n"
) -> Iterator[Piece]:
    """Cut a file (.gz or plain) after `end` into pieces of about `piece_bytes`, checked or transcoded to UTF-8.

    `encoding="latin-1"` is for old files: lines that are UTF-8 are read as such, the others as Latin-1. Raises
    DataError with file and line for a missing or empty file, a damaged gzip, bytes that are not text and a line (what
    stands between two `end`) longer than `LONGEST_LINE`.
    """
    line, has_text = 1, False
    with _opened(path) as stream:
        rest = b""
        while True:
            block = _next_block(stream, path, piece_bytes)
            data = rest + block
            cut = len(data) if not block else data.rfind(end) + len(end) if end in block or end in data else 0
            data, rest = data[:cut], data[cut:]
            if line == 1 and not has_text:
                data = _MARKS.sub(b"", data)
            if data:
                has_text = has_text or not data.isspace()
                yield Piece(line, _to_utf8(data, path, line, encoding))
                line += data.count(b"\n")
            if len(rest) > LONGEST_LINE:
                what = f"the line is longer than {LONGEST_LINE >> 20} MB"
                raise DataError(what, file=path, row=line, fix="write one record per line, or fetch the file again")
            if not block:
                break
    if not has_text:
        raise DataError("the file is empty", file=path, fix="fetch or write it again")


def whole(path: Path) -> bytes:
    """A text file as a whole (UTF-8). Raises DataError as `pieces` does, and for one that is too large unpacked."""
    limit = LARGEST_DOCUMENT
    with _opened(path) as stream:
        if isinstance(stream, gzip.GzipFile):
            limit = min(limit, (1 << 20) + HIGHEST_RATIO * path.stat().st_size)
        data = _next_block(stream, path, limit + 1)
    if len(data) > limit:
        what = f"the file has more than {limit >> 20} MB{' unpacked' if limit < LARGEST_DOCUMENT else ''}"
        raise DataError(what, file=path, fix="check where it comes from, or bring it into a table (.parquet, .jsonl)")
    data = _MARKS.sub(b"", data)
    if not data.strip():
        raise DataError("the file is empty", file=path, fix="fetch or write it again")
    return _to_utf8(data, path, 1, "utf-8")


def parse_json(
    data: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None, *, surrogates: bool = False
) -> Any:
    """`json.loads` that refuses repeated keys, too deep nesting and, unless `surrogates`, half of a surrogate pair.

    `pairs` is its object_pairs_hook, in the place of the one that refuses repeated keys. All complaints are
    ValueErrors.
    """
    if len(data) > MOST_VALUES and sum(map(data.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(data, object_pairs_hook=pairs or distinct)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not surrogates and re.search(rb"\\u[dD][89a-fA-F]", data):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs; raises ValueError for a key that occurs twice."""
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        key = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f'the key "{key}" occurs twice')
    return values


def read_object(file: Path) -> dict[str, Any]:
    """A JSON file that holds one object."""
    data = whole(existing_file(file))
    try:
        value = parse_json(data, surrogates=True)
    except ValueError as error:
        raise DataError(
            f"the file is not readable as JSON ({error})", file=file, fix="correct it, or fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise DataError("the file does not hold a JSON object", file=file, fix='write {"id": ...}')
    return value


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for every half of a surrogate pair, which no encoding can write."""
    return _SURROGATE.sub("\ufffd", text)


def is_given(path: Path) -> bool:
    """Whether an optional file is there; raises DataError when something else has its name (a folder, a dead link)."""
    return (path.exists() or path.is_symlink()) and existing_file(path).is_file()


def existing_file(path: Path) -> Path:
    """`path` itself; raises DataError when there is no such file."""
    if path.is_dir():
        raise DataError("this is a folder where a file is needed", file=path, fix="check the path, or move it away")
    if not path.is_file():
        raise DataError("there is no such file", file=path, fix="check the path, or fetch the file")
    return path


def _opened(path: Path) -> gzip.GzipFile | IO[bytes]:
    """Open a file, unpacking it when its first bytes are those of gzip, whatever its name."""
    with existing_file(path).open("rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    if path.suffix == ".gz" and not packed and path.stat().st_size:
        raise DataError("the file is named .gz but is not gzip", file=path, fix="fetch it again or drop the suffix")
    return gzip.open(path, "rb") if packed else path.open("rb")


def _next_block(stream: gzip.GzipFile | IO[bytes], path: Path, size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        cut = isinstance(error, EOFError)
        what = "the gzip file is cut short" if cut else f"the gzip file is damaged ({error})"
        raise DataError(what, file=path, fix="fetch it again") from error


def _to_utf8(data: bytes, path: Path, line: int, encoding: str) -> bytes:
    if b"\0" in data:
        row = line + data.count(b"\n", 0, data.index(b"\0"))
        raise DataError("a byte is zero, which no text file holds", file=path, row=row, fix="fetch the file again")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if encoding == "latin-1":
            return b"\n".join(map(_from_latin, data.split(b"\n")))
        row = line + data.count(b"\n", 0, error.start)
        what = f"the byte 0x{data[error.start]:02x} is not {encoding}"
        raise DataError(what, file=path, row=row, fix="convert the file to UTF-8") from error
    return data


def _from_latin(line: bytes) -> bytes:
    """A line in UTF-8 as it is, any other from Latin-1."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1").encode()
    return line
