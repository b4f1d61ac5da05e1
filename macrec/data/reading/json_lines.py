"""Reading JSON lines, plain or gzipped, as a stream of polars frames.

polars parses a piece of the file in one call, but it takes `false` for a text and the first of two equal keys. So a
line goes to it only where a look at the bytes shows that the fields asked for stand there once and in their plain form;
any other line is read by `json`, checked value by value and written anew in that form.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from macrec.data.reading.text_files import PIECE_BYTES, Piece, parse_json, pieces
from macrec.data.reading.values import as_id, as_pictures, as_text, as_texts, as_whole, is_absent
from macrec.errors import DataError

Kind = Literal["id", "text", "texts", "whole", "pictures"]
"""What a field holds; "texts" and "pictures" come out as lists, whatever their nesting."""

_TYPES = {
    "id": pl.String(),
    "text": pl.String(),
    "texts": pl.List(pl.String),
    "whole": pl.Int64(),
    "pictures": pl.List(pl.String),
}
_READ = {"id": as_id, "text": as_text, "texts": as_texts, "whole": as_whole, "pictures": as_pictures}

_STRING = r'"(?:[^"\\]|\\.)*"'
_STRINGS = rf"(?:null|\[\s*(?:{_STRING}\s*(?:,\s*{_STRING}\s*)*)?\])"
_PLAIN = {
    "id": r'"[^"\\]+"',
    "text": r'(?:"|null)',
    "texts": _STRINGS,
    "whole": r"-?[0-9]{1,18}\s*[,}]",
    "pictures": _STRINGS,
}
"""How the value of a field begins that polars reads as `json` does."""

_ODD = r"\\u(?:000|00[4-7]|[dD][89a-fA-F])"
"""Escapes of control characters, of letters (of which a key may be made) and of (halves of) surrogate pairs."""


class JsonObject(dict[str, Any]):
    """A JSON object that keeps which of its keys occurred more than once."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated: set[str] = set()
        if len(self) < len(pairs):
            keys = [key for key, _ in pairs]
            self.repeated = {key for key in keys if keys.count(key) > 1}


def read_json_lines(
    path: Path, schema: Mapping[str, Kind], *, required: Collection[str], piece_bytes: int = PIECE_BYTES
) -> Iterator[pl.DataFrame]:
    """Yield the fields named in `schema` of a JSON-lines file (.gz or plain) as frames of bounded size.

    Every row must hold the `required` fields; the others may be absent, null or NaN. What stands in other fields does
    not matter. Raises DataError with file and line for what `pieces` names, a line that is not a JSON object, a missing
    or repeated field and a value that is not of its kind.
    """
    plain = _is_plain(schema, required)
    for piece in pieces(path, piece_bytes):
        lines = piece.data.split(b"\n")
        text = pl.DataFrame({"line": pl.Series(lines, dtype=pl.Binary).cast(pl.String)})
        unusual = text.select((~plain).arg_true()).to_series()
        for row in unusual:
            lines[row] = _rewritten(lines[row], schema, required, path, piece.first_line + row)
        frame = _parsed(lines, schema)
        if frame is None or frame.select(pl.any_horizontal(pl.col(list(required)).is_null()).any()).item():
            others = set(range(len(lines))) - set(unusual)
            for row in others:
                lines[row] = _rewritten(lines[row], schema, required, path, piece.first_line + row)
            frame = _parsed(lines, schema)
            if frame is None:
                raise _unexplained(path, piece)
        if len(frame):
            yield frame


def _is_plain(schema: Mapping[str, Kind], required: Collection[str]) -> pl.Expr:
    """Whether polars reads a line as `json` does: every field at most once, its value in plain form, no odd escapes.

    Exact on JSON: inside a string the quotes of a key would be escaped, and no value is followed by a colon. As every
    count of `"name":` is at least 1 where a plain value follows one, the sums agree only where each is 0 or 1.
    """
    line = pl.col("line")
    names = "|".join(re.escape(name) for name in schema)
    plain = {name: line.str.contains(rf'"{re.escape(name)}"\s*:\s*{_PLAIN[kind]}') for name, kind in schema.items()}
    once = line.str.count_matches(rf'"(?:{names})"\s*:') == pl.sum_horizontal(plain.values())
    return once & pl.all_horizontal(plain[name] for name in required) & ~line.str.contains(_ODD)


def _parsed(lines: list[bytes], schema: Mapping[str, Kind]) -> pl.DataFrame | None:
    """The lines as polars reads them, None where it does not."""
    try:
        return pl.read_ndjson(b"\n".join(lines), schema={name: _TYPES[kind] for name, kind in schema.items()})
    except (pl.exceptions.PolarsError, ValueError):
        return None


def _rewritten(line: bytes, schema: Mapping[str, Kind], required: Collection[str], path: Path, row: int) -> bytes:
    """The line in plain form, the fields of `schema` alone; raises DataError where it does not fit."""
    if not line.strip():
        return b""
    try:
        record = _as_python(line) if line.startswith(b"{'") else parse_json(line, JsonObject, surrogates=True)
    except ValueError as error:
        raise DataError(f"the line is not JSON ({error})", file=path, row=row, fix="correct it") from error
    if not isinstance(record, JsonObject):
        raise DataError("the line is not a JSON object", file=path, row=row, fix="write one {...} per line")
    plain: dict[str, Any] = {}
    for name, kind in schema.items():
        value = record.get(name)
        if name in record.repeated:
            raise DataError("the key occurs twice", file=path, row=row, field=name, fix="keep one of the two")
        if is_absent(value):
            if name in required:
                raise DataError("the field is missing", file=path, row=row, field=name, fix="fill it in")
            continue
        try:
            plain[name] = _READ[kind](value)
        except ValueError as error:
            raise DataError(str(error), file=path, row=row, field=name, fix="correct it") from error
    return json.dumps(plain, ensure_ascii=False).encode()


def _as_python(line: bytes) -> Any:
    """A line as Python writes an object ({'asin': 'B01', 'title': "It's"}): the metadata of Amazon 2014.

    All complaints are ValueErrors.
    """
    try:
        node = ast.parse(line.decode(), mode="eval").body
        if not isinstance(node, ast.Dict) or None in node.keys:
            raise ValueError("it is no object")
        parts = [ast.literal_eval(part) for part in (*node.keys, *node.values) if part is not None]
        parts = json.loads(json.dumps(parts))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"nor an object as Python writes it: {error}") from error
    return JsonObject(list(zip(map(str, parts[: len(node.keys)]), parts[len(node.keys) :], strict=True)))


def _unexplained(path: Path, piece: Piece) -> DataError:
    last = piece.first_line + piece.data.count(b"\n")
    what, fix = "polars does not read this part", "correct the file"
    return DataError(what, file=path, row=f"rows {piece.first_line} to {last}", fix=fix)
