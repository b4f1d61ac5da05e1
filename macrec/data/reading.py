"""Reading big text files in pieces: JSON lines and CSV, plain or gzipped, as a stream of polars frames.

A piece is some tens of megabytes that end at a line end. polars parses it in one call; only when that fails are its
lines looked at one by one, to say which one is wrong.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import polars as pl
from polars.datatypes import DataTypeClass

from macrec.errors import DataError

PIECE_BYTES = 32 << 20
"""Bytes of (unpacked) text parsed at a time."""

Dtype = pl.DataType | DataTypeClass
Field = Dtype | Literal["texts"]
"""A polars type, or "texts": a string or a list of strings, always read as a list."""

_PARSE_ERRORS = (pl.exceptions.PolarsError, ValueError)


class Piece(NamedTuple):
    """Part of a file, as a rule whole lines: the number of the first line (from 1) and the bytes (UTF-8)."""

    first_line: int
    data: bytes


def read_json_lines(
    path: Path,
    schema: Mapping[str, Field],
    *,
    required: Collection[str],
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[pl.DataFrame]:
    """Yield the fields named in `schema` of a JSON-lines file (.gz or plain) as frames of bounded size.

    Every row must hold the `required` fields; the others may be absent or null. Raises DataError with file and line
    for a missing or empty file, a damaged gzip, bytes that are not UTF-8, a line that is not a JSON object, a missing
    field and a wrong type.
    """
    types = {name: pl.List(pl.String) if kind == "texts" else kind for name, kind in schema.items()}
    mixed = [name for name, kind in schema.items() if kind == "texts"]
    strings = [name for name, kind in types.items() if kind == pl.String]
    for piece in pieces(path, piece_bytes):
        data = piece.data
        for name in mixed:
            data = _wrap_bare_strings(data, name)
        try:
            frame = pl.read_ndjson(data, schema=types)
        except _PARSE_ERRORS as error:
            _explain_json(path, piece, schema, required)
            raise _unexplained(path, piece, error) from error
        # polars turns a list or an object into text where a string is wanted; such a row needs a second look.
        doubtful = pl.any_horizontal(pl.col(strings).str.contains(r"^[\[{]")) if strings else pl.lit(False)
        missing = pl.any_horizontal(pl.col(list(required)).is_null())
        if frame.select((doubtful | missing).any()).item():
            _explain_json(path, piece, schema, required)
        if len(frame):
            yield frame


def read_csv(
    path: Path,
    schema: Mapping[str, Dtype],
    *,
    header: bool,
    required: Collection[str] | None = None,
    separator: str = ",",
    quoted: bool = True,
    encoding: str = "utf-8",
    piece_bytes: int = PIECE_BYTES,
) -> Iterator[pl.DataFrame]:
    """Yield the columns named in `schema` of a CSV file (.gz or plain) as frames of bounded size.

    With a `header` the columns are found by name, and others are passed over; without one the file must hold exactly
    the columns of `schema` in that order. `required` (default: all) may not be empty. `separator` may be longer than
    one character (MovieLens: "::"); fields may be `quoted` but may not contain line breaks. Blank lines are passed
    over. Raises DataError with file and line for what `read_json_lines` names, and for a missing column.
    """
    required = list(schema) if required is None else required
    columns, found, found_header = list(schema), False, False
    for piece in pieces(path, piece_bytes, encoding):
        if len(separator) > 1:
            piece = Piece(piece.first_line, piece.data.replace(separator.encode(), b"\x1f"))
        mark = separator if len(separator) == 1 else "\x1f"
        if b"\r" in piece.data.strip() and b"\n" not in piece.data:
            raise DataError("the lines end with carriage returns alone", file=path, fix="write line feeds")
        if header and not found_header:
            line_number, line, rest = _first_line(piece)
            found_header = bool(line)
            if not found_header:
                continue
            columns = next(csv.reader([line], delimiter=mark))
            for name in schema:
                if name not in columns:
                    fix = f"add it (found: {', '.join(columns)})"
                    raise DataError("the column is missing", file=path, field=name, fix=fix)
            piece = Piece(line_number + 1, rest)
        layout = {name: schema.get(name, pl.String) for name in columns}
        try:
            frame = pl.read_csv(
                re.sub(rb"\n(?:\r?\n)+", b"\n", piece.data).lstrip(b"\r\n"),
                has_header=False,
                schema=layout,
                separator=mark,
                quote_char='"' if quoted else None,
            ).select(*schema)
        except _PARSE_ERRORS as error:
            _explain_csv(path, piece, layout, required, mark, quoted)
            raise _unexplained(path, piece, error) from error
        if frame.select(pl.any_horizontal(pl.col(list(required)).is_null()).any()).item():
            _explain_csv(path, piece, layout, required, mark, quoted)
        if len(frame):
            found = True
            yield frame
    if not found:
        raise DataError("the file has a header and no rows", file=path, fix="fetch or write it again")


def pieces(
    path: Path, piece_bytes: int = PIECE_BYTES, encoding: str = "utf-8", *, end: bytes = b"\n"
) -> Iterator[Piece]:
    """Cut a file (.gz or plain) after `end` into pieces of about `piece_bytes`, checked or transcoded to UTF-8."""
    line, found = 1, False
    with _opened(path) as stream:
        rest = b""
        while True:
            block = _next_block(stream, path, piece_bytes)
            data = rest + block
            cut = len(data) if not block else data.rfind(end) + len(end) if end in data else 0
            data, rest = data[:cut], data[cut:]
            if line == 1 and not found:
                data = data.removeprefix(b"\xef\xbb\xbf")
            if data:
                found = found or not data.isspace()
                yield Piece(line, _to_utf8(data, path, line, encoding))
                line += data.count(b"\n")
            if not block:
                break
    if not found:
        raise DataError("the file is empty", file=path, fix="fetch or write it again")


def _first_line(piece: Piece) -> tuple[int, str, bytes]:
    """Number and text of the first line that is not blank ("" when all are), and the bytes after it."""
    data = piece.data.lstrip(b"\r\n")
    number = piece.first_line + piece.data.count(b"\n") - data.count(b"\n")
    line, _, rest = data.partition(b"\n")
    return number, line.decode().rstrip("\r"), rest


def parse_json(data: bytes, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """`json.loads` (`pairs` is its object_pairs_hook) that complains of too deep nesting and of half a surrogate pair.

    All complaints are ValueErrors.
    """
    try:
        value = json.loads(data, object_pairs_hook=pairs)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if re.search(rb"\\u[dD][89a-fA-F]", data):
        json.dumps(value, ensure_ascii=False).encode()
    return value


def is_given(path: Path) -> bool:
    """Whether an optional file is there; raises DataError when something else has its name (a folder, a dead link)."""
    return (path.exists() or path.is_symlink()) and existing_file(path).is_file()


def existing_file(path: Path) -> Path:
    """`path` itself; raises DataError when there is no such file."""
    if path.is_dir():
        raise DataError("a folder stands where a file is needed", file=path, fix="check the path, or move it away")
    if not path.is_file():
        raise DataError("there is no such file", file=path, fix="check the path, or fetch the file")
    return path


def _opened(path: Path) -> gzip.GzipFile | IO[bytes]:
    """Open a file, unpacking it when its first bytes say gzip, whatever its name says."""
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
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        row = line + data.count(b"\n", 0, error.start)
        raise DataError(
            f"the byte 0x{data[error.start]:02x} is not {encoding}",
            file=path,
            row=row,
            fix="convert the file to UTF-8",
        ) from error
    return data if encoding == "utf-8" else text.encode()


def _wrap_bare_strings(data: bytes, name: str) -> bytes:
    """Make `"name": "text"` into `"name": ["text"]`.

    Exact on JSON: inside a string the quotes of the key would be escaped, and no value is followed by a colon.
    """
    key = re.escape(json.dumps(name).encode())
    return re.sub(rb"(" + key + rb'\s*:\s*)("[^"\\]*(?:\\.[^"\\]*)*")', rb"\1[\2]", data)


def _unexplained(path: Path, piece: Piece, error: Exception) -> DataError:
    last = piece.first_line + piece.data.count(b"\n")
    reason = str(error).splitlines()[0]
    return DataError(
        f"polars does not read this part ({reason})",
        file=path,
        row=f"rows {piece.first_line} to {last}",
        fix="correct the file",
    )


def _explain_json(path: Path, piece: Piece, schema: Mapping[str, Field], required: Collection[str]) -> None:
    """Raise DataError for the first line that does not fit; return when all do."""
    for row, line in enumerate(piece.data.split(b"\n"), piece.first_line):
        if not line.strip():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise DataError(f"the line is not JSON ({error})", file=path, row=row, fix="correct it") from error
        if not isinstance(record, dict):
            raise DataError("the line is not a JSON object", file=path, row=row, fix="write one {...} per line")
        for name, kind in schema.items():
            value = record.get(name)
            if value is None:
                if name in required:
                    raise DataError("the field is missing", file=path, row=row, field=name, fix="fill it in")
            elif not _fits(value, kind):
                raise _misfit(value, kind, path, row, name)


def _explain_csv(
    path: Path,
    piece: Piece,
    layout: Mapping[str, Dtype],
    required: Collection[str],
    separator: str,
    quoted: bool,
) -> None:
    """Raise DataError for the first row that does not fit; return when all do."""
    text = io.StringIO(piece.data.decode(), newline="")
    lines = csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    while True:
        row = piece.first_line + lines.line_num
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"the row is not CSV ({error})", file=path, row=row, fix="close its quotes") from error
        if not values:
            continue
        if len(values) != len(layout):
            what = f"the row has {len(values)} fields where {len(layout)} are needed"
            raise DataError(what, file=path, row=row, fix="correct it")
        for (name, kind), value in zip(layout.items(), values, strict=True):
            if value == "":
                if name in required:
                    raise DataError("the field is empty", file=path, row=row, field=name, fix="fill it in")
            elif pl.Series([value]).cast(kind, strict=False).null_count():
                raise _misfit(value, kind, path, row, name)


def _misfit(value: Any, kind: Field, path: Path, row: int, name: str) -> DataError:
    """The error for a value of the wrong kind."""
    what = f"the value {_brief(value)} is not {_kind_name(kind)}"
    return DataError(what, file=path, row=row, field=name, fix="correct it")


def _fits(value: Any, kind: Field) -> bool:
    """Whether a JSON value that is not null can be read as `kind`."""
    if kind == "texts":
        return isinstance(value, str) or _fits(value, pl.List(pl.String))
    if kind == pl.String:
        return isinstance(value, str | int | float) and not isinstance(value, bool)
    if isinstance(kind, pl.List):
        return isinstance(value, list) and all(part is None or _fits(part, kind.inner) for part in value)
    if isinstance(kind, pl.Struct):
        parts = {field.name: field.dtype for field in kind.fields}
        return isinstance(value, dict) and all(
            value.get(name) is None or _fits(value[name], part) for name, part in parts.items()
        )
    if kind == pl.Int64:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if kind == pl.Float64:
        return isinstance(value, int | float) and not isinstance(value, bool)
    raise TypeError(f"no JSON value is read as {kind}")


def _kind_name(kind: Field) -> str:
    if kind == "texts":
        return "a text or a list of texts"
    names = {pl.String: "text", pl.Int64: "a whole number", pl.Float64: "a number"}
    return next((name for known, name in names.items() if kind == known), f"a {kind}")


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."
