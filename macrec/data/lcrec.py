"""The json files of LC-Rec, LETTER, MQL4GRec and MACRec (specification 1.3): `<D>.inter.json` and what goes with it.

The format holds no times and no behaviors, and it joins categories with commas. When reading, a comma followed by a
space counts as part of a category ("Arts, Crafts & Sewing"); when writing, such a space is put in where it lacks.
"""

from __future__ import annotations

import glob
import os
import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.benchmark_files import part_files, sample_rows, write_benchmark
from macrec.data.dataset import Dataset, from_events
from macrec.data.delimited import read_csv
from macrec.data.images import FolderImages, ImageSource, NoImages
from macrec.data.ordering import check_histories
from macrec.data.parquet import encoded
from macrec.data.picture_files import first_whole
from macrec.data.reading import existing_file, is_given, parse_json, pieces, whole
from macrec.data.sample_rows import aligned_parts, events_of_rows
from macrec.data.text import split_categories
from macrec.data.values import as_text, as_texts, is_absent
from macrec.errors import DataError
from macrec.files import LONGEST, check_replaceable, replacing, write_json

TEXTS = ("title", "description", "brand", "categories")
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


def save_lcrec(dataset: Dataset, folder: Path | str) -> Path:
    """Write a dataset in this format into `folder`, all or nothing.

    A folder that was saved before is replaced as a whole; any other with something in it is refused (DataError).
    Times and behaviors are left out, as the format has no place for them. A published split goes into
    `<D>.{train,valid,test}.inter`, pictures go into `images/` byte for byte (drawn ones as WebP). Returns the folder.
    """
    check_histories(dataset)
    check_replaceable(Path(folder))
    if Path(dataset.name).name != dataset.name or len(os.fsencode(f"{dataset.name}_images_info.json")) > LONGEST:
        raise DataError(f'the name "{dataset.name}" cannot begin a file name', fix="rename the dataset")
    histories, items = dataset.histories, dataset.items
    for kind, ids in (("item", items["item_id"]), ("user", dataset.user_ids)):
        if len(broken := ids.filter(ids.str.contains(r"[\t\r\n]"))):
            what = f"the id {broken[0]!r} of the {kind} holds a tab or a line break"
            raise DataError(what, fix="rename it, or save as parquet")
    sequences = pl.DataFrame({"user": histories.users, "item": histories.items}).group_by("user", maintain_order=True)
    lines = sequences.agg(pl.col("item").cast(pl.String)).select(
        pl.format('"{}": [{}]', "user", pl.col("item").list.join(", "))
    )
    categories = pl.col("categories").list.eval(pl.element().str.replace_all(r",(\S)", ", $1")).list.join(",")
    texts = items.select(*TEXTS[:3], categories).to_dicts()
    numbers = pl.int_range(pl.len())
    with replacing(Path(folder)) as temporary:
        temporary.mkdir()
        start = temporary / dataset.name
        with start.with_name(start.name + ".inter.json").open("w", encoding="utf-8") as stream:
            stream.write("{" + ",\n".join(lines.to_series()) + "}\n")
        if histories.parts is not None:
            write_benchmark(histories, start)
        write_json(start.with_name(start.name + ".item.json"), {str(row): text for row, text in enumerate(texts)})
        for suffix, ids in ((".item2id", items["item_id"]), (".user2id", dataset.user_ids)):
            table = ids.to_frame("id").with_columns(numbers.alias("number"))
            table.write_csv(
                start.with_name(start.name + suffix), separator="\t", include_header=False, quote_style="never"
            )
        if dataset.images.present.any():
            (temporary / "images").mkdir()
            info: dict[str, list[str]] = {}
            for row, (item_id, image, present) in enumerate(
                zip(items["item_id"], items["image"], dataset.images.present, strict=True)
            ):
                info[item_id] = [f"{row}{Path(image or '').suffix or '.webp'}"] if present else []
                if present:
                    (temporary / "images" / info[item_id][0]).write_bytes(encoded(dataset.images, row))
            write_json(start.with_name(start.name + "_images_info.json"), info)
    return Path(folder)


def inter_file(path: Path) -> Path:
    """The `.inter.json` file that a folder, a file or a prefix means."""
    if path.is_dir():
        found = sorted(path.glob("*.inter.json"))
        if len(found) != 1:
            names = ", ".join(file.name for file in found) or "none"
            fix = "name one dataset as folder/<D>" if found else "check the path"
            raise DataError(f"one .inter.json file is needed in the folder (found: {names})", file=path, fix=fix)
        return found[0]
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


def read_items(prefix: Path, met: NDArray[np.int64]) -> tuple[Path, pl.DataFrame]:
    """The item table from `.item2id` and `.item.json`, and the file that decided how many items there are.

    With neither the items are those of the histories, `met`, and all numbers up to the highest must occur.
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
            what = f"the items met are not 0 to {len(ids) - 1}, each at least once"
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
    found: list[str] = []
    for field in TEXTS:
        value = (row or {}).get(field)
        try:
            if field == "categories" and not isinstance(value, str):
                parts = [] if is_absent(value) else as_texts(value)
                found.append(",".join(re.sub(r",(?=\S)", ", ", part) for part in parts))
            else:
                found.append(as_text(value))
        except ValueError as error:
            raise DataError(str(error), file=file, row=f"item {number}", field=field, fix="correct it") from error
    return found


def read_object(file: Path) -> dict[str, Any]:
    """A JSON file that holds one object."""
    data = whole(existing_file(file))
    try:
        value = parse_json(data, surrogates=True)
    except ValueError as error:
        raise DataError(
            f"the file is not readable as JSON ({error})", file=file, fix="correct it, or fetch it again"
        ) from error
    if not isinstance(value, dict):
        raise DataError("the file does not hold a JSON object", file=file, fix='write {"id": ...}')
    return value


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
