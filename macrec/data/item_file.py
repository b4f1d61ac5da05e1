"""Items without histories: a simple table of ids and titles, for looking at IDs whose interactions nobody has."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset, item_table
from macrec.data.histories import Histories
from macrec.data.images import ImageSource, NoImages
from macrec.data.load import load_dataset
from macrec.data.parquet import EVENT_FILES, in_rows, pictures, read_table
from macrec.data.reading import existing_file, is_given, parse_json, pieces
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
        or str(path_or_name).startswith("curio")
    ):
        return load_dataset(path_or_name)
    items = item_table(standard(read_items(path, kind), path), file=path)
    images: ImageSource = NoImages(len(items))
    if kind == ".parquet" and (is_given(path.parent / "images.parquet") or (path.parent / "images").is_dir()):
        images = pictures(path.parent, items)
    else:
        items = items.with_columns(image=pl.lit(None, pl.String))
    histories = Histories(np.zeros(1, np.int64), np.zeros(0, np.int32))
    name = path.resolve().parent.name if path.stem == "items" else path.stem
    return Dataset(name, items, histories, pl.Series([], dtype=pl.String), images, source=path.name)


def read_items(path: Path, kind: str) -> pl.DataFrame:
    """The table in a file of one of the `TABLES`, as it is."""
    if kind == ".parquet":
        return in_rows(read_table(path), path)
    try:
        data = b"".join(piece.data for piece in pieces(existing_file(path)))
        if kind in (".csv", ".tsv"):
            return pl.read_csv(io.BytesIO(data), separator="," if kind == ".csv" else "\t", infer_schema=False)
        if kind == ".json":
            return pl.DataFrame(records(parse_json(data), path), infer_schema_length=None, strict=False)
        return pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
    except DataError:
        raise
    except (pl.exceptions.PolarsError, ValueError, TypeError) as error:
        why = str(error).splitlines()[0]
        what = f"the file is not readable as {kind.removeprefix('.')} ({why})"
        raise DataError(what, file=path, fix="correct it, or fetch it again") from error


def records(value: Any, path: Path) -> list[dict[str, Any]]:
    """The items of a JSON file: a list of objects, or an object of id → object."""
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
    return [{key: json.dumps(part) if isinstance(part, dict) else part for key, part in row.items()} for row in rows]


def standard(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    """The columns of `NAMES` (and `image`) that a table has, under the names and with the types of an item table."""
    known = {name.lower(): name for name in reversed(table.columns)}
    found = {name: known[alias] for name, aliases in NAMES.items() for alias in reversed(aliases) if alias in known}
    if "item_id" not in found:
        what = f"no column holds the items' ids (found: {', '.join(table.columns)})"
        raise DataError(what, file=path, field="item_id", fix=f"call it {' or '.join(NAMES['item_id'][:3])}")
    columns = [text_or_list(table, column, name).alias(name) for name, column in found.items()]
    picture = next((name for name in ("image_file", "image") if table.schema.get(name) == pl.String), None)
    return table.select(*columns, *([pl.col(picture).alias("image")] if picture else []))


def text_or_list(table: pl.DataFrame, column: str, name: str) -> pl.Expr:
    """A column as text, or as a list of texts for categories."""
    kind, value = table.schema[column], pl.col(column)
    is_list = isinstance(kind, pl.List | pl.Array)
    if isinstance(kind, pl.List | pl.Array) and isinstance(kind.inner, pl.List | pl.Struct | pl.Null):
        return pl.lit([] if name == "categories" else "")  # nothing that reads as text
    if name == "categories":
        if is_list:
            return value.cast(pl.List(pl.String))
        mark = (
            pl.when(value.cast(pl.String).str.contains("|", literal=True)).then(pl.lit("|")).otherwise(pl.lit("\x1f"))
        )
        texts = value.cast(pl.String).str.replace_all(r",(\S)", "\x1f$1")
        return texts.str.split(mark).list.eval(pl.element().str.strip_chars().filter(pl.element() != ""))
    return value.cast(pl.List(pl.String)).list.join(" ") if is_list else value.cast(pl.String)
