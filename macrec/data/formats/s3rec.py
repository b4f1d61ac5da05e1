"""The text of S3-Rec and what builds on it (P5, CL4SRec, FMLP-Rec, ...), and that of SASRec."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.format import Format, only, unpacked
from macrec.data.reading.text_files import existing_file, is_given, pieces, read_object
from macrec.errors import DataError

BEGINNING = 1 << 12
"""Bytes of a text file that are read to recognize it."""

NUMBERS = re.compile(rb"\s*([0-9]+( +[0-9]+)+\s*\n)+")


def stems(folder: Path) -> list[str]:
    """The datasets whose text is in `folder`; lists of sampled negatives (`<D>_sample.txt`) are none."""
    files = [file for file in folder.glob("*.txt") if not file.stem.endswith("_sample") and is_text(file)]
    return sorted(file.stem for file in files)


def is_text(file: Path) -> bool:
    """Whether a file begins with lines of whole numbers, two or more each, with single spaces between."""
    if not file.is_file() or unpacked(file) != file.name:
        return False
    with file.open("rb") as stream:
        beginning = stream.read(BEGINNING)
    whole = len(beginning) < BEGINNING
    lines = beginning.replace(b"\r\n", b"\n").rstrip() + b"\n" if whole else beginning[: beginning.rfind(b" ")] + b"\n"
    return NUMBERS.fullmatch(lines) is not None


def find(path: Path) -> Path | None:
    """The text file; a folder where there are several."""
    if path.is_dir():
        return path if stems(path) else None
    file = path if path.suffix == ".txt" else path.with_name(f"{path.name}.txt")
    return file if is_text(file) else None


def load(path: Path | str, *, name: str | None = None) -> Dataset:
    """Load `<D>.txt` and, where it is there, `<D>_item2attributes.json`.

    A line is a user and his items from the oldest to the newest (S3-Rec, P5), or, where a user has several lines, one
    user and one item (SASRec). All ids are whole numbers; items are those of the events, by number. Attributes are
    numbers, too: the categories of an item read "attribute 331". Raises DataError for a line that is neither.
    """
    path = Path(path)
    file = path / f"{only(stems(path), path, 'text of whole numbers')}.txt" if path.is_dir() else existing_file(path)
    events = read_events(file)
    items = events.select("item_id").unique().sort(pl.col("item_id").str.len_chars(), "item_id")  # by number
    attributes = file.with_name(f"{file.stem}_item2attributes.json")
    if is_given(attributes):
        attributes_of = read_attributes(attributes)
        items = items.with_columns(
            pl.Series("categories", [attributes_of.get(item, []) for item in items["item_id"]], pl.List(pl.String))
        )
    return from_events(name or file.stem, events, items, events_file=file, items_file=file, source=file.name)


def read_events(file: Path) -> pl.DataFrame:
    """The events in file order: `user_id` and `item_id`."""
    frames = []
    for piece in pieces(file):
        text = pl.Series("line", piece.data.decode().split("\n")).str.strip_chars()
        lines = text.to_frame().with_row_index("row", piece.first_line).filter(pl.col("line") != "")
        odd = lines.filter(~pl.col("line").str.contains(r"^[0-9]+( +[0-9]+)+$"))
        if len(odd):
            fix = "write a user and his items, oldest first, all whole numbers with spaces between"
            raise DataError("the line is not a user and items", file=file, row=int(odd["row"][0]), fix=fix)
        frames.append(lines.with_columns(pl.col("line").str.extract_all("[0-9]+")))
    lines = pl.concat(frames).select("row", user_id=pl.col("line").list.first(), item_id=pl.col("line").list.slice(1))
    again = lines.filter(~pl.col("user_id").is_first_distinct())
    if len(again) and lines["item_id"].list.len().max() != 1:
        what = f'the user "{again["user_id"][0]}" occurs again, and a line has several items'
        fix = "give one line per user, or one line per event"
        raise DataError(what, file=file, row=int(again["row"][0]), fix=fix)
    return lines.drop("row").explode("item_id")


def read_attributes(file: Path) -> dict[str, list[str]]:
    """The categories of each item from {"item": [attribute, ...]}."""
    content = read_object(file)
    for item, attributes in content.items():
        if not isinstance(attributes, list) or not set(map(type, attributes)) <= {int}:
            what = "the attributes are not a list of whole numbers"
            raise DataError(what, file=file, row=f"item {item}", fix="correct it")
    return {item: [f"attribute {number}" for number in attributes] for item, attributes in content.items()}


FORMAT = Format(
    name="s3rec",
    title="S3-Rec, P5, SASRec",
    files="`<D>.txt`: a user and his items per line, or a user and one item; optional `<D>_item2attributes.json`",
    find=find,
    load=load,
)
