"""How fast the loaders read, and how much memory they take, against what a user would write instead.

Every side runs in a process of its own on the same generated files and returns (users, items, events); the two sides
must agree. Theirs ends at the grouped events; ours goes on to a checked Dataset. Run it with
`python -m benchmarks.loaders [rows]`.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.measure import peak
from macrec.data.dataset import Dataset
from macrec.data.formats.amazon2018 import load_amazon_2018
from macrec.data.formats.amazon2023 import load_amazon_2023
from macrec.data.formats.lcrec import load_lcrec
from macrec.data.formats.movielens import load_movielens
from macrec.data.formats.parquet import load_parquet
from macrec.data.formats.recbole import load_recbole

Counts = tuple[int, int, int]

TEXT = "It does what it says, arrived in two days and the box was not even dented; would buy one for a friend. "

# name, what theirs is, and the file whose plain reading bounds the loader
SIDES = {
    "amazon_2018": ("gzip, csv, json loops with sets and dicts", "C.csv.gz"),
    "amazon_2023": ("gzip, json loop with dicts", "C.jsonl.gz"),
    "lcrec": ("json.load and a loop over users", "C.inter.json"),
    "recbole": ("polars.read_csv of the whole file, sort, group_by", "C.inter"),
    "movielens": ("a loop over lines with split('::')", "ratings.dat"),
    "parquet": ("polars.read_parquet, sort, group_by", "interactions.parquet"),
}


def records(rows: int = 1_000_000) -> list[dict[str, Any]]:
    """One record per loader; `ours`, `theirs` and the limit are events per second, memory is of the whole process."""
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for name, (alternative, file) in SIDES.items():
            folder = Path(temporary) / name
            folder.mkdir()
            peak("benchmarks.loaders:generate", layout=name, folder=str(folder), rows=rows)
            ours = peak("benchmarks.loaders:ours", layout=name, folder=str(folder))
            theirs = peak(f"benchmarks.loaders:theirs_{name}", folder=str(folder))
            if ours.result != theirs.result:
                raise RuntimeError(f"{name}: ours found {ours.result}, theirs {theirs.result}")
            bound = peak("benchmarks.loaders:plain_reading", file=str(folder / file))
            doing = "gzip inflate" if file.endswith(".gz") else "reading the bytes"
            found.append(
                {
                    "name": f"load_{name}",
                    "ours": round(rows / ours.seconds),
                    "theirs": round(rows / theirs.seconds),
                    "ratio": round(theirs.seconds / ours.seconds, 2),
                    "limit": f"{doing} of {file} alone: {rows / bound.seconds:,.0f} rows/s",
                    "unit": "rows/s",
                    "peak_memory_mb": round(ours.peak_mb),
                    "note": f"{rows:,} rows; theirs: {alternative}, {theirs.peak_mb:.0f} MB",
                }
            )
    return found


def ours(layout: str, folder: str) -> Counts:
    """The loader."""
    path = Path(folder)
    dataset: Dataset
    if layout == "amazon_2018":
        dataset = load_amazon_2018(path / "C.csv.gz", path / "C_5.json.gz", path / "meta_C.json.gz")
    elif layout == "amazon_2023":
        dataset = load_amazon_2023(path / "C.jsonl.gz", path / "meta_C.jsonl.gz")
    else:
        loaders: dict[str, Callable[[Path], Dataset]] = {
            "lcrec": load_lcrec,
            "recbole": load_recbole,
            "movielens": load_movielens,
            "parquet": load_parquet,
        }
        dataset = loaders[layout](path)
    return dataset.num_users, dataset.num_items, dataset.num_events


def plain_reading(file: str) -> int:
    """Read a file to its end, unpacked, and do nothing with it: no loader can be faster on one core."""
    size = 0
    with gzip.open(file, "rb") if file.endswith(".gz") else Path(file).open("rb") as stream:
        while block := stream.read(1 << 25):
            size += len(block)
    return size


def generate(layout: str, folder: str, rows: int) -> None:
    """Write `rows` events of rows / 20 users and rows / 40 items, popular ones more often, in the order of time."""
    path, random = Path(folder), np.random.default_rng(0)
    users, items = max(rows // 20, 10), max(rows // 40, 10)
    user, item = random.integers(0, users, rows), (items * random.random(rows) ** 2).astype(np.int64)
    events = pl.DataFrame(
        {"u": pl.Series(user), "i": pl.Series(item), "t": np.sort(random.integers(10**9, 15 * 10**8, rows))}
    )
    events = events.unique(["u", "i"], keep="first", maintain_order=True) if layout.startswith("amazon") else events
    asin = pl.format("B{}", pl.col("i").cast(pl.String).str.zfill(9))
    person = pl.format("A{}", pl.col("u").cast(pl.String).str.zfill(13))
    catalog = pl.DataFrame({"i": np.arange(items)}).select(asin.alias("asin"), title=pl.lit(TEXT[:60]))
    if layout == "amazon_2018":
        rated = events.select(asin.alias("i"), person.alias("u"), pl.lit(5.0).alias("r"), "t")
        pack(path / "C.csv.gz", [rated.write_csv(include_header=False).encode()])
        reviewed = events.head(rows // 4).select(asin=asin, reviewerID=person, reviewText=pl.lit(TEXT * 3))
        pack(path / "C_5.json.gz", (reviewed[i : i + 10**5].write_ndjson().encode() for i in range(0, rows, 10**5)))
        pack(path / "meta_C.json.gz", [catalog.write_ndjson().encode()])
    elif layout == "amazon_2023":
        reviews = events.select(
            rating=pl.lit(5.0), text=pl.lit(TEXT * 3), parent_asin=asin, user_id=person, timestamp=pl.col("t") * 1000
        )
        pack(path / "C.jsonl.gz", (reviews[i : i + 10**5].write_ndjson().encode() for i in range(0, rows, 10**5)))
        pack(path / "meta_C.jsonl.gz", [catalog.rename({"asin": "parent_asin"}).write_ndjson().encode()])
    elif layout == "lcrec":
        grouped = events.group_by("u", maintain_order=True).agg("i").rows()
        (path / "C.inter.json").write_text(
            json.dumps({str(number): sequence for number, (_, sequence) in enumerate(grouped)})
        )
    elif layout == "recbole":
        events.rename({"u": "user_id:token", "i": "item_id:token", "t": "timestamp:float"}).write_csv(
            path / "C.inter", separator="\t"
        )
    elif layout == "movielens":
        lines = events.select(pl.format("{}::{}::5::{}", "u", "i", "t"))
        (path / "ratings.dat").write_text("\n".join(lines.to_series()) + "\n")
        movies = "".join(f"{number}::Film {number}, The (1999)::Drama|War\n" for number in range(items))
        (path / "movies.dat").write_text(movies)
    else:
        placed = events.with_columns(pos=pl.int_range(pl.len()).over("u"))
        placed.select(user_id=person, item_id=asin, timestamp="t", pos="pos").write_parquet(
            path / "interactions.parquet"
        )


def pack(file: Path, blocks: Iterable[bytes]) -> None:
    """Write a gzip file."""
    with gzip.open(file, "wb", compresslevel=4) as stream:
        for block in blocks:
            stream.write(block)


def theirs_amazon_2018(folder: str) -> Counts:
    """The steps with the standard library, as published scripts take them."""
    path = Path(folder)
    with gzip.open(path / "meta_C.json.gz", "rt", encoding="utf-8") as stream:
        meta = {record["asin"]: record["title"] for record in map(json.loads, stream)}
    with gzip.open(path / "C_5.json.gz", "rt", encoding="utf-8") as stream:
        candidates = {json.loads(line)["asin"] for line in stream} & meta.keys()
    with gzip.open(path / "C.csv.gz", "rt", encoding="utf-8") as stream:
        events = {
            (user, item, float(rating), int(time))
            for item, user, rating, time in csv.reader(stream)
            if item in candidates
        }
    return five_core((user, item, time) for user, item, _, time in events)


def theirs_amazon_2023(folder: str) -> Counts:
    """The same for the 2023 files."""
    path = Path(folder)
    with gzip.open(path / "meta_C.jsonl.gz", "rt", encoding="utf-8") as stream:
        meta = {record["parent_asin"]: record["title"] for record in map(json.loads, stream)}
    with gzip.open(path / "C.jsonl.gz", "rt", encoding="utf-8") as stream:
        parsed = map(json.loads, stream)
        events = [
            (row["user_id"], row["parent_asin"], row["timestamp"]) for row in parsed if row["parent_asin"] in meta
        ]
    return five_core(events)


def five_core(events: Iterable[tuple[str, str, int]]) -> Counts:
    """First of repeated events, 5-core, order: with dicts."""
    earliest: dict[tuple[str, str], int] = {}
    for user, item, time in events:
        if time < earliest.get((user, item), 1 << 62):
            earliest[user, item] = time
    while True:
        users, items = Counter(user for user, _ in earliest), Counter(item for _, item in earliest)
        left = {pair: time for pair, time in earliest.items() if users[pair[0]] >= 5 and items[pair[1]] >= 5}
        if len(left) == len(earliest):
            break
        earliest = left
    histories: dict[str, list[str]] = defaultdict(list)
    for (user, item), _ in sorted(earliest.items(), key=lambda event: (event[0][0], event[1], event[0][1])):
        histories[user].append(item)
    return len(histories), len({item for _, item in earliest}), len(earliest)


def theirs_lcrec(folder: str) -> Counts:
    """The whole object at once."""
    with (Path(folder) / "C.inter.json").open(encoding="utf-8") as stream:
        histories = {int(user): np.array(items, np.int32) for user, items in json.load(stream).items()}
    return len(histories), 1 + max(int(items.max()) for items in histories.values()), sum(map(len, histories.values()))


def theirs_recbole(folder: str) -> Counts:
    """The whole file at once."""
    events = pl.read_csv(Path(folder) / "C.inter", separator="\t")
    grouped = events.sort("timestamp:float").group_by("user_id:token").agg("item_id:token")
    return len(grouped), events["item_id:token"].n_unique(), len(events)


def theirs_movielens(folder: str) -> Counts:
    """Line by line, as polars takes no separator of two characters."""
    with (Path(folder) / "movies.dat").open(encoding="latin-1") as stream:
        movies = {line.split("::")[0]: number for number, line in enumerate(stream)}
    histories: dict[str, list[tuple[int, int]]] = defaultdict(list)
    with (Path(folder) / "ratings.dat").open(encoding="latin-1") as stream:
        for line in stream:
            user, item, _, time = line.split("::")
            histories[user].append((int(time), movies[item]))
    for history in histories.values():
        history.sort(key=lambda event: event[0])
    return len(histories), len(movies), sum(map(len, histories.values()))


def theirs_parquet(folder: str) -> Counts:
    """The whole file at once."""
    events = pl.read_parquet(Path(folder) / "interactions.parquet")
    grouped = events.sort("user_id", "pos").group_by("user_id", maintain_order=True).agg("item_id", "timestamp")
    return len(grouped), events["item_id"].n_unique(), len(events)


if __name__ == "__main__":
    for record in records(*(int(argument) for argument in sys.argv[1:])):
        print(json.dumps(record, indent=2))
