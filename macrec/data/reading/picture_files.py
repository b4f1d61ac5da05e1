"""Which downloaded files are the pictures of which items, and how many items are left without one."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import polars as pl

from macrec.data.reading.decoding import defect
from macrec.errors import DataError

LONGEST_NAME = 255
"""Bytes that a file name may have (on all common file systems)."""

NAMED = 3
"""Files of one kind that a note names."""


def first_whole(named: pl.DataFrame, folder: Path) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """The first file of each item that is there and decodes: `item_id`, `image`; and a note for what was passed over.

    `named`: `item_id` and `name`, a path below `folder`, in the order of preference. A file may also be called as the
    name reads with %2B and the like resolved. Items without a picture are not in the result. Raises DataError when
    there is no such folder, and for a file outside it.
    """
    if not folder.is_dir():
        raise DataError("there is no such folder of images", file=folder, fix="check the path, or leave pictures out")
    named = named.filter(pl.col("name").is_not_null() & (pl.col("name") != ""))
    names = named["name"].unique(maintain_order=True)
    files = [file_of(folder, name) for name in names]
    for name, file in zip(names, files, strict=True):
        if file is not None and not (folder / file).resolve().is_relative_to(folder.resolve()):
            item = named.filter(pl.col("name") == name)["item_id"][0]
            what, fix = f'the image path "{file}" leaves the image folder', "use a path inside that folder"
            raise DataError(what, file=folder, row=f"item {item}", field="image", fix=fix)
    defects = {file: defect(folder / file) for file in dict.fromkeys(files) if file is not None}
    whole = pl.DataFrame(
        {"name": names, "image": [None if file is None or defects[file] else file for file in files]},
        schema={"name": pl.String, "image": pl.String},
    )
    pictures = named.join(whole, on="name", maintain_order="left").drop_nulls("image")
    pictures = pictures.unique("item_id", keep="first", maintain_order=True).select("item_id", "image")
    broken = [f"{file} ({why})" for file, why in defects.items() if why]
    notes = [f"{len(broken):,} of {len(defects):,} picture files do not decode: {some(broken)}"] if broken else []
    missing = pl.Series([name for name, file in zip(names, files, strict=True) if file is None], dtype=pl.String)
    bare = named.join(pictures, on="item_id", how="anti", maintain_order="left")
    absent = bare["name"].unique(maintain_order=True)
    absent = absent.filter(absent.is_in(missing.implode()))
    if len(absent):
        notes.append(f"{len(absent):,} picture files are not in {folder.name}/: {some(absent.to_list())}")
    if count := bare["item_id"].n_unique():
        notes.append(f"{count:,} of {named['item_id'].n_unique():,} items that name a picture have no file that is one")
    return pictures, tuple(notes)


def file_of(folder: Path, name: str) -> str | None:
    """The name, as it is or with %2B and the like resolved, under which a file lies in `folder`; None without one."""
    for known in dict.fromkeys((name, unquote(name))):
        names_a_folder_more = known.count("/") > name.count("/")
        too_long = max(len(part.encode(errors="replace")) for part in known.split("/")) > LONGEST_NAME
        if not names_a_folder_more and not too_long and "\0" not in known and (folder / known).is_file():
            return known
    return None


def some(names: list[str]) -> str:
    """The first few of many names."""
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def with_pictures(items: pl.DataFrame, folder: Path | str | None) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Replace `pictures` (addresses) by `image`: the first of an item's files that is whole in `folder`; and notes.

    Items without one are dropped, which a note says. With no folder all items stay, without images.
    """
    if folder is None:
        return items.drop("pictures").with_columns(image=pl.lit(None, pl.String)), ()
    named = items.select("item_id", name="pictures").explode("name")
    named = named.with_columns(pl.col("name").str.split("/").list.last())
    pictures, notes = first_whole(named, Path(folder))
    kept = items.drop("pictures").join(pictures, on="item_id", maintain_order="left")
    if dropped := len(items) - len(kept):
        notes = (*notes, f"{dropped:,} of {len(items):,} items are left out, as they have no picture")
    return kept, notes
