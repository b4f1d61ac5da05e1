"""A second reader of every format, as plain as Python allows: `json`, `csv` and loops. What it reads is what is meant.

It shares nothing with the loaders but the cleaning of texts, which has tests of its own. It refuses what is ambiguous.
"""

from __future__ import annotations

import io
import json
import math
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from macrec.data.text import clean_text
from tests.endure.plain import (
    LATEST,
    Files,
    Pairs,
    Reading,
    Refused,
    Unsure,
    distinct,
    grouped,
    json_id,
    json_texts,
    json_title,
    json_whole,
    need,
    no_surrogates,
    number,
    once,
    parsed,
    records,
    rows_of,
    seconds,
    table,
    text_of,
    whole,
)


def recbole(files: Files) -> Reading:
    """`D.inter` with times and `D.item`."""
    events = [
        {name.split(":")[0]: value for name, value in row.items()} for row in table(files["D.inter"], "\t", False)
    ]
    need(all(row["#"] == "True" for row in events), "columns")
    listed = None
    titles: list[str] = []
    if "D.item" in files:
        rows = [
            {name.split(":")[0]: value for name, value in row.items()} for row in table(files["D.item"], "\t", False)
        ]
        need("item_id" in rows[0] and rows[0]["#"] == "True", "columns")
        listed = distinct([row["item_id"] for row in rows])
        titles = [clean_text(row.get("title", "")) for row in rows]
    need({"user_id", "item_id"} <= set(events[0]), "columns")
    timed = "timestamp" in events[0]
    found = [(row["user_id"], row["item_id"], number(row["timestamp"]) if timed else None) for row in events]
    histories = grouped(found, listed)
    met = list(dict.fromkeys(row["item_id"] for row in events))
    whole_times = {
        user: [(item, None if time is None else seconds(math.floor(time))) for item, time in history]
        for user, history in histories.items()
    }
    return Reading(listed or met, whole_times, titles if listed else [""] * len(met))


def recbole_sequences(files: Files) -> Reading:
    """`D.inter` with lists: the longest row of each user, of which the others are beginnings."""
    rows = [{name.split(":")[0]: value for name, value in row.items()} for row in table(files["D.inter"], "\t", False)]
    if "item_id_list" not in rows[0]:
        return recbole(files)._replace(items=[], titles=[])
    need("user_id" in rows[0] and rows[0]["#"] == "True", "columns")
    lists: dict[str, list[str]] = {}
    for row in rows:
        need(row["user_id"] and row["item_id_list"], "empty")
        found = row["item_id_list"].strip(" ").split(" ") + ([row["item_id"]] if "item_id" in row else [])
        need(all(found), "empty id")
        before = lists.setdefault(row["user_id"], found)
        need(all(a == b for a, b in zip(before, found, strict=False)), "no beginning")
        lists[row["user_id"]] = max(before, found, key=len)
    histories = {user: [(item, None) for item in found] for user, found in lists.items()}
    return Reading([], dict(histories), [])


def lcrec(files: Files) -> Reading:
    """`D.inter.json`, `D.item.json`, `D.item2id`, `D.user2id`."""
    sequences = parsed(text_of(files["D.inter.json"]))
    need(isinstance(sequences, dict) and sequences, "object")
    texts = parsed(text_of(files["D.item.json"])) if "D.item.json" in files else {}
    need(isinstance(texts, dict), "object")
    for found in sequences.values():
        need(isinstance(found, list) and found and all(type(item) is int and item >= 0 for item in found), "history")
    need(all(map(no_surrogates, sequences)), "surrogate")
    if "D.item2id" in files:
        ids = numbered(files["D.item2id"])
    elif texts:
        ids = [str(row) for row in range(len(texts))]
    else:
        ids = [str(row) for row in sorted({item for found in sequences.values() for item in found})]
        need(ids == [str(row) for row in range(len(ids))], "gaps")
    need(all(key in {str(row) for row in range(len(ids))} for key in texts), "items")
    need(max(item for found in sequences.values() for item in found) < len(ids), "unknown item")
    if "D.user2id" in files:
        names = numbered(files["D.user2id"])
        numbers = [whole(key) for key in sequences]
        need(len(set(numbers)) == len(numbers) and all(0 <= n < len(names) for n in numbers), "users")
        sequences = {names[n]: found for n, found in zip(numbers, sequences.values(), strict=True)}
    rows = [texts.get(str(row)) for row in range(len(ids))]
    need(all(row is None or isinstance(row, dict) for row in rows), "item")
    titles = [json_title((row or {}).get("title")) for row in rows]
    return Reading(ids, {user: [(ids[item], None) for item in found] for user, found in sequences.items()}, titles)


def numbered(data: bytes) -> list[str]:
    """The ids of a table (id, number) whose numbers are 0 to N-1."""
    found = {whole(row["number"]): row["id"] for row in table(data, "\t", False, ["id", "number"])}
    need(sorted(found) == list(range(len(rows_of(text_of(data), "\t", False)))), "numbers")
    return distinct([found[row] for row in range(len(found))])


def amazon_2018(files: Files) -> Reading:
    """`C.csv`, `C_5.json`, `meta_C.json`, everything in the 1-core."""
    reviewed = {json_id(record.get("asin")) for record in records(files["C_5.json"])}
    rated = table(files["C.csv"], ",", True, ["item", "user", "rating", "time"])
    events = [(row["user"], row["item"], seconds(whole(row["time"]))) for row in rated]
    need(all(user and item for user, item, _ in events), "empty")
    return amazon(events, records(files["meta_C.json"]), "asin", reviewed)


def amazon_2023(files: Files) -> Reading:
    """`C.jsonl`, `meta_C.jsonl`, everything in the 1-core."""
    found = records(files["C.jsonl"])
    events = []
    for record in found:
        time = json_whole(record.get("timestamp"))
        need(abs(time) >= LATEST, "unit")
        events.append((json_id(record.get("user_id")), json_id(record.get("parent_asin")), time))
    found = amazon(events, records(files["meta_C.jsonl"]), "parent_asin", None)
    histories = {user: [(item, seconds(time // 1000)) for item, time in h] for user, h in found.histories.items()}
    return found._replace(histories=histories)


def amazon(events: list[tuple[str, str, int]], meta: list[Pairs], key: str, reviewed: set[str] | None) -> Reading:
    """The earliest event of every (user, item), by user, time and item; items by first appearance."""
    titles: dict[str, set[str]] = {}
    for record in meta:
        item = json_id(record.get(key))
        titles.setdefault(item, set()).add(json_title(record.get("title")))
        for name in ("category", "categories", "description", "features", "brand", "store"):
            json_texts(record.get(name))
    earliest: dict[tuple[str, str], int] = {}
    for user, item, time in events:
        if item in titles and (reviewed is None or item in reviewed):
            earliest[user, item] = min(time, earliest.get((user, item), time))
    need(earliest, "nothing left")
    histories: dict[str, list[tuple[str, int | None]]] = {}
    for (user, item), time in sorted(earliest.items(), key=lambda event: (event[0][0], event[1], event[0][1])):
        histories.setdefault(user, []).append((item, time))
    items = list(dict.fromkeys(item for history in histories.values() for item, _ in history))
    return Reading(items, histories, [max(titles[item]) for item in items])


def movielens(files: Files) -> Reading:
    """The three layouts."""
    rating = ["userId", "movieId", "rating", "timestamp"]
    if "u.data" in files:
        events = table(files["u.data"], "\t", False, rating)
        columns = ["movieId", "title", "released", "video", "imdb", *(f"g{n}" for n in range(19))]
        movies = table(files["u.item"], "|", False, columns, latin=True)
        need(all(whole(row[f"g{n}"]) is not None for row in movies for n in range(19)), "genres")
    elif "ratings.dat" in files:
        events = table(files["ratings.dat"], "::", False, rating)
        movies = table(files["movies.dat"], "::", False, ["movieId", "title", "genres"], latin=True)
    else:
        events = table(files["ratings.csv"], ",", False)
        movies = table(files["movies.csv"], ",", True)
        need({"userId", "movieId", "timestamp"} <= set(events[0]) and events[0]["#"] == "True", "columns")
        need({"movieId", "title"} <= set(movies[0]) and movies[0]["#"] == "True", "columns")
    items = distinct([row["movieId"] for row in movies])
    found = [(row["userId"], row["movieId"], seconds(whole(row["timestamp"]))) for row in events]
    return Reading(items, grouped(found, items), [clean_text(row["title"]) for row in movies])


IDS = ("item_id", "parent_asin", "asin", "itemid", "item", "iid", "id")
TITLES = ("title", "name", "item_name")


def called(columns: Iterable[str], names: tuple[str, ...]) -> list[str]:
    """The columns of these names, the first name first, whatever their case; of two that differ in case the first."""
    return [column for name in names for column in columns if column.lower() == name]


def item_table(files: Files) -> Reading:
    """A table of items of any kind."""
    (name, data), *_ = files.items()
    if name.endswith((".csv", ".tsv")):
        rows = table(data, "," if name.endswith("csv") else "\t", True)
        need(rows[0]["#"] == "True", "columns")
        keys, names = called(rows[0], IDS), called(rows[0], TITLES)
        need(keys, "ids")
        ids = [row[keys[0]] for row in rows]
        titles = [clean_text(row[names[0]]) if names else "" for row in rows]
    else:
        found = (
            [parsed(line) for line in text_of(data).split("\n") if line.strip()]
            if name.endswith("l")
            else parsed(text_of(data))
        )
        if isinstance(found, dict):
            need(all(isinstance(row, dict) for row in found.values()), "object")
            found = [{"item_id": key, **row} for key, row in found.items()]
        need(isinstance(found, list) and found and all(isinstance(row, dict) for row in found), "objects")
        columns = dict.fromkeys(key for row in found for key in row)
        keys, names = called(columns, IDS), called(columns, TITLES)
        need(keys, "ids")
        ids = [json_id(row.get(keys[0])) for row in found]
        titles = [json_title(row.get(names[0])) if names else "" for row in found]
    return Reading(distinct(ids), {}, titles)


def parquet(files: Files) -> Reading:
    """`interactions.parquet` and `items.parquet`, with ids and without indices."""
    events, items = frame(files.get("interactions.parquet")), frame(files.get("items.parquet"))
    columns = set(events.columns)
    if items is None or not {"item_idx", "user_idx", "split"}.isdisjoint({*columns, *items.columns}):
        raise Unsure
    about = about_of(files["dataset.json"]) if "dataset.json" in files else {}
    need(isinstance(about, dict) and all(isinstance(about.get(key, ""), str) for key in ("name", "source")), "about")
    need({"user_id", "item_id"} <= columns and "item_id" in items.columns, "columns")
    rows = events.to_dicts()
    order = [parquet_whole(events, name) for name in ("timestamp", "pos") if name in columns]
    times, places = (parquet_whole(events, name) if name in columns else None for name in ("timestamp", "pos"))
    need(all(found is None or None not in found for found in (*order, times, places)), "partly filled")
    need(times is None or all(-LATEST < time < LATEST for time in times), "unit")
    key = places or times or [0] * len(rows)
    ids = distinct([parquet_id(value) for value in items["item_id"]])
    titles = [
        clean_text(" ".join(json_texts(value)))
        for value in (items["title"].to_list() if "title" in items.columns else [""] * len(ids))
    ]
    found = [(parquet_id(row["user_id"]), parquet_id(row["item_id"]), (key[n], n)) for n, row in enumerate(rows)]
    return Reading(
        ids,
        {
            user: [(item, None if times is None else times[place[1]]) for item, place in history]
            for user, history in grouped(found, ids).items()
        },
        titles,
    )


def about_of(data: bytes) -> Any:
    """A JSON file in any of the encodings that the standard has."""
    try:
        return json.loads(data, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise Refused("json") from error


def frame(data: bytes | None) -> Any:
    """A parquet file as polars reads it: there is no second reader of the format here, only of what it means."""
    if data is None:
        return None
    try:
        return pl.read_parquet(data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise Refused("parquet") from error


def parquet_id(value: Any) -> str:
    need(type(value) in (str, int) and value != "" and "\0" not in str(value), "id")
    return str(value)


def parquet_whole(events: Any, name: str) -> list[int] | None:
    """A column of whole numbers, None where it says nothing."""
    values = events[name].to_list()
    if all(value is None or value != value for value in values):
        return None
    need(all(value is None or type(value) is int for value in values), name)
    need(all(value is None or abs(value) < 1 << 63 for value in values), name)
    return values


def npy(files: Files) -> Any:
    """The array, read as a whole."""
    try:
        with warnings.catch_warnings(action="ignore"):
            values = np.load(io.BytesIO(files["v.npy"]), allow_pickle=False)
    except Exception as error:
        raise Refused("npy") from error
    need(values.shape[:1] == (8,) and values.ndim == 2 and values.dtype in (np.float16, np.float32), "shape")
    need(np.isfinite(values).all(), "finite")
    return values
