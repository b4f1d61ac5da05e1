"""Saving a dataset as the json files of LC-Rec."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

from macrec.data.dataset import Dataset
from macrec.data.formats.benchmark_files import write_benchmark
from macrec.data.formats.lcrec_items import TEXTS
from macrec.data.formats.parquet_save import encoded
from macrec.data.reading.ordering import check_histories
from macrec.errors import DataError
from macrec.files import LONGEST, check_replaceable, replacing, write_json


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
