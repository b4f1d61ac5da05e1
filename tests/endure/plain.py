"""What the plain readers are made of: tables of text, JSON values and ids, by `json`, `csv` and loops."""

from __future__ import annotations

import ast
import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

from macrec.data.text import clean_text

Files = dict[str, bytes]
LATEST = 10**11


class Refused(Exception):
    """The input has no one meaning."""


class Unsure(Exception):
    """This reader says nothing about such input."""


class Reading(NamedTuple):
    """Items in order; each user's (item, time) events, oldest first; the texts that items have; the published parts."""

    items: list[str]
    histories: dict[str, list[tuple[str, int | None]]]
    titles: list[str]
    parts: dict[str, list[str]] | None = None


def need(condition: object, why: str = "") -> None:
    """Refuse unless the condition holds."""
    if not condition:
        raise Refused(why)


def text_of(data: bytes, latin: bool = False) -> str:
    """The text of a file, unpacked; lines end with a line feed."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise Refused("gzip") from error
    while data.startswith(b"\xef\xbb\xbf"):
        data = data[3:]
    need(b"\0" not in data, "zero byte")
    lines = data.replace(b"\r\n", b"\n").removesuffix(b"\r").split(b"\n")
    return "\n".join(decoded(line, latin) for line in lines)


def decoded(line: bytes, latin: bool) -> str:
    """UTF-8, or where that fails Latin-1 if old files are expected."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        if latin:
            return line.decode("latin-1")
        raise Refused("encoding") from error


def rows_of(text: str, separator: str, quoted: bool) -> list[list[str]]:
    """The rows that are not blank; all as long as the first."""
    need("\r" not in text, "carriage return")
    if quoted:
        try:
            rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True) if row]
        except csv.Error as error:
            raise Refused(str(error)) from error
    else:
        rows = [line.split(separator) for line in text.split("\n") if line]
    need(rows, "empty")
    need(all(len(row) == len(rows[0]) for row in rows), "ragged")
    return rows


def table(
    data: bytes, separator: str, quoted: bool, columns: list[str] | None = None, latin: bool = False
) -> list[dict[str, str]]:
    """A table of text as one dict per row; with `columns` there is no header."""
    rows = rows_of(text_of(data, latin), separator, quoted)
    if columns is None:
        columns, rows = rows[0], rows[1:]
    need(rows and len(columns) == len(rows[0]), "columns")
    return [dict(zip(columns, row, strict=True)) | {"#": str(len(set(columns)) == len(columns))} for row in rows]


def whole(text: str) -> int:
    """A whole number as all programs write it."""
    need(re.fullmatch(r"[ \t]*[+-]?[0-9]+", text), "whole number")
    return int(text)


def number(text: str) -> float:
    """A finite number."""
    need(re.fullmatch(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text), "number")
    return float(text)


def seconds(time: int) -> int:
    """A time that can be one in seconds."""
    need(-LATEST < time < LATEST, "unit")
    return time


def grouped(events: Iterable[tuple[str, str, Any]], known: list[str] | None) -> dict[str, list[tuple[str, Any]]]:
    """Events (user, item, time) by user, each user's sorted by time where there are times."""
    histories: dict[str, list[tuple[str, Any]]] = {}
    for user, item, time in events:
        need(user and item, "empty id")
        need(known is None or item in known, "unknown item")
        histories.setdefault(user, []).append((item, time))
    need(histories, "no events")
    return {user: sorted(found, key=lambda event: event[1] or 0) for user, found in histories.items()}


def distinct(items: list[str]) -> list[str]:
    """Ids that are all there and all different."""
    need(all(items) and len(set(items)) == len(items), "ids")
    return items


# JSON


def parsed(text: str, pairs: Any = None) -> Any:
    """A JSON value; objects are lists of pairs wrapped by `pairs`, by default dicts whose keys occur once."""
    try:
        return json.loads(text, object_pairs_hook=pairs or once)
    except (ValueError, RecursionError) as error:
        raise Refused("json") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    need(len({key for key, _ in pairs}) == len(pairs), "repeated key")
    return dict(pairs)


class Pairs(list[Any]):
    """A JSON object as it stands."""

    def get(self, key: str) -> Any:
        """The value of a key that occurs once, None without."""
        found = [value for name, value in self if name == key]
        need(len(found) < 2, "repeated key")
        return found[0] if found else None


def records(data: bytes) -> list[Pairs]:
    """The objects of JSON lines, or of lines as Python writes them."""
    lines = [
        as_python(line) if line.startswith("{'") else parsed(line.removeprefix("\ufeff"), Pairs)
        for line in text_of(data).split("\n")
        if line.strip(" \t\r\n\v\f\x1c\x1d\x1e\x1f\x85\xa0")
    ]
    need(lines and all(isinstance(line, Pairs) for line in lines), "object")
    return lines


def as_python(line: str) -> Pairs:
    """The object of a line that is a Python literal."""
    try:
        ast.literal_eval(line)
        tree = ast.parse(line, mode="eval").body
    except (ValueError, SyntaxError, TypeError) as error:
        raise Refused("python") from error
    need(isinstance(tree, ast.Dict), "object")
    return Pairs((ast.literal_eval(k), ast.literal_eval(v)) for k, v in zip(tree.keys, tree.values, strict=True))


def no_surrogates(text: str) -> bool:
    return not re.search("[\ud800-\udfff]", text)


def json_id(value: Any) -> str:
    if type(value) is int:
        return str(value)
    need(isinstance(value, str) and value and no_surrogates(value) and "\0" not in value, "id")
    return str(value)


def json_texts(value: Any) -> list[str]:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    if isinstance(value, str):
        return [re.sub("[\ud800-\udfff]", "\ufffd", value)]
    if type(value) in (int, float):
        return [str(value)]
    if isinstance(value, dict | Pairs):
        parts = dict(value)
        texts = [part for part in parts.values() if isinstance(part, str)]
        need(len(texts) == 1, "texts")
        return json_texts(texts[0])
    need(isinstance(value, list), "texts")
    return [text for part in value for text in json_texts(part)]


def json_title(value: Any) -> str:
    need(not isinstance(value, dict | Pairs), "title")
    return clean_text(" ".join(json_texts(value)))


def json_whole(value: Any) -> int:
    need(type(value) in (int, float) and math.isfinite(value) and value == int(value), "whole number")
    return int(value)
