"""Items without histories: a simple table of ids and titles, for viewing IDs without their interactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from macrec.data.built_in import is_built_in
from macrec.data.dataset import Dataset, item_table
from macrec.data.formats.parquet import EVENT_FILES, in_rows, whole_pictures
from macrec.data.histories import Histories
from macrec.data.images import ImageSource, NoImages
from macrec.data.load import layout_and_path, load_dataset
from macrec.data.reading.delimited import check_count, rows_of, with_line_feeds
from macrec.data.reading.parquet_table import read_table
from macrec.data.reading.text_files import Piece, existing_file, is_given, parse_json, whole
from macrec.data.reading.values import as_id, as_text, as_texts, is_absent
from macrec.errors import DataError

NAMES: dict[str, tuple[str, ...]] = {
    "item_id": ("item_id", "parent_asin", "asin", "itemid", "item", "iid", "id", "item_idx"),
    "title": ("title", "name", "item_name"),
    "brand": ("brand", "store"),
    "categories": ("categories", "category", "genres"),
    "description": ("description", "text"),
}
"""What the columns of a table of items may be called, whatever their case; the first that is there counts."""

TABLES = (".parquet", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")


def load_items(path_or_name: Path | str) -> Dataset:
    """A dataset by its name or path (`load_dataset`), or only its items: a table, or a folder with `items.parquet`.

    A table is .parquet, .csv, .tsv, .jsonl or .json (a list of objects, or an object of id → object, as `.item.json` of
    LC-Rec); text ones may be packed (.gz). It needs a column of ids and may have those of `NAMES`; categories are a
    list, or text cut at "|" or else at commas without a space behind. Pictures are found beside an `items.parquet`.
    The histories are empty. Raises DataError for whatever does not read.
    """
    path = Path(path_or_name)
    if (
        path.is_dir()
        and (path / "items.parquet").is_file()
        and not any((path / name).is_file() for name in EVENT_FILES)
    ):
        path = path / "items.parquet"
    kind = Path(path.name.removesuffix(".gz")).suffix
    if (
        kind not in TABLES
        or path.is_dir()
        or path.name.endswith(".inter.json")
        or is_built_in(str(path_or_name))
        or layout_and_path(str(path_or_name))[0]
    ):
        return load_dataset(path_or_name)
    items = item_table(read_items(path, kind), file=path)
    images: ImageSource = NoImages(len(items))
    notes: tuple[str, ...] = ()
    if kind == ".parquet" and (is_given(path.parent / "images.parquet") or (path.parent / "images").is_dir()):
        items, images, notes = whole_pictures(path.parent, items)
    else:
        items = items.with_columns(image=pl.lit(None, pl.String))
    histories = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32))
    name = path.resolve().parent.name if path.stem == "items" else path.stem
    return Dataset(name, items, histories, pl.Series([], dtype=pl.String), images, path.name, notes)


def read_items(path: Path, kind: str) -> pl.DataFrame:
    """The columns of `NAMES` in a file of one of the `TABLES`, under our names (and `image` from parquet)."""
    if kind == ".parquet":
        table = in_rows(read_table(path), path)
        picture = next((name for name in ("image_file", "image") if table.schema.get(name) == pl.String), None)
        columns = chosen(table.columns, path) | ({} if picture is None else {"image": picture})
        return table.select(pl.col(column).alias(name) for name, column in columns.items())
    if kind in (".csv", ".tsv"):
        return table_of_text(path, "," if kind == ".csv" else "\t")
    rows = from_document(path) if kind == ".json" else from_lines(path)
    columns = chosen(list(dict.fromkeys(chain.from_iterable(rows))), path)
    return pl.DataFrame(
        as_column([row.get(column) for row in rows], name, column, path).alias(name) for name, column in columns.items()
    )


def chosen(columns: Sequence[str], path: Path) -> dict[str, str]:
    """Which of the columns of a table are those of `NAMES`: our name → its name."""
    known = {column.lower(): column for column in reversed(columns)}
    names = {name: known[alias] for name, aliases in NAMES.items() for alias in reversed(aliases) if alias in known}
    if "item_id" not in names:
        what = f"no column holds the items' ids (found: {', '.join(columns)})"
        raise DataError(what, file=path, field="item_id", fix=f"call it {' or '.join(NAMES['item_id'][:3])}")
    return names


def table_of_text(path: Path, separator: str) -> pl.DataFrame:
    """The columns of `NAMES` of a CSV or TSV file with a header, as text; quoted fields may hold line breaks."""
    data = with_line_feeds(Piece(1, whole(existing_file(path))), path)
    lines = rows_of(Piece(1, data), separator, path, spaced=True)
    first, header = next(lines, (1, [""]))
    if (broken := next((column for column in header if '"' in column), None)) is not None:
        raise DataError(f"the column {broken!r} has a quote", file=path, row=first, fix="close it, or take it out")
    header = [column.strip() for column in header]
    columns = chosen(header, path)
    for column in columns.values():
        if header.count(column) > 1:
            raise DataError("the column occurs twice", file=path, row=first, field=column, fix="keep one")
    places = {name: header.index(column) for name, column in columns.items()}
    texts: dict[str, list[str | None]] = {name: [] for name in columns}
    for row, values in lines:
        check_count(values, len(header), path, row)
        for name, place in places.items():
            texts[name].append(values[place].strip() or None)
    if not texts["item_id"]:
        raise DataError("the file has a header and no rows", file=path, fix="fetch or write it again")
    return pl.DataFrame(texts, schema=dict.fromkeys(texts, pl.String))


def from_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON-lines file."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(whole(existing_file(path)).split(b"\n"), 1):
        if line.strip():
            try:
                value = parse_json(line, surrogates=True)
            except ValueError as error:
                what = f"the file is not readable as jsonl ({error})"
                raise DataError(what, file=path, row=number, fix="correct it, or fetch it again") from error
            if not isinstance(value, dict):
                raise DataError("the line is not an object", file=path, row=number, fix="write one {...} per line")
            rows.append(value)
    return rows


def from_document(path: Path) -> list[dict[str, Any]]:
    """The items of a JSON file: a list of objects, or an object of id → object."""
    data = whole(existing_file(path))
    try:
        value = parse_json(data, surrogates=True)
    except ValueError as error:
        what = f"the file is not readable as json ({error})"
        raise DataError(what, file=path, fix="correct it, or fetch it again") from error
    rows = (
        [{"item_id": key, **row} for key, row in value.items() if isinstance(row, dict)]
        if isinstance(value, dict)
        else value
    )
    if (
        not isinstance(rows, list)
        or len(rows) != len(value)
        or not rows
        or not all(isinstance(row, dict) for row in rows)
    ):
        what = "the file holds neither a list of objects nor an object of id → object"
        raise DataError(what, file=path, fix='write [{"item_id": "…", "title": "…"}, …]')
    return rows


def as_column(values: list[Any], name: str, column: str, path: Path) -> pl.Series:
    """JSON values as ids, as lists of texts (categories, unless all are several in one text) or as texts."""
    is_listed = name == "categories" and any(isinstance(value, list | dict) for value in values)
    read: Callable[[Any], Any] = as_id if name == "item_id" else as_texts if is_listed else as_text
    converted = []
    for row, value in enumerate(values, 1):
        try:
            converted.append(None if is_absent(value) else read(value))
        except ValueError as error:
            raise DataError(str(error), file=path, row=row, field=column, fix="correct it") from error
    return pl.Series(column, converted, dtype=pl.List(pl.String) if is_listed else pl.String)
