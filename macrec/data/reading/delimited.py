"""Reading tables of text (CSV, tab separated, "::"), plain or gzipped, as a stream of polars frames.

A piece is some tens of megabytes that end at a line end. polars parses it in one call; where it fails, and where a row
may be too short (which it fills up silently), the rows are looked at one by one, to say which one is wrong. What
has quotes is read by `csv`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from polars.datatypes import DataTypeClass

from macrec.data.reading.text_files import LONGEST_LINE, PIECE_BYTES, Piece, pieces
from macrec.data.reading.values import brief
from macrec.errors import DataError

Dtype = pl.DataType | DataTypeClass

csv.field_size_limit(LONGEST_LINE)  # descriptions are longer than the 128 kB that `csv` allows

_UNIT = b"\x1f"
"""The character that replaces a separator of several characters."""


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
    the columns of `schema` in that order. `required` (default: all) may not be empty; other empty fields are null.
    `separator` may be longer than one character (MovieLens: "::"); fields may be `quoted` but may not contain line
    breaks. Blank lines are passed over. Raises DataError with file and line for what `pieces` names, for a row with
    too few or too many fields, a value of the wrong kind, a missing or repeated column.
    """
    required = list(schema) if required is None else required
    columns: Sequence[str] = list(schema)
    has_rows, found_header = False, False
    for piece in pieces(path, piece_bytes, encoding):
        piece = Piece(piece.first_line, with_line_feeds(piece, path))
        check_marks(piece, path)
        if len(separator) > 1:
            piece = Piece(piece.first_line, _marked(piece, separator, path))
        mark = separator if len(separator) == 1 else _UNIT.decode()
        if header and not found_header:
            line_number, line, rest = first_line(piece)
            found_header = bool(line)
            if not found_header:
                continue
            columns = header_names(line, mark, quoted, path, line_number)
            for name in schema:
                if name not in columns:
                    fix = f"add it (found: {', '.join(columns)})"
                    raise DataError("the column is missing", file=path, field=name, fix=fix)
                if columns.count(name) > 1:
                    raise DataError("the column occurs twice", file=path, row=line_number, field=name, fix="keep one")
            piece = Piece(line_number + 1, rest)
        rows = _Rows(path, piece, columns, schema, required, mark)
        frame = rows.quoted() if quoted and b'"' in piece.data else rows.plain()
        if len(frame):
            has_rows = True
            yield frame
    if not has_rows:
        raise DataError("the file has a header and no rows", file=path, fix="fetch or write it again")


def with_line_feeds(piece: Piece, path: Path) -> bytes:
    """The piece with a line feed after every line; raises DataError for a carriage return within a line."""
    data = piece.data
    if b"\r" not in data:
        return data
    data = data.replace(b"\r\n", b"\n").removesuffix(b"\r")
    if b"\r" in data:
        row = piece.first_line + data.count(b"\n", 0, data.index(b"\r"))
        alone = b"\n" not in data.strip()
        what = "the lines end with carriage returns alone" if alone else "the line contains a carriage return"
        raise DataError(what, file=path, row=None if alone else row, fix="end every line with a line feed")
    return data


def check_marks(piece: Piece, path: Path) -> None:
    """Raise DataError for a line that begins with a byte order mark: polars takes some of them away."""
    mark = b"\xef\xbb\xbf"
    place = 0 if piece.data.startswith(mark) else piece.data.find(b"\n" + mark) + 1 if mark in piece.data else 0
    if place or piece.data.startswith(mark):
        row = piece.first_line + piece.data.count(b"\n", 0, place)
        raise DataError("the line begins with a byte order mark", file=path, row=row, fix="take it out")


def first_line(piece: Piece) -> tuple[int, str, bytes]:
    """Number and text of the first line that is not blank ("" when all are), and the bytes after it."""
    data = piece.data.lstrip(b"\n")
    number = piece.first_line + piece.data.count(b"\n") - data.count(b"\n")
    line, _, rest = data.partition(b"\n")
    return number, line.decode(), rest


def header_names(line: str, separator: str, quoted: bool, path: Path, row: int) -> list[str]:
    """The names of the columns; raises DataError for quotes that do not close."""
    if not quoted:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as error:
        raise DataError(f"the header is not CSV ({error})", file=path, row=row, fix="close its quotes") from error


def rows_of(piece: Piece, separator: str, path: Path, *, spaced: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Number and fields of every row of a piece with quotes, without blank lines and (`spaced`) leading spaces."""
    text = io.StringIO(piece.data.decode(), newline="")
    lines = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=spaced)
    while True:
        row = piece.first_line + lines.line_num
        try:
            values = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"the row is not CSV ({error})", file=path, row=row, fix="close its quotes") from error
        if values:
            yield row, values


def check_count(values: list[str], count: int, path: Path, row: int) -> None:
    """Raise DataError for a row with too many or too few fields."""
    if len(values) != count:
        what = f"the row has {len(values)} fields where {count} are needed"
        raise DataError(what, file=path, row=row, fix="correct it")


def _marked(piece: Piece, separator: str, path: Path) -> bytes:
    """The piece with one byte for a separator of several; raises DataError where that byte is there already."""
    if _UNIT in piece.data:
        row = piece.first_line + piece.data.count(b"\n", 0, piece.data.index(_UNIT))
        raise DataError("the line holds the control character 0x1f", file=path, row=row, fix="take it out")
    return piece.data.replace(separator.encode(), _UNIT)


@dataclass(frozen=True)
class _Rows:
    """Rows of one piece of a file: which `columns` they have, and of these the ones in `schema`, some `required`."""

    path: Path
    piece: Piece
    columns: Sequence[str]
    schema: Mapping[str, Dtype]
    required: Collection[str]
    separator: str

    def plain(self) -> pl.DataFrame:
        """The wanted columns of rows without quotes, by polars."""
        numbered = {f"{place}": self.schema.get(name, pl.String) for place, name in enumerate(self.columns)}
        places = {name: pl.col(f"{self.columns.index(name)}").alias(name) for name in self.schema}
        data = re.sub(rb"\n\n+", b"\n", self.piece.data).lstrip(b"\n")
        try:
            frame = pl.read_csv(data, has_header=False, schema=numbered, separator=self.separator, quote_char=None)
        except (pl.exceptions.PolarsError, ValueError) as error:
            self.explain()
            first, last = self.piece.first_line, self.piece.first_line + self.piece.data.count(b"\n")
            what = f"polars does not read this part ({str(error).splitlines()[0]})"
            raise DataError(what, file=self.path, row=f"rows {first} to {last}", fix="correct the file") from error
        short = pl.col(f"{len(self.columns) - 1}").is_null()  # polars fills a short row up with nulls
        if frame.select((short | pl.any_horizontal(places[name].is_null() for name in self.required)).any()).item():
            self.explain()
        return frame.select(places.values())

    def explain(self) -> None:
        """Raise DataError for the first row without quotes that does not fit; return when all do."""
        for row, line in enumerate(self.piece.data.decode().split("\n"), self.piece.first_line):
            if line:
                values = line.split(self.separator)
                check_count(values, len(self.columns), self.path, row)
                self.check(row, values)

    def quoted(self) -> pl.DataFrame:
        """The wanted columns of rows with quotes, by `csv`."""
        rows = list(rows_of(self.piece, self.separator, self.path))
        for row, values in rows:
            check_count(values, len(self.columns), self.path, row)
            if any("\n" in value for value in values):
                what = "a quoted field holds a line break"
                raise DataError(what, file=self.path, row=row, fix="close its quotes, or replace the line break")
        place = self.columns.index
        texts = pl.DataFrame(
            {name: [values[place(name)] or None for _, values in rows] for name in self.schema},
            schema=dict.fromkeys(self.schema, pl.String),
        )
        frame = texts.select(pl.col(name).cast(kind, strict=False) for name, kind in self.schema.items())
        lost = frame.null_count().rows() != texts.null_count().rows()
        if lost or any(texts[name].null_count() for name in self.required):
            for row, values in rows:
                self.check(row, values)
        return frame

    def check(self, row: int, values: Sequence[str]) -> None:
        """Raise DataError for an empty field that is required, and for one that is not of its type."""
        for name, kind in self.schema.items():
            value = values[self.columns.index(name)]
            if value == "":
                if name in self.required:
                    raise DataError("the field is empty", file=self.path, row=row, field=name, fix="fill it in")
            elif kind != pl.String and pl.Series([value]).cast(kind, strict=False).null_count():
                what = f"the value {brief(value)} is not a {'whole ' * (kind == pl.Int64)}number"
                raise DataError(what, file=self.path, row=row, field=name, fix="correct it")
