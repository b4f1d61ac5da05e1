"""Files as accidents and enemies leave them: a small dataset goes in, one that is damaged somewhere comes out."""

from __future__ import annotations

import gzip
import io
import json
import random
import struct
from typing import Any

import polars as pl

Files = dict[str, bytes]

TOKENS = [
    "", " ", "0", "-1", "1.0", "1e3", "1e999", "nan", "NaN", "inf", "null", "None", "true", "false", "[]", "{}",
    "a" * 300,
    "9223372036854775807", "9223372036854775808", "1400000000000", "-5", "007", "+5", " 5", "5 ", "1_0", "٣", "0x10",
    '"', '""', "'", ",", ";", "\t", "::", "|", "\\", "\r", "\n", "\r\n", "\x00", "\x0b", "\x1c", "\x1f", "\x85", "\xa0",
    "\u2028", "\ufeff", "\ufffd", "é", "中文", "\U0001f600", "\\u0000", "\\ud83d", "\\ud83d\\ude00", "\\u0061",
    "<b>", "&amp;", "&amp;amp;", "['a', 'b']", '["a"]', "[['a']]", "</span>", "i1", "u1", "0,1",
    '"a":1,', '"title":"x",', "]", "[", "}", "{", ":",
]  # fmt: skip
"""What tends to be read in one way by one program and in another by the next."""

VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 5.0, 1.5, 1e300, float("nan"), float("inf"), 1 << 40, 1 << 63, 1 << 70, 1_400_000_000,
    1_400_000_000_000, "", " ", "0", "i1", "u1", "x\x00", "x\x07y", "\ud83d", "&lt;b&gt;", "['a', 'b']", "a,b", "a|b",
    [], {}, [None], ["a"], [["a", "b"]], [{"name": "a"}], [{"a": "x", "b": "y"}], {"name": "a"}, [1, "a"], [True],
    "é" * 50,
]  # fmt: skip


def mutated(files: Files, chance: random.Random) -> Files:
    """One to three mutations of one to three of the files, the same for the same state of `chance`."""
    files = dict(files)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        name = chance.choice(sorted(files))
        data = files[name]
        if chance.random() < 0.02:
            del files[name]
            if not files:
                return {name: b""}
        elif name.endswith(".parquet"):
            files[name] = changed_table(data, chance) if chance.random() < 0.7 else changed_bytes(data, chance)
        elif name.endswith(".npy"):
            files[name] = changed_header(data, chance) if chance.random() < 0.4 else changed_bytes(data, chance)
        elif name.endswith((".json", ".jsonl")) and chance.random() < 0.6:
            files[name] = changed_json(data, chance)
        else:
            files[name] = changed_text(data, chance)
        if name in files and not name.endswith((".parquet", ".npy")) and chance.random() < 0.05:
            files[name] = changed_bytes(gzip.compress(files[name]), chance, least=0)
    return files


def changed_bytes(data: bytes, chance: random.Random, least: int = 1) -> bytes:
    """Flipped, lost, doubled and foreign bytes."""
    found = bytearray(data)
    for _ in range(chance.randint(least, 4)):
        place = chance.randrange(len(found) + 1)
        kind = chance.randrange(6)
        if kind <= 2 and place < len(found):
            found[place] ^= 1 << chance.randrange(8)
        elif kind == 3:
            del found[place : place + chance.choice([1, 2, 8, 64])]
        elif kind == 4:
            found[place:place] = bytes(chance.randrange(256) for _ in range(chance.choice([1, 4])))
        else:
            found = found[:place] if chance.random() < 0.3 else found + found[place : place + 64]
    return bytes(found)


def changed_text(data: bytes, chance: random.Random) -> bytes:
    """Lines and fields that are lost, doubled, exchanged, replaced; other line ends and encodings; or bytes."""
    lines = data.split(b"\n")
    row = chance.randrange(len(lines))
    mark = chance.choice([b"\t", b",", b"::", b"|", b" "])
    fields = lines[row].split(mark)
    field = chance.randrange(len(fields))
    kind = chance.randrange(12)
    if kind == 0:
        lines.insert(chance.randrange(len(lines)), lines[row])
    elif kind == 1:
        del lines[row]
    elif kind == 2:
        other = chance.randrange(len(lines))
        lines[row], lines[other] = lines[other], lines[row]
    elif kind == 3:
        del fields[field]
        lines[row] = mark.join(fields)
    elif kind == 4:
        fields.insert(field, fields[chance.randrange(len(fields))])
        lines[row] = mark.join(fields)
    elif kind == 5:
        fields[field] = chance.choice(TOKENS).encode()
        lines[row] = mark.join(fields)
    elif kind == 6:
        place = chance.randrange(len(lines[row]) + 1)
        lines[row] = lines[row][:place] + chance.choice(TOKENS).encode() + lines[row][place:]
    elif kind == 7:
        chance.shuffle(fields)
        lines[row] = mark.join(fields)
    elif kind == 8:
        return data.replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n", b"\n\r", b" \n"]))
    elif kind == 9:
        try:
            return data.decode().encode(chance.choice(["latin-1", "utf-16", "utf-8-sig", "cp1252"]), "replace")
        except UnicodeDecodeError:
            return data
    elif kind == 10:
        return data.replace(chance.choice([b"\t", b",", b"::", b'"', b"|"]), chance.choice(TOKENS).encode())
    else:
        return changed_bytes(data, chance)
    return b"\n".join(lines)


def changed_json(data: bytes, chance: random.Random) -> bytes:
    """A document, or one of some lines, with a value or a key replaced, doubled or lost."""
    lines = data.split(b"\n")
    row = chance.randrange(len(lines))
    try:
        value = json.loads(lines[row])
    except ValueError:
        return changed_text(data, chance)
    text = json.dumps(changed_value(value, chance), ensure_ascii=chance.random() < 0.5)
    lines[row] = text.encode("utf-8", "replace")
    if chance.random() < 0.15 and b": " in lines[row]:  # a key that occurs twice
        start = lines[row].index(b"{") + 1 if b"{" in lines[row] else 0
        key = lines[row][start:].split(b":")[0]
        lines[row] = (
            lines[row][:start] + key + b": " + json.dumps(chance.choice(VALUES)).encode() + b"," + lines[row][start:]
        )
    return b"\n".join(lines)


def changed_value(value: Any, chance: random.Random) -> Any:
    """A JSON value with one place in it changed."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        kind = chance.randrange(8)
        if kind == 0:
            return {other: part for other, part in value.items() if other != key}
        if kind == 1:
            renamed = chance.choice(["0", "1", "9", "01", "x", "", "title", "é"])
            return {renamed if other == key else other: part for other, part in value.items()}
        return {**value, key: changed_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        return [changed_value(part, chance) if row == place else part for row, part in enumerate(value)]
    return chance.choice(VALUES)


def changed_table(data: bytes, chance: random.Random) -> bytes:
    """A parquet file with other values, types, rows or columns."""
    try:
        table = pl.read_parquet(data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return changed_bytes(data, chance)
    if not table.width or not len(table):
        return data
    name = chance.choice(table.columns)
    row = chance.randrange(len(table))
    column = table[name]
    kind = chance.randrange(9)
    types = [
        pl.String,
        pl.Int8,
        pl.Int64,
        pl.UInt64,
        pl.Float64,
        pl.Boolean,
        pl.Null,
        pl.Int128,
        pl.Categorical,
        pl.Binary,
    ]
    types += [pl.Datetime("ms"), pl.Date, pl.List(pl.String), pl.List(pl.List(pl.String)), pl.Enum(["u0", "i0", "a"])]
    try:
        if kind == 0:
            table = table.drop(name)
        elif kind == 1:
            table = pl.concat([table, table[row : row + 1]])
        elif kind == 2:
            table = table.filter(pl.int_range(pl.len()) != row)
        elif kind == 3:
            table = table.with_columns(column.cast(chance.choice(types), strict=False))
        elif kind == 4:
            table = table.sample(fraction=1, shuffle=True, seed=chance.randrange(1 << 30))
        elif kind == 5:
            table = table.rename(
                {name: chance.choice(["x", "item_id", "user_id", "title", "timestamp", "pos", "item_idx"])}
            )
        elif kind == 6:
            table = table.with_columns(
                pl.lit(None).alias(chance.choice([name, "timestamp", "pos", "behavior", "split"]))
            )
        elif kind == 7:
            table = table.with_columns(pl.Series(name, [chance.choice(VALUES)] * len(table)))
        else:
            values = column.to_list()
            values[row] = chance.choice(VALUES)
            table = table.with_columns(pl.Series(name, values, strict=False))
        buffer = io.BytesIO()
        table.write_parquet(buffer)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, TypeError, ValueError, OverflowError):
        return data  # a table that nobody can write
    return buffer.getvalue()


def changed_header(data: bytes, chance: random.Random) -> bytes:
    """A `.npy` file that says something else about itself."""
    start, length = 10, struct.unpack("<H", data[8:10])[0] if len(data) > 10 else 0
    text = data[start : start + length].decode("latin-1")
    for old, new in [
        ("<f4", chance.choice(["<f8", "<f2", ">f4", "|O", "<i4", "|b1", "<U3", "<c8", "f4, i4"])),
        ("False", chance.choice(["True", "None", "0", "[]"])),
        ("(8,", chance.choice(["(7,", "(9,", "(-8,", "(1 << 60,", "(80000000000,", "(8.0,", "(", "((", "'8',"])),
        (", 4)", chance.choice([", 0)", ", 8)", ",)", ", 2, 2)", ", 4L)", ", 40000000000)"])),
        ("shape", chance.choice(["shap", "shape': 1, 'shape"])),
    ]:
        if chance.random() < 0.4:
            text = text.replace(old, new, 1)
    text = text.rstrip(" \n").ljust(length - 1) + "\n"
    return (
        data[:8] + struct.pack("<H", min(len(text), 65535)) + text.encode("latin-1", "replace") + data[start + length :]
    )
