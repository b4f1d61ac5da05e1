"""MiniOneRec's CSV files (those of D3 and LC-Rec's time split look alike): samples in train, valid and test."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import polars as pl

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.format import Format, only
from macrec.data.formats.lcrec_items import read_items
from macrec.data.reading.delimited import read_csv
from macrec.data.reading.sample_rows import events_of_rows
from macrec.data.reading.text_files import existing_file
from macrec.errors import DataError

PARTS = ("train", "valid", "test")
NEEDED = ("user_id", "history_item_id", "item_id")
TITLES = ("history_item_title", "item_title")
TIMES = ("history_timestamp", "timestamp")


def stems(folder: Path) -> list[str]:
    """The datasets whose three files are in `train/`, `valid/` and `test/`, or in the folder itself ("")."""
    names = [{file.stem for file in (folder / part).glob("*.csv")} for part in PARTS]
    plain = [""] if all((folder / f"{part}.csv").is_file() for part in PARTS) else []
    return sorted(set.intersection(*names)) + plain


def files_of(folder: Path, stem: str) -> dict[str, Path]:
    """The file of each part."""
    return {part: folder / part / f"{stem}.csv" if stem else folder / f"{part}.csv" for part in PARTS}


def is_sample_file(file: Path) -> bool:
    """Whether a CSV file has the columns of samples."""
    with file.open("rb") as stream:
        header = stream.readline(1 << 12).decode("utf-8", "replace").lstrip("\ufeff").strip()
    return set(NEEDED) <= set(header.replace('"', "").split(","))


def find(path: Path) -> Path | None:
    """The folder above `train/`, `valid/` and `test/`, with a dataset's file in `train/` where one was named."""
    if path.is_dir():
        stem_names = stems(path)
        return path if stem_names and is_sample_file(files_of(path, stem_names[0])["train"]) else None
    if path.parent.name in PARTS and path.stem in stems(path.parents[1]) and is_sample_file(path):
        return path
    return path.parent if path.stem in PARTS and "" in stems(path.parent) and is_sample_file(path) else None


def load(path: Path | str, *, name: str | None = None) -> Dataset:
    """Load `train/<D>.csv`, `valid/<D>.csv` and `test/<D>.csv`, or `train.csv`, `valid.csv` and `test.csv`.

    A row is a sample: `user_id`, `history_item_id` (a list as Python writes it), `item_id`, and optional titles
    (`history_item_title`, `item_title`) and times (`history_timestamp`, `timestamp`). What a file asks for stays in its
    part. The catalog, with titles and descriptions, is that of `<C>.item.json` in the folder or in `index/`, where
    `<D>` begins with `<C>`; else the items of the histories. Raises DataError for rows that do not fit together.
    """
    path = Path(path)
    if path.is_dir():
        folder, stem = path, only(stems(path), path, "dataset in train/, valid/ and test/")
    else:
        folder, stem = path.parents[1], path.stem
    files = files_of(folder, stem)
    rows = pl.concat([read_rows(file, part) for part, file in files.items()], how="diagonal")
    if set(TIMES) <= set(rows.columns) and rows[TIMES[1]].null_count():
        rows = rows.drop(TIMES)
    events = events_of_rows(rows, files)
    if prefix := catalog_prefix(folder, stem):
        items_file, items = read_items(prefix, np.zeros(0, np.int64))
        events = named_by_row(events, items, items_file)
    else:
        items_file, items = files["train"], items_met(rows, events, files)
    source = ", ".join(str(file.relative_to(folder)) for file in files.values())
    return from_events(
        name or stem or folder.resolve().name,
        events,
        items,
        events_file=files["train"],
        items_file=items_file,
        source=source,
    )


def read_rows(file: Path, part: str) -> pl.DataFrame:
    """The samples of one file, as `events_of_rows` takes them, and their titles."""
    with existing_file(file).open("rb") as stream:
        header = stream.readline().decode("utf-8", "replace")
    there = [column for column in (*TITLES, *TIMES) if column in header.replace('"', "").strip().split(",")]
    frame = pl.concat(read_csv(file, dict.fromkeys((*NEEDED, *there), pl.String), header=True, required=NEEDED))
    frame = frame.with_row_index("row", 2).with_columns(
        lists(frame, "history_item_id", pl.String, file).alias("history"), part=pl.lit(part)
    )
    if set(TIMES) <= set(there):
        frame = frame.with_columns(
            lists(frame, TIMES[0], pl.Int64, file), pl.col(TIMES[1]).cast(pl.Int64, strict=False)
        )
    elif times := [column for column in TIMES if column in there]:
        frame = frame.drop(times)
    return frame.drop("history_item_id")


def lists(frame: pl.DataFrame, column: str, kind: type[pl.DataType], file: Path) -> pl.Series:
    """A column of lists as Python writes them: [1, 2] or ['B01', 'B02']."""
    numbers = frame[column].str.contains(r"^\[((0|[1-9][0-9]*)(, *(0|[1-9][0-9]*))*)?\]$")
    if numbers.all():
        return frame[column].str.extract_all("[0-9]+").cast(pl.List(kind)).alias(column)
    values = []
    for row, text in enumerate(frame[column], 2):
        try:
            value = ast.literal_eval(text)
            if not isinstance(value, list) or not {type(part) for part in value} <= {int, str}:
                raise ValueError
        except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
            what = f'"{text[:40]}" is not a list of ids'
            raise DataError(what, file=file, row=row, field=column, fix="write it as [1, 2]") from error
        values.append([str(part) for part in value])
    return pl.Series(column, values, pl.List(pl.String)).cast(pl.List(kind))


def catalog_prefix(folder: Path, stem: str) -> Path | None:
    """The beginning of the names of the catalog's files, where there is one catalog that fits the dataset."""
    files = sorted([*folder.glob("*.item.json"), *folder.glob("index/*.item.json")])
    names = [file.with_name(file.name.removesuffix(".item.json")) for file in files]
    fitting = [name for name in names if not stem or stem.startswith(name.name)]
    return fitting[0] if len(fitting) == 1 else None


def named_by_row(events: pl.DataFrame, items: pl.DataFrame, file: Path) -> pl.DataFrame:
    """Events whose items are rows of the catalog, with the ids that stand there."""
    rows = events["item_id"].cast(pl.Int64, strict=False)
    beyond = ~rows.is_between(0, len(items) - 1).fill_null(False)
    if beyond.any():
        what = f'the item "{events["item_id"].filter(beyond)[0]}" is not in the catalog'
        raise DataError(what, file=file, field="item_id", fix="give the catalog of this dataset, or none")
    return events.with_columns(item_id=items["item_id"].gather(rows))


def items_met(rows: pl.DataFrame, events: pl.DataFrame, files: dict[str, Path]) -> pl.DataFrame:
    """The items of the events, with the titles that the samples give, if they give any."""
    items = events.select("item_id").unique(maintain_order=True)
    if "item_title" not in rows.columns:
        return items
    titles = rows.select("item_id", title="item_title")
    if "history_item_title" in rows.columns:  # an item that is never a target has its title in the histories alone
        untold = ~pl.col("history").list.eval(pl.element().is_in(titles["item_id"].implode())).list.all()
        first = rows.filter(untold)
        pairs = first.select(item_id="history", title=lists(first, "history_item_title", pl.String, files["train"]))
        pairs = pairs.filter(pl.col("item_id").list.len() == pl.col("title").list.len())
        titles = pl.concat([titles, pairs.explode("item_id", "title")])
    titles = titles.drop_nulls().unique("item_id", keep="first", maintain_order=True)
    return items.join(titles, on="item_id", how="left", maintain_order="left")


FORMAT = Format(
    name="minionerec",
    title="MiniOneRec",
    files="`train/<D>.csv`, `valid/<D>.csv` and `test/<D>.csv`, whose split is kept; optional `index/<C>.item.json`",
    find=find,
    load=load,
)
