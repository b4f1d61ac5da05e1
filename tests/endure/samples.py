"""Small sound inputs of published samples and of other layouts, and a second, plain reader of each."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from tests.endure.plain import (
    Files,
    Reading,
    Refused,
    Unsure,
    distinct,
    grouped,
    need,
    parsed,
    seconds,
    table,
    text_of,
    whole,
)
from tests.endure.seeds import EVENTS, joined

PARTS = ("train", "valid", "test")
NUMBERED = {user: [int(item[1:]) for u, item, _ in EVENTS if u == user] for user, _, _ in EVENTS}
CAP = 3


def split(histories: dict[str, list[Any]]) -> dict[str, list[tuple[str, list[Any], Any]]]:
    """The samples of histories of six events: two targets in validation, one in test."""
    rows: dict[str, list[tuple[str, list[Any], Any]]] = {part: [] for part in PARTS}
    for user, found in histories.items():
        for n in range(1, len(found)):
            part = "train" if n < 3 else "valid" if n < 5 else "test"
            rows[part].append((user, found[max(0, n - CAP) : n], found[n]))
    return rows


# Seeds


def benchmark() -> Files:
    """RecBole's three files, of samples."""
    header = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
    rows = split({user: [f"i{item}" for item in found] for user, found in NUMBERED.items()})
    return {
        f"D.{part}.inter": joined([(user, " ".join(history), target) for user, history, target in found], "\t", header)
        for part, found in rows.items()
    }


def minionerec() -> Files:
    """MiniOneRec's three files, in one folder."""

    def quoted(value: Any) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    header = "user_id,history_item_title,item_title,history_item_id,item_id,history_item_sid,item_sid\n"
    files = {}
    for part, found in split(NUMBERED).items():
        rows = [
            (user, quoted([f"T{n}" for n in history]), f"T{target}", quoted(history), target, "[]", "<a_1><b_2>")
            for user, history, target in found
        ]
        files[f"{part}.csv"] = joined(rows, ",", header)
    return files


def s3rec() -> Files:
    """One line per user, and attributes."""
    rows = [(user[1:], *found) for user, found in NUMBERED.items()]
    attributes = {str(n): [n, n + 7] for n in range(6)}
    return {"D.txt": joined(rows, " "), "D_item2attributes.json": json.dumps(attributes).encode()}


def sasrec() -> Files:
    """One line per event."""
    return {"D.txt": joined([(user[1:], item) for user, found in NUMBERED.items() for item in found], " ")}


def taobao() -> Files:
    """User, item, category, behavior, time."""
    rows = [(user[1:], item[1:], 7, ("pv", "buy")[n % 2], time) for n, (user, item, time) in enumerate(EVENTS)]
    return {"UserBehavior.csv": joined(rows, ",")}


# Second readers


def read_benchmark(files: Files) -> Reading:
    """The samples of three files; a mutation may turn them into something else, of which nothing is said."""
    rows = []
    for part in PARTS:
        found = table(files[f"D.{part}.inter"], "\t", False)
        for number, row in enumerate(found):
            named = {name.split(":")[0]: value for name, value in row.items()}
            need(named["#"] == "True", "columns")
            if "item_id_list" not in named:
                raise Unsure
            history = named["item_id_list"].strip(" ").split(" ")
            need(named["user_id"] and named["item_id"] and all(history), "empty")
            rows.append((part, number, named["user_id"], history, named["item_id"]))
    histories, parts = put_together(rows)
    met = list(dict.fromkeys(item for found in histories.values() for item in found))
    timed = {user: [(item, None) for item in found] for user, found in histories.items()}
    return Reading(met, dict(timed), [""] * len(met), parts)


def read_minionerec(files: Files) -> Reading:
    """The samples of three CSV files and the titles that they give."""
    rows = []
    for part in PARTS:
        for number, row in enumerate(table(files[f"{part}.csv"], ",", True)):
            need(row["#"] == "True" and row["user_id"] and row["item_id"], "columns")
            try:
                history = ast.literal_eval(row["history_item_id"])
            except (ValueError, SyntaxError) as error:
                raise Refused("list") from error
            need(isinstance(history, list) and all(type(item) in (int, str) for item in history), "list")
            rows.append((part, number, row["user_id"], list(map(str, history)), row["item_id"]))
    histories, parts = put_together(rows)
    timed = {user: [(item, None) for item in found] for user, found in histories.items()}
    return Reading([], dict(timed), [], parts)


def put_together(rows: list[tuple[str, int, str, list[str], str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Histories and parts by user, from (part, row, user, history, target), by lists."""
    back = set()
    for part in PARTS:
        lengths = [(user, len(history)) for p, _, user, history, _ in rows if p == part]
        last: dict[str, int] = {}
        steps = []
        for user, length in lengths:
            steps.append(length - last.get(user, length))
            last[user] = length
        if sum(step < 0 for step in steps) > sum(step > 0 for step in steps):
            back.add(part)
    histories: dict[str, list[str]] = {}
    parts: dict[str, list[str]] = {}
    users = dict.fromkeys(row[2] for row in rows)
    for user in users:
        own = [row for row in rows if row[2] == user]
        own.sort(key=lambda row: (PARTS.index(row[0]), len(row[3]), -row[1] if row[0] in back else row[1]))
        before: list[str] = []
        found, bears = [], []
        for part, _, _, history, target in own:
            if before and len(history) >= len(before):
                need(history[: len(before)] == before, "continues")
                new = history[len(before) :]
            elif before:
                need(history == before[len(before) - len(history) :], "continues")
                new = []
            else:
                new = history
            found += [*new, target]
            bears += ["train" if part == "train" else "context"] * len(new) + [part]
            before = [*history, target]
        histories[user], parts[user] = found, bears
    return histories, parts


def read_text(files: Files) -> Reading:
    """A user and his items per line, or a user and one item."""
    lines = [line.strip() for line in text_of(files["D.txt"]).split("\n")]
    rows = [re.split(" +", line) for line in lines if line]
    need(rows and all(len(row) > 1 and all(re.fullmatch("[0-9]+", part) for part in row) for row in rows), "numbers")
    users = [row[0] for row in rows]
    need(len(set(users)) == len(users) or all(len(row) == 2 for row in rows), "users")
    histories = grouped([(row[0], item, None) for row in rows for item in row[1:]], None)
    if "D_item2attributes.json" in files:
        found = parsed(text_of(files["D_item2attributes.json"]))
        need(isinstance(found, dict), "object")
        need(all(isinstance(part, list) and {type(n) for n in part} <= {int} for part in found.values()), "lists")
    return Reading([], histories, [])


def read_taobao(files: Files) -> Reading:
    """The events by time; items as they are met, without titles."""
    rows = table(files["UserBehavior.csv"], ",", False, ["user", "item", "category", "behavior", "time"])
    need(all(row["category"] and row["behavior"] for row in rows), "empty")
    histories = grouped([(row["user"], row["item"], seconds(whole(row["time"]))) for row in rows], None)
    items = distinct(list(dict.fromkeys(row["item"] for row in rows)))
    return Reading(items, histories, [""] * len(items))
