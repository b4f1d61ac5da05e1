"""The json files of LC-Rec, LETTER, MQL4GRec and MACRec (specification 1.3): `<D>.inter.json` and what goes with it.

The format holds no times and no behaviors, and it joins categories with commas. When reading, a comma followed by a
space counts as part of a category ("Arts, Crafts & Sewing"); when writing, such a space is put in where it lacks.
"""

from __future__ import annotations

import glob
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.benchmark_files import part_files, sample_rows
from macrec.data.formats.format import Format
from macrec.data.formats.lcrec_items import named_pictures, read_items, read_numbering
from macrec.data.images import FolderImages, ImageSource, NoImages
from macrec.data.reading.picture_files import first_whole
from macrec.data.reading.sample_rows import aligned_parts, events_of_rows
from macrec.data.reading.text_files import existing_file, is_given, parse_json, pieces
from macrec.errors import DataError

JSON_SPACE = b" \t\r\n"


def load_lcrec(path: Path | str, *, images: Path | str | None = None, name: str | None = None) -> Dataset:
    """Load `<D>.inter.json` {"uid": [iid, ...]} and, where they are there, `<D>.item.json`, `.item2id`, `.user2id`.

    `path`: the folder, the `.inter.json` file or the prefix `folder/<D>`. Integer ids are item rows and must run from 0
    without gaps; `.item2id` and `.user2id` give the source's ids. Pictures: the first whole file that
    `<D>_images_info.json` names for an item, in the folder `images` (default: `images` beside the files; no such
    folder, no pictures). The split is that of `<D>.train.inter`, `.valid.inter` and `.test.inter`, where these are
    there. Raises DataError for whatever does not fit together.
    """
    file = inter_file(Path(path))
    prefix = file.name.removesuffix(".inter.json")
    user, lengths, item = read_sequences(file)
    items_file, items = read_items(file.parent / prefix, item)
    beyond = np.flatnonzero((item < 0) | (item >= len(items)))
    if len(beyond):
        owner = np.searchsorted(np.cumsum(lengths), beyond[0], side="right")
        raise DataError(
            f"the item {item[beyond[0]]} is not in the item table",
            file=file,
            row=f'user "{user[int(owner)]}"',
            fix=f"add it to {items_file} or drop the event",
        )
    parts = published_parts(file.parent / prefix, user, lengths, item)
    if is_given(names_file := file.parent / f"{prefix}.user2id"):
        user = renamed_users(user, names_file, file)
    folder = Path(images) if images is not None else file.parent / "images"
    info_file = file.parent / f"{prefix}_images_info.json"
    source: ImageSource = NoImages(len(items))
    notes: tuple[str, ...] = ()
    if images is not None or (folder.is_dir() and is_given(info_file)):
        pictures, notes = first_whole(named_pictures(info_file, items["item_id"]), folder)
        items = items.join(pictures, on="item_id", how="left", maintain_order="left")
        source = FolderImages(folder, items["image"].to_list(), items["item_id"].to_list())
    events = pl.DataFrame(
        {"user_id": user.gather(np.repeat(np.arange(len(user)), lengths)), "item_id": items["item_id"].gather(item)}
    )
    if parts is not None:
        events = events.with_columns(part=parts)
    return from_events(
        name or prefix,
        events,
        items,
        events_file=file,
        items_file=items_file,
        images=source,
        source=file.name,
        notes=notes,
    )


def inter_file(path: Path) -> Path:
    """The `.inter.json` file that a folder, a file or a prefix means."""
    if path.is_dir():
        files = sorted(path.glob("*.inter.json"))
        if len(files) != 1:
            names = ", ".join(file.name for file in files) or "none"
            fix = "name one dataset as folder/<D>" if files else "check the path"
            raise DataError(f"one .inter.json file is needed in the folder (found: {names})", file=path, fix=fix)
        return files[0]
    return path if path.name.endswith(".inter.json") else existing_file(path.with_name(path.name + ".inter.json"))


def read_sequences(file: Path) -> tuple[pl.Series, NDArray[np.int64], NDArray[np.int64]]:
    """User keys `[U]`, history lengths `[U]` and all items one after another `[nnz]` of an `.inter.json` file.

    The object is read in parts cut after a "]", so that only a few megabytes of it are Python objects at a time.
    """
    users: list[str] = []
    lengths: list[NDArray[np.int64]] = []
    items: list[NDArray[np.int64]] = []
    closed = False
    for piece in pieces(file, 4 << 20, end=b"]"):
        body = piece.data.strip(JSON_SPACE)
        opening, closed = b"," if users else b"{", body.endswith(b"}")
        try:
            if not body.startswith(opening) and not (users and body == b"}"):
                raise ValueError(f"{opening.decode()} expected")
            body = body.removeprefix(opening).removesuffix(b"}")
            pairs = parse_json(b"{" + body + b"}", list)
        except ValueError as error:
            what = f'the text is not JSON of the form {{"user": [item, item]}} ({error})'
            raise DataError(what, file=file, row=piece.first_line, fix="correct it or fetch it again") from error
        check_lists(pairs, file)
        users += [user for user, _ in pairs]
        lengths.append(np.array([len(sequence) for _, sequence in pairs], np.int64))
        try:
            items.append(np.fromiter(chain.from_iterable(sequence for _, sequence in pairs), np.int64))
        except OverflowError as error:
            user = next(user for user, sequence in pairs if max(map(abs, sequence)) >= 1 << 63)
            what = "an item is too large a number"
            raise DataError(what, file=file, row=f'user "{user}"', fix="number items from 0") from error
    if not closed:
        raise DataError("the JSON is cut short", file=file, fix="fetch or write it again")
    keys = pl.Series("user", users, pl.String)
    if keys.is_empty():
        raise DataError("there are no events", file=file, fix="give at least one user with one item")
    repeated = keys.filter(~keys.is_first_distinct())
    if len(repeated):
        raise DataError(f'the user "{repeated[0]}" occurs again', file=file, fix="keep one history per user")
    return keys, np.concatenate(lengths), np.concatenate(items)


def check_lists(pairs: list[tuple[str, Any]], file: Path) -> None:
    """Raise DataError for a history that is not a list of integers, or is empty."""
    for user, sequence in pairs:
        if not isinstance(sequence, list) or not set(map(type, sequence)) <= {int}:
            what = "the history is not a list of whole numbers"
            raise DataError(what, file=file, row=f'user "{user}"', fix="correct it")
        if not sequence:
            raise DataError("the history is empty", file=file, row=f'user "{user}"', fix="drop the user")


def published_parts(
    prefix: Path, user: pl.Series, lengths: NDArray[np.int64], item: NDArray[np.int64]
) -> pl.Series | None:
    """The part of every event by the benchmark files beside the json, or None where there is none of them."""
    if not any(is_given(file) for file in prefix.parent.glob(f"{glob.escape(prefix.name)}.train.inter*")):
        return None
    files = part_files(prefix)
    events = events_of_rows(sample_rows(files, "user_id", "item_id"), files)
    return aligned_parts(events, user, lengths, pl.Series(item).cast(pl.String), files["train"])


def renamed_users(keys: pl.Series, names_file: Path, file: Path) -> pl.Series:
    """The source's ids of users given by number."""
    ids = read_numbering(names_file)
    number = keys.cast(pl.Int64, strict=False)
    unknown = keys.filter(number.is_null() | (number < 0) | (number >= len(ids)))
    if len(unknown):
        raise DataError(f'the user "{unknown[0]}" is not in {names_file.name}', file=file, fix="make the files agree")
    repeated = keys.filter(~number.is_first_distinct())
    if len(repeated):
        raise DataError(f'the user "{repeated[0]}" occurs again', file=file, fix="keep one history per user")
    return ids.gather(number)


def find(path: Path) -> Path | None:
    """The folder, the `.inter.json` file or the prefix, as it was given."""
    if path.is_dir():
        return path if any(path.glob("*.inter.json")) else None
    named = path if path.name.endswith(".inter.json") else path.with_name(f"{path.name}.inter.json")
    return path if named.is_file() else None


FORMAT = Format(
    name="lcrec",
    title="LC-Rec, LETTER, MQL4GRec, MACRec",
    files="`<D>.inter.json`, optional `<D>.item.json`, `<D>.item2id`, `<D>.user2id`, `<D>_images_info.json` with "
    "`images/`, and `<D>.{train,valid,test}.inter`, whose split is kept",
    find=find,
    load=load_lcrec,
)
