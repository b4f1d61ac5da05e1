"""The small sound dataset that every mutation starts from, in every format."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import polars as pl

Files = dict[str, bytes]
DAY_0 = 1_400_000_000
EVENTS = [
    (f"u{u}", f"i{(u * 3 + n * n) % 8}", DAY_0 + (u * 7 + n * 5) % 11 * 86_400) for u in range(4) for n in range(6)
]
TITLES = {f"i{row}": f'Title {row} é, "part" &amp; <b>more</b>' for row in range(8)}


def lines(rows: list[Any]) -> bytes:
    """JSON lines."""
    return "".join(json.dumps(row, ensure_ascii=n % 2 == 0) + "\n" for n, row in enumerate(rows)).encode()


def joined(rows: list[Any], separator: str, header: str = "") -> bytes:
    """A table of text without quotes."""
    return (header + "".join(separator.join(map(str, row)) + "\n" for row in rows)).encode()


def recbole() -> Files:
    """`.inter` with times and `.item`."""
    rows = [(user, item, 3.5, f"{time}.0") for user, item, time in EVENTS]
    items = [(item, title, n, "A B") for n, (item, title) in enumerate(TITLES.items())]
    return {
        "D.inter": joined(rows, "\t", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"),
        "D.item": joined(items, "\t", "item_id:token\ttitle:token_seq\tprice:float\tcategories:token_seq\n"),
    }


def recbole_sequences() -> Files:
    """`.inter` with the beginnings of each user's history."""
    histories = {user: [item for u, item, _ in EVENTS if u == user] for user, _, _ in EVENTS}
    rows = [(user, " ".join(found[:n]), found[n]) for user, found in histories.items() for n in range(1, len(found))]
    return {"D.inter": joined(rows, "\t", "user_id:token\titem_id_list:token_seq\titem_id:token\n")}


def lcrec() -> Files:
    """All four files."""
    users = list(dict.fromkeys(user for user, _, _ in EVENTS))
    histories = {str(n): [int(item[1:]) for u, item, _ in EVENTS if u == user] for n, user in enumerate(users)}
    texts = {
        item[1:]: {"title": title, "description": "d", "brand": "b", "categories": "A, b,C"}
        for item, title in TITLES.items()
    }
    return {
        "D.inter.json": json.dumps(histories).encode(),
        "D.item.json": json.dumps(texts, indent=1).encode(),
        "D.item2id": joined([(item, item[1:]) for item in TITLES], "\t"),
        "D.user2id": joined([(user, n) for n, user in enumerate(users)], "\t"),
    }


def lcrec_bare() -> Files:
    """Histories and texts alone."""
    return {name: data for name, data in lcrec().items() if name.endswith(".json")}


def amazon_2018() -> Files:
    """Ratings, reviews, metadata."""
    meta = [
        {
            "asin": item,
            "title": title,
            "brand": "by\nX",
            "category": ["A", "B"],
            "description": ["d"] if n % 2 else "d",
            "price": "$1",
        }
        for n, (item, title) in enumerate(TITLES.items())
    ]
    return {
        "C.csv": joined([(item, user, 5.0, time) for user, item, time in EVENTS], ","),
        "C_5.json": lines([{"asin": item, "overall": 5.0, "reviewText": "x"} for item in TITLES]),
        "meta_C.json": lines(meta),
    }


def amazon_2023() -> Files:
    """Reviews and metadata."""
    reviews = [
        {"rating": 5.0, "user_id": u, "parent_asin": i, "timestamp": t * 1000, "text": "x"} for u, i, t in EVENTS
    ]
    meta = [
        {
            "parent_asin": item,
            "title": title,
            "store": "X",
            "categories": ["A"],
            "description": [],
            "features": ["f"],
            "images": [],
        }
        for item, title in TITLES.items()
    ]
    return {"C.jsonl": lines(reviews), "meta_C.jsonl": lines(meta)}


RATINGS = [(user[1:], item[1:], 4, time) for user, item, time in EVENTS]


def movielens_100k() -> Files:
    """`u.data`, `u.item`."""
    movies = [(item[1:], title, "01-Jan-1995", "", "http://x", *([0] * 17), 1, 0) for item, title in TITLES.items()]
    return {"u.data": joined(RATINGS, "\t"), "u.item": joined(movies, "|").decode().encode("latin-1")}


def movielens_1m() -> Files:
    """`ratings.dat`, `movies.dat`."""
    movies = [(item[1:], title, "Drama|War") for item, title in TITLES.items()]
    return {"ratings.dat": joined(RATINGS, "::"), "movies.dat": joined(movies, "::")}


def movielens_csv() -> Files:
    """`ratings.csv`, `movies.csv`."""
    movies = [(item[1:], '"' + title.replace('"', '""') + '"', "Drama|War") for item, title in TITLES.items()]
    return {
        "ratings.csv": joined(RATINGS, ",", "userId,movieId,rating,timestamp\n"),
        "movies.csv": joined(movies, ",", "movieId,title,genres\n"),
    }


def packed(table: pl.DataFrame) -> bytes:
    """A parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def parquet() -> Files:
    """Items, interactions and what they are called."""
    events = pl.DataFrame(EVENTS, schema=["user_id", "item_id", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": list(TITLES), "title": list(TITLES.values()), "categories": [["A", "B"]] * 8})
    return {
        "interactions.parquet": packed(events.with_columns(behavior=pl.lit("buy"))),
        "items.parquet": packed(items),
        "dataset.json": b'{"name": "D", "source": "s"}',
    }


def items_csv() -> Files:
    """A table of items with quotes."""
    rows = [(item, '"' + title.replace('"', '""') + '"', "b", "A|B", 1.5) for item, title in TITLES.items()]
    return {"items.csv": joined(rows, ",", "item_id,title,brand,categories,price\n")}


def items_tsv() -> Files:
    """A table of items without quotes."""
    rows = [(item, f"Title {item}", "b", "A|B", 1.5) for item in TITLES]
    return {"items.tsv": joined(rows, "\t", "item_id\ttitle\tbrand\tcategories\tprice\n")}


def objects() -> list[Any]:
    """Items as JSON objects."""
    return [
        {"item_id": item, "title": title, "categories": ["A", ["B"]], "price": 1.5} for item, title in TITLES.items()
    ]


def items_json() -> Files:
    """A list of objects, one per line."""
    return {"items.json": b"[" + lines(objects()).strip().replace(b"\n", b",\n") + b"]"}


def items_jsonl() -> Files:
    """JSON lines."""
    return {"items.jsonl": lines(objects())}


def npy() -> Files:
    """Eight vectors."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(32, dtype=np.float32).reshape(8, 4) + 1)
    return {"v.npy": buffer.getvalue()}
