"""Files of semantic IDs: parquet, the json of LC-Rec, LETTER, MQL4GRec and MiniOneRec, json lines, CSV, and arrays.

A key is the id of an item; `macrec.quantization.id_matching` defines which item of a dataset it means.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import first_true
from macrec.data.item_file import NAMES
from macrec.data.reading.parquet_table import read_table
from macrec.data.reading.text_files import existing_file, parse_json, pieces
from macrec.errors import DataError, unseen
from macrec.quantization.id_matching import first_gap
from macrec.quantization.id_tokens import Place, check_names, codes_of, column_of, matrix

CODES = ("codes", "code", "semantic_id", "semantic_ids", "sid", "sids", "tokens", "token")
"""What a column of whole semantic IDs may be called; without one, every column besides the ids is a level."""

MOST_TEXT = 1 << 29
"""Bytes of text (unpacked) that are read at most: half a gigabyte holds ten million items."""


class FileContent(NamedTuple):
    """The content of a file: codes `[N, L]`, and if present the items' ids, and per level the name of the codebook,
    its size, and which of several joined tables it is from."""

    codes: NDArray[np.int64]
    ids: pl.Series | None = None
    names: tuple[str, ...] | None = None
    sizes: tuple[int, ...] | None = None
    groups: tuple[str, ...] | None = None


def read_ids(path: Path) -> FileContent:
    """What a file of semantic IDs holds, in its order; read by its ending (`load_semantic_ids` lists them).

    Raises DataError for a file that does not read, an item that comes twice, items with different numbers of codes, and
    codes that are no whole numbers from 0 up.
    """
    name = path.name.lower()
    ending = Path(name.removesuffix(".gz")).suffix
    if ending not in READERS or (name.endswith(".gz") and ending in (".parquet", ".npy")):
        others = ", ".join(kind for kind in READERS if kind not in (".json", ".parquet"))
        fix = f"give .json or .parquet ({others} are read, too)"
        raise DataError("this is no table of IDs", file=existing_file(path), fix=fix)
    content = READERS[ending](existing_file(path))
    if content.ids is not None and (twice := ~content.ids.is_first_distinct()).any():
        row = f'item "{content.ids[first_true(twice)]}"'
        raise DataError("the item has two IDs", file=path, row=row, fix="keep one row per item")
    return content


def check_numbering(keys: pl.Series, file: Path) -> None:
    """Raise DataError, naming it, where a number is missing among items numbered 0, 1, 2, … without a dataset."""
    if (gap := first_gap(keys)) is not None:
        what = f'the items are numbered from 0, and "{gap}" is missing'
        raise DataError(what, file=file, fix="give it an ID, or number the items without gaps")


def read_parquet_ids(path: Path) -> FileContent:
    """IDs from a parquet file, with the codebooks of its metadata."""
    content = from_table(read_table(path), path, lambda row: row + 1)
    try:
        about = pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        what, fix = "the metadata is not readable", "fetch or write the file again"
        raise unseen(error, path) or DataError(what, file=path, fix=fix) from error
    levels = content.codes.shape[1]
    names = metadata(about, "codebooks", levels, str, path)
    if names is not None:
        check_names(names, path)
    sizes, groups = metadata(about, "sizes", levels, int, path), metadata(about, "groups", levels, str, path)
    return content._replace(names=names or content.names, sizes=sizes, groups=groups)


def metadata(about: dict[str, str], field: str, levels: int, kind: type, path: Path) -> tuple[Any, ...] | None:
    """One value of `kind` per level from the metadata of a parquet file, or None where it has no such field."""
    if field not in about:
        return None
    try:
        values = parse_json(about[field].encode())
    except ValueError:
        values = None
    if type(values) is not list or len(values) != levels or set(map(type, values)) != {kind}:
        needed = "names" if kind is str else "whole numbers"
        what = f"the metadata is {about[field][:60]} where a list of {levels} {needed} is needed"
        raise DataError(what, file=path, field=field, fix="correct it, or leave it out")
    return tuple(values)


def from_table(table: pl.DataFrame, path: Path, place: Place) -> FileContent:
    """IDs from a table with a column of ids (one of `NAMES["item_id"]`) and codes in one column or in one per level."""
    known = {name.strip().lower(): name for name in reversed(table.columns)}
    id_columns = [known[name] for name in NAMES["item_id"] if name in known]
    order = known.get("item_idx")
    ids = next((ids for name in id_columns if (ids := id_column(table[name], path, place)) is not None), None)
    whole = next((known[name] for name in CODES if name in known), None)
    if whole is not None:
        codes, names = codes_of(table[whole], path, place)
    else:
        levels = table.drop(id_columns)
        codes, names = levels_of(levels, path, place), None
        if not id_columns or any(re.match(r"$|unnamed", name.strip().lower()) for name in levels.columns):
            what = f"which column holds the items' ids, and which are levels, is not clear ({', '.join(table.columns)})"
            raise DataError(what, file=path, fix="call the ids item_id, and name every level or leave the column out")
    if order is None:
        return FileContent(codes, ids, names)
    rows = table[order].cast(pl.Int64, strict=False)
    if rows.null_count() or rows.is_duplicated().any():
        fix = "number the items, each once, or leave the column out"
        raise DataError("the column is no numbering", file=path, field=order, fix=fix)
    sort = rows.arg_sort()
    return FileContent(codes[sort.to_numpy()], None if ids is None else ids.gather(sort), names)


def id_column(ids: pl.Series, path: Path, place: Place) -> pl.Series | None:
    """Ids as text; None for an empty column."""
    kind = ids.dtype
    if ids.null_count() == len(ids):
        return None
    if not (kind == pl.String or kind.is_integer() or isinstance(kind, pl.Categorical | pl.Enum)):
        what = "the column holds no ids (text or whole numbers)"
        raise DataError(what, file=path, field=ids.name, fix="convert it")
    if ids.null_count():
        row = place(first_true(ids.is_null()))
        raise DataError("the id is empty", file=path, row=row, field=ids.name, fix="fill it in")
    return ids.cast(pl.String).rename("item_id")


def levels_of(table: pl.DataFrame, path: Path, place: Place) -> NDArray[np.int64]:
    """The codes `[N, L]` of a table with one column per level."""
    for column in table:
        if not (column.dtype.is_integer() or column.dtype == pl.String):
            names = ", ".join(table.columns)
            raise DataError(
                "the column is missing", file=path, field="codes", fix=f"add it (found besides ids: {names})"
            )
        odd = column.cast(pl.String).str.contains(r"^\s*[0-9]+\s*$").fill_null(False).not_()
        if odd.any():
            row = first_true(odd)
            what = f"{str(column[row])[:60]!r} is no code" if column[row] is not None else "the code is missing"
            fix = "leave only ids and one column of whole numbers per level, or call the column of codes codes"
            raise DataError(what, file=path, row=place(row), field=column.name, fix=fix)
    if not table.width:
        raise DataError("the column is missing", file=path, field="codes", fix="add it, or one column per level")
    numbers = table.select(pl.concat_list(pl.all().cast(pl.String).str.strip_chars().cast(pl.Int64, strict=False)))
    return matrix(numbers.to_series(), path, place)


def read_json_ids(path: Path) -> FileContent:
    """IDs from one JSON object of item → codes."""
    pairs = parsed(text_of(path), path)
    if not isinstance(pairs, Pairs) or not pairs:
        fix = 'write {"0": ["<a_1>", "<b_2>"], …}'
        raise DataError("the file is not an object of item → tokens", file=path, fix=fix)
    ids = pl.Series("item_id", [key for key, _ in pairs], pl.String)
    if (twice := ~ids.is_first_distinct()).any():
        what = f'the key "{ids[first_true(twice)]}" occurs twice'
        raise DataError(what, file=path, fix="keep one ID per item")

    def place(row: int) -> str:
        return f'item "{ids[row]}"'

    codes, names = codes_of(column_of([value for _, value in pairs], path, place), path, place)
    return FileContent(codes, ids, names)


def read_json_lines_ids(path: Path) -> FileContent:
    """IDs from JSON objects, one per line, with an id and codes."""
    numbers: list[int] = []
    records: list[dict[str, Any]] = []
    for number, line in enumerate(text_of(path).split(b"\n"), 1):
        if not line.strip():
            continue
        pairs = parsed(line, path, number)
        record = dict(pairs) if isinstance(pairs, Pairs) else {}
        if not record or len(record) < len(pairs) or (records and record.keys() != records[0].keys()):
            what = "the line is no object with the fields of the first line, each once"
            raise DataError(what, file=path, row=number, fix='write {"item_id": "…", "codes": [1, 2]}')
        numbers.append(number)
        records.append(record)

    def place(row: int) -> int:
        return numbers[row]

    columns = {name: json_column(name, [record[name] for record in records], path, place) for name in records[0]}
    return from_table(pl.DataFrame(columns), path, place)


def json_column(name: str, values: list[Any], path: Path, place: Place) -> pl.Series:
    """The values of one field of JSON lines: codes, texts or whole numbers."""
    kinds = set(map(type, values)) - {type(None)}
    if list in kinds or name.strip().lower() in CODES:
        return column_of(values, path, place)
    if not kinds <= {str, int}:
        row, value = next((row, value) for row, value in enumerate(values) if type(value) not in (str, int, type(None)))
        what = f"{str(value)[:60]} is neither text nor a whole number"
        raise DataError(what, file=path, row=place(row), field=name, fix="correct it")
    return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)


def read_csv_ids(path: Path) -> FileContent:
    """IDs from a CSV or TSV file with names in its first line."""
    data = text_of(path)
    separator = "\t" if ".tsv" in path.suffixes[-2:] else ","
    try:
        table = pl.read_csv(io.BytesIO(data), separator=separator, infer_schema=False, null_values="")
    except (pl.exceptions.PolarsError, ValueError) as error:
        what = f"the file is not readable as a table ({str(error).splitlines()[0]})"
        raise DataError(what, file=path, fix="correct it or fetch it again") from error
    if any(name.strip().isdecimal() for name in table.columns):
        fix = "write names into it, such as item_id,a,b,c"
        raise DataError("the line holds numbers where the names of the columns are needed", file=path, row=1, fix=fix)
    table = table.with_columns(pl.all().str.strip_chars().replace("", None))
    lines = table.select(filled=pl.any_horizontal(pl.all().is_not_null()))["filled"].arg_true() + 2
    return from_table(table[lines - 2], path, lambda row: int(lines[row]))


def read_npy_ids(path: Path) -> FileContent:
    """IDs from an array `[N, L]` of whole numbers; it is mapped, not loaded, until its shape is known."""
    try:
        codes = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python: a damaged one raises whatever its text brings
        what = "the file is no array that NumPy reads without unpickling"
        raise unseen(error, path) or DataError(what, file=path, fix="save codes [N, L] with numpy.save") from error
    if codes.ndim != 2 or codes.dtype.kind not in "iu" or not codes.size:
        what = f"the array is {codes.dtype} {codes.shape} where whole numbers [N, L] are needed"
        raise DataError(what, file=path, fix="give one row of codes per item")
    if codes.dtype.kind == "u":
        codes = np.minimum(codes, np.uint64(1 << 62))  # too large a code stays too large as int64
    return FileContent(matrix(pl.Series(codes.astype(np.int64)).arr.to_list(), path, lambda row: row + 1))


class Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs of key and value, repeated keys and all."""


def parsed(data: bytes, path: Path, row: int | None = None) -> Any:
    """JSON whose objects are `Pairs`. Raises DataError for what is none."""
    try:
        return parse_json(data, Pairs)
    except ValueError as error:
        what = f"the {'file' if row is None else 'line'} is not JSON ({error})"
        raise DataError(what, file=path, row=row, fix="correct it or fetch it again") from error


def text_of(path: Path) -> bytes:
    """The text of a file, unpacked and checked to be UTF-8. Raises DataError beyond `MOST_TEXT`."""
    parts, size = [], 0
    for piece in pieces(path, 8 << 20, end=b'"' if ".json" in path.suffixes[-2:] else b"\n"):
        parts.append(piece.data)
        size += len(piece.data)
        if size > MOST_TEXT:
            what = f"the text is longer than {MOST_TEXT >> 20:,} megabytes"
            raise DataError(what, file=path, fix="save so many IDs as parquet")
    return b"".join(parts)


READERS: dict[str, Callable[[Path], FileContent]] = {
    ".json": read_json_ids,
    ".parquet": read_parquet_ids,
    ".jsonl": read_json_lines_ids,
    ".ndjson": read_json_lines_ids,
    ".csv": read_csv_ids,
    ".tsv": read_csv_ids,
    ".npy": read_npy_ids,
}
