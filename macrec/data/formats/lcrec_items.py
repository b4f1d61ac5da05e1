"""The items of an LC-Rec dataset: `<D>.item.json`, `<D>.item2id` and `<D>_images_info.json`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.reading.delimited import read_csv
from macrec.data.reading.text_files import is_given, read_object
from macrec.data.reading.values import as_text, as_texts, is_absent
from macrec.data.text import split_categories
from macrec.errors import DataError

TEXTS = ("title", "description", "brand", "categories")


def read_items(prefix: Path, met: NDArray[np.int64]) -> tuple[Path, pl.DataFrame]:
    """The item table from `.item2id` and `.item.json`, and the file that decided how many items there are.

    With neither, the items are those of the histories, `met`, and all numbers up to the highest must occur.
    """
    text_file, id_file = (prefix.with_name(prefix.name + suffix) for suffix in (".item.json", ".item2id"))
    texts = read_object(text_file) if is_given(text_file) else {}
    if is_given(id_file):
        file, ids = id_file, read_numbering(id_file)
    elif texts:
        missing = next((row for row in range(len(texts)) if str(row) not in texts), None)
        if missing is not None:
            what = f'the item "{missing}" is missing among the {len(texts)} (the ids are not 0 to {len(texts) - 1})'
            raise DataError(what, file=text_file, fix=f"add it, or number without gaps, or add {id_file.name}")
        file, ids = text_file, pl.int_range(len(texts), eager=True)
    else:
        file, ids = prefix.with_name(prefix.name + ".inter.json"), pl.Series(np.unique(met[met >= 0]))
        if not ids.equals(pl.int_range(len(ids), eager=True)):
            what = f"the items are not 0 to {len(ids) - 1}, each at least once"
            raise DataError(what, file=file, fix=f"number without gaps, or add {id_file.name} or {text_file.name}")
    extra = next((key for key in texts if not key.isdecimal() or str(int(key)) != key or int(key) >= len(ids)), None)
    if extra is not None:
        raise DataError(f'the item "{extra}" is not in {file.name}', file=text_file, fix="make the two files agree")
    columns: dict[str, list[Any]] = {field: [] for field in TEXTS}
    for number in range(len(ids)):
        for field, value in zip(TEXTS, texts_of(texts.get(str(number)), text_file, number), strict=True):
            columns[field].append(value)
    items = pl.DataFrame({"item_id": ids.cast(pl.String), **columns}, schema_overrides=dict.fromkeys(TEXTS, pl.String))
    return file, items.with_columns(pl.col("categories").map_batches(lambda texts: split_categories(texts, bars=False)))


def texts_of(row: Any, file: Path, number: int) -> list[str]:
    """The `TEXTS` of one item; absent ones are "", a list of categories is joined again."""
    if not (row is None or isinstance(row, dict)):
        what = f"the item is {row!r:.40} where an object of texts is needed"
        raise DataError(what, file=file, row=f"item {number}", fix='write {"title": ...}')
    texts: list[str] = []
    for field in TEXTS:
        value = (row or {}).get(field)
        try:
            if field == "categories" and not isinstance(value, str):
                parts = [] if is_absent(value) else as_texts(value)
                texts.append(",".join(re.sub(r",(?=\S)", ", ", part) for part in parts))
            else:
                texts.append(as_text(value))
        except ValueError as error:
            raise DataError(str(error), file=file, row=f"item {number}", field=field, fix="correct it") from error
    return texts


def read_numbering(file: Path) -> pl.Series:
    """The ids of a `.item2id` or `.user2id` file in the order of their numbers."""
    schema = {"id": pl.String, "number": pl.Int64}
    table = pl.concat(read_csv(file, schema, header=False, separator="\t", quoted=False)).sort("number")
    check_numbering(table["number"], file)
    repeated = table["id"].filter(~table["id"].is_first_distinct())
    if len(repeated):
        raise DataError(f'the id "{repeated[0]}" occurs again', file=file, fix="keep one row per id")
    return table["id"]


def check_numbering(numbers: pl.Series, file: Path) -> None:
    """Raise DataError unless sorted numbers are 0, 1, 2, ..."""
    wanted = pl.int_range(len(numbers), eager=True)
    if not numbers.equals(wanted):
        missing = wanted.filter(~wanted.is_in(numbers.implode()))
        what = f"the numbers are not 0 to {len(numbers) - 1}, each once ({missing[0]} is missing)"
        raise DataError(what, file=file, fix="number without gaps and repeats")


def named_pictures(file: Path, item_ids: pl.Series) -> pl.DataFrame:
    """The files that an `_images_info.json` names: `item_id` and `name`, in the order of the lists.

    Its keys are ids of items, or, where none of them is one, their rows.
    """
    info = read_object(file)
    for item, files in info.items():
        if not isinstance(files, list) or not all(isinstance(name, str) for name in files):
            raise DataError(
                "the pictures are not a list of file names", file=file, row=f"item {item}", fix="correct it"
            )
    keys, ids = list(info), item_ids.to_list()
    if not set(keys) & set(ids) and keys:
        rows = {str(row): item for row, item in enumerate(ids)}
        stranger = next((key for key in keys if key not in rows), None)
        if stranger is not None:
            what = f'the key "{stranger}" is neither the id nor the row of an item'
            raise DataError(what, file=file, fix="name pictures by the ids of the items, or by their rows from 0")
        info = {rows[key]: files for key, files in info.items()}
    pairs = [(item, name) for item in ids for name in info.get(item, ())]
    return pl.DataFrame(pairs, schema={"item_id": pl.String, "name": pl.String}, orient="row")
