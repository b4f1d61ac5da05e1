from __future__ import annotations

import gzip
import io
import json
from collections import defaultdict

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from macrec.data.formats.amazon2018 import load_amazon_2018
from macrec.data.formats.amazon2023 import load_amazon_2023
from macrec.errors import DataError

FAST = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
RATINGS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5), st.integers(0, 3)), min_size=30, max_size=60
)


DAY_0 = 1_400_000_000


def picture(format):
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9), "teal").save(buffer, format)
    return buffer.getvalue()


def lines(path, records):
    data = "".join(json.dumps(record) + "\n" for record in records).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def item(number):
    return f"B{number:02d}"


def write_2018(folder, ratings, meta=None, reviewed=range(6), urls=None):
    csv = "".join(f"{item(i)},U{u},{r}.0,{DAY_0 + t * 86400}\n" for u, i, r, t in ratings)
    (folder / "C.csv").write_text(csv)
    if meta is None:
        meta = [
            {
                "asin": item(i),
                "title": f"T&amp;{i}",
                "brand": "by\nAcme",
                "category": ["Arts, Crafts & Sewing", "Yarn", "</span>junk", "more"],
                "description": ["<p>one</p>", "two"] if i % 2 else "one [two]",
                "imageURLHighRes": (urls or {}).get(i, []),
            }
            for i in range(6)
        ]
    return (
        folder / "C.csv",
        lines(folder / "C_5.json.gz", [{"asin": item(i), "overall": 5.0} for i in reviewed]),
        lines(folder / "meta_C.json.gz", meta),
    )


def reference(ratings, known, k):
    """Steps S2 to S6 with sets, dicts and loops."""
    earliest = {}
    for u, i, _, t in ratings:
        if i in known:
            earliest[u, i] = min(t, earliest.get((u, i), t))
    while True:
        users, items = defaultdict(int), defaultdict(int)
        for u, i in earliest:
            users[u] += 1
            items[i] += 1
        left = {(u, i): t for (u, i), t in earliest.items() if users[u] >= k and items[i] >= k}
        if left == earliest:
            break
        earliest = left
    histories = defaultdict(list)
    for (u, i), t in sorted(earliest.items(), key=lambda event: (event[0][0], event[1], event[0][1])):
        histories[f"U{u}"].append((item(i), DAY_0 + t * 86400))
    return dict(histories)


def histories_of(dataset):
    ids = dataset.items["item_id"].to_list()
    return {
        user: [
            (ids[row], int(time))
            for row, time in zip(
                history,
                dataset.histories.timestamps[dataset.histories.offsets[u] : dataset.histories.offsets[u + 1]],
                strict=True,
            )
        ]
        for u, (user, history) in enumerate(zip(dataset.user_ids, dataset.histories, strict=True))
    }


@pytest.mark.slow
@FAST
@given(RATINGS, st.sets(st.integers(0, 5), min_size=3), st.integers(1, 3))
def test_2018_follows_the_steps(tmp_path, ratings, reviewed, k):
    files = write_2018(tmp_path, ratings, reviewed=reviewed)
    expected = reference(ratings, reviewed, k)
    if not expected:
        with pytest.raises(DataError, match="-core"):
            load_amazon_2018(*files, min_core=k)
        return
    dataset = load_amazon_2018(*files, min_core=k)
    assert histories_of(dataset) == expected
    first_seen = dict.fromkeys(item for history in expected.values() for item, _ in history)
    assert dataset.items["item_id"].to_list() == list(first_seen)


@pytest.mark.slow
@FAST
@given(RATINGS, st.randoms())
def test_2018_does_not_depend_on_the_order_of_lines(tmp_path, ratings, random):
    files = write_2018(tmp_path, ratings)
    with gzip.open(files[2], "rt") as stream:
        meta = [*stream.readlines(), json.dumps({"asin": "B00", "title": "again"}) + "\n"]
    results = []
    for _ in range(2):
        files[2].write_bytes(gzip.compress("".join(meta).encode()))
        results.append(load_amazon_2018(*files, min_core=1))
        rows = files[0].read_text().splitlines(keepends=True)
        random.shuffle(rows)
        random.shuffle(meta)
        files[0].write_text("".join(rows))
    first, second = results
    assert first.items.equals(second.items)
    assert first.user_ids.equals(second.user_ids)
    assert first.fingerprint == second.fingerprint


def test_2018_texts_are_cleaned(tmp_path):
    ratings = [(u, i, 5, 0) for u in range(2) for i in range(2)]
    items = load_amazon_2018(*write_2018(tmp_path, ratings), min_core=2).items
    assert items.rows() == [
        ("B00", "T&0", "Acme", ["Arts, Crafts & Sewing", "Yarn"], "one [two]", None),
        ("B01", "T&1", "Acme", ["Arts, Crafts & Sewing", "Yarn"], "one two", None),
    ]


def test_2018_keeps_items_with_a_complete_picture(tmp_path):
    whole = picture("JPEG")
    images = tmp_path / "pictures"
    images.mkdir()
    for name, data in [
        ("a.jpg", whole[:-20]),
        ("b.jpg", whole),
        ("c.png", picture("PNG")),
        ("d.webp", picture("WEBP")),
        ("e.jpg", whole[:-30]),
    ]:
        (images / name).write_bytes(data)
    base = "https://images.example/I/"
    urls = {
        0: [base + "a.jpg", base + "b.jpg"],
        1: [base + "c.png"],
        2: [base + "d.webp", base + "b.jpg"],
        3: [base + "e.jpg", base + "gone.jpg", base, base + ".."],
    }
    ratings = [(u, i, 5, i) for u in range(5) for i in range(6)]
    dataset = load_amazon_2018(*write_2018(tmp_path, ratings, urls=urls), images=images, min_core=3)
    assert dataset.items["image"].to_list() == ["b.jpg", "c.png", "d.webp"]
    assert dataset.images.present.all()
    assert dataset.images.open(0).size == (9, 9)
    assert any("2 of 5 picture files do not decode: a.jpg (" in note for note in dataset.notes), dataset.notes
    assert "3 of 6 items are left out, as they have no picture" in dataset.notes
    with pytest.raises(DataError, match="no such folder"):
        load_amazon_2018(*write_2018(tmp_path, ratings), images=tmp_path / "none")


@pytest.mark.parametrize(
    ("field", "name"), [("imageURL", "0.gif"), ("imageURLHighRes", "51+0.gif")], ids=["small address only", "percent"]
)
def test_2018_finds_pictures_under_either_address(tmp_path, field, name):
    (tmp_path / name).write_bytes(picture("GIF"))
    address = "https://images.example/I/" + name.replace("+", "%2B")
    meta = [{"asin": item(0), field: [address]}, {"asin": item(1), field: None}]
    ratings = [(u, i, 5, i) for u in range(2) for i in range(2)]
    dataset = load_amazon_2018(*write_2018(tmp_path, ratings, meta=meta), images=tmp_path, min_core=1)
    assert dataset.items.select("item_id", "image").rows() == [(item(0), name)]
    assert dataset.notes == ("1 of 2 items are left out, as they have no picture",)


def write_2023(folder, ratings, as_csv):
    rows = [(f"U{u}", item(i), r, DAY_0 * 1000 + t * 86_400_000 + 7) for u, i, r, t in ratings]
    if as_csv:
        reviews = folder / "C.csv"
        body = "".join(f"{u},{i},{r}.0,{t}\n" for u, i, r, t in rows)
        reviews.write_text("user_id,parent_asin,rating,timestamp\n" + body)
    else:
        names = ("user_id", "parent_asin", "rating", "timestamp")
        reviews = lines(folder / "C.jsonl.gz", [dict(zip(names, row, strict=True)) | {"asin": "x"} for row in rows])
    meta = [
        {
            "parent_asin": item(i),
            "title": None if i else "A &amp; B",
            "store": "Acme",
            "categories": ["Toys", "Games"],
            "description": ["one"],
            "features": ["two", "three"],
            "images": [{"hi_res": None, "large": f"https://x/{i}.png", "thumb": "https://x/t.png", "variant": "MAIN"}],
        }
        for i in range(6)
    ]
    return reviews, lines(folder / "meta_C.jsonl", meta)


@FAST
@given(RATINGS, st.booleans(), st.integers(1, 3))
def test_2023_follows_the_steps(tmp_path, ratings, as_csv, k):
    files = write_2023(tmp_path, ratings, as_csv)
    expected = reference(ratings, range(6), k)
    if expected:
        dataset = load_amazon_2023(*files, min_core=k)
        assert histories_of(dataset) == expected
        assert dataset.name == "C"


def test_2023_texts_and_pictures(tmp_path):
    (tmp_path / "0.png").write_bytes(picture("PNG"))
    ratings = [(u, i, 5, 0) for u in range(2) for i in range(2)]
    dataset = load_amazon_2023(*write_2023(tmp_path, ratings, False), min_core=1)
    assert dataset.items.rows()[0] == ("B00", "A & B", "Acme", ["Toys", "Games"], "one two three", None)
    assert dataset.items["title"][1] == ""
    pictured = load_amazon_2023(*write_2023(tmp_path, ratings, False), images=tmp_path, min_core=1)
    assert pictured.items.select("item_id", "image").rows() == [("B00", "0.png")]


def test_gift_cards_through_amazon_files_equal_the_published_counts(shared_data, tmp_path):
    folder = shared_data / "amazon_giftcards_2018"
    events, items = pl.read_parquet(folder / "interactions.parquet"), pl.read_parquet(folder / "items.parquet")
    columns = events.select("item_id", "user_id", "rating", "timestamp")
    columns.sample(fraction=1, shuffle=True, seed=1).write_csv(tmp_path / "r.csv", include_header=False)
    reviews = lines(tmp_path / "r.json", [{"asin": asin} for asin in events["item_id"]])
    meta = lines(tmp_path / "meta_G.json", items.select(asin="item_id", title="title").to_dicts())
    dataset = load_amazon_2018(tmp_path / "r.csv", reviews, meta, min_core=1)
    assert (dataset.num_users, dataset.num_items, dataset.num_events) == (458, 148, 2965)


def test_metadata_as_it_is_met(tmp_path):
    meta = [
        {"asin": "B00", "title": "N\x00", "category": [["Beauty", "Makeup"]], "description": "['One.', 'Two.']"},
        {
            "asin": "B01",
            "title": float("nan"),
            "category": "Beauty",
            "description": float("nan"),
            "price": float("nan"),
        },
        {"asin": "B02", "title": "half \ud83d", "category": "['Beauty', 'Makeup']", "imageURLHighRes": 5},
    ]
    ratings = [(u, i, 5, 0) for u in range(2) for i in range(3)]
    items = load_amazon_2018(*write_2018(tmp_path, ratings, meta=meta), min_core=2).items
    assert items.select("title", "categories", "description").rows() == [
        ("N", ["Beauty", "Makeup"], "One. Two."),
        ("", ["Beauty"], ""),
        ("half \ufffd", ["Beauty", "Makeup"], ""),
    ]


@pytest.mark.parametrize(
    "images",
    [
        [{"hi_res": None, "large": "https://x/0.png", "thumb": "t"}, {"large": "https://x/1.png"}],
        {"hi_res": [None, None], "large": ["https://x/0.png", "https://x/1.png"], "thumb": ["t", None]},
        ["https://x/0.png"],
        "https://x/0.png",
    ],
)
def test_2023_pictures_in_any_form(tmp_path, images):
    (tmp_path / "0.png").write_bytes(picture("PNG"))
    ratings = [(u, i, 5, 0) for u in range(2) for i in range(2)]
    reviews, _ = write_2023(tmp_path, ratings, False)
    meta = lines(tmp_path / "meta_C.jsonl", [{"parent_asin": item(0), "images": images}, {"parent_asin": item(1)}])
    dataset = load_amazon_2023(reviews, meta, images=tmp_path, min_core=1)
    assert dataset.items.select("item_id", "image").rows() == [("B00", "0.png")]


def test_units_of_times_are_checked(tmp_path):
    ratings = [(u, i, 5, 0) for u in range(2) for i in range(2)]
    reviews, meta = write_2023(tmp_path, ratings, True)
    reviews.write_text(reviews.read_text().replace(f"{DAY_0}007", f"{DAY_0}"))
    with pytest.raises(DataError, match=f"event 1.*the time {DAY_0} is not in milliseconds.*multiply"):
        load_amazon_2023(reviews, meta, min_core=1)
    files = write_2018(tmp_path, ratings)
    files[0].write_text(files[0].read_text().replace(f"{DAY_0}", f"{DAY_0}000"))
    with pytest.raises(DataError, match=f"the time {DAY_0}000 is not in seconds.*divide"):
        load_amazon_2018(*files, min_core=1)
