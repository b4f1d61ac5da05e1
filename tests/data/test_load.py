from __future__ import annotations

import gzip
import json

import numpy as np
import polars as pl
import pytest

from macrec.data import leave_one_out, train_part
from macrec.data.curio import curio
from macrec.data.formats import known_formats
from macrec.data.formats.amazon2018 import load_amazon_2018
from macrec.data.formats.amazon2023 import load_amazon_2023
from macrec.data.formats.lcrec import load_lcrec
from macrec.data.formats.movielens import load_movielens
from macrec.data.formats.parquet import load_parquet
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.formats.recbole import load_recbole
from macrec.data.load import load_dataset
from macrec.errors import DataError

# A tiny dataset in every layout: the files, with the one that bad input is put into first.
RATED = [("u", "a", 1), ("u", "b", 2), ("v", "a", 3)]


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


AMAZON_2018 = {
    "C.csv": "".join(f"{i},{u},5.0,{t}\n" for u, i, t in RATED).encode(),
    "C_5.json.gz": gzip.compress(jsonl({"asin": i} for i in "ab")),
    "meta_C.json.gz": gzip.compress(jsonl({"asin": i, "title": i} for i in "ab")),
}
AMAZON_2023 = {
    "C.jsonl": jsonl({"user_id": u, "parent_asin": i, "timestamp": 10**12 + t * 1000} for u, i, t in RATED),
    "meta_C.jsonl": jsonl({"parent_asin": i, "title": i} for i in "ab"),
}
LCREC = {"C.inter.json": b'{"0": [0, 1], "1": [0]}', "C.item2id": b"a\t0\nb\t1\n", "C.user2id": b"u\t0\nv\t1\n"}
RECBOLE = {
    "C.inter": b"user_id:token\titem_id:token\ttimestamp:float\n"
    + b"".join(f"{u}\t{i}\t{t}\n".encode() for u, i, t in RATED),
    "C.item": b"item_id:token\na\nb\n",
}
MOVIELENS = {
    "ratings.csv": b"userId,movieId,rating,timestamp\n" + b"".join(f"{u},{i},5,{t}\n".encode() for u, i, t in RATED),
    "movies.csv": b"movieId,title,genres\na,a,x\nb,b,x\n",
}
ALL = {"2018": AMAZON_2018, "2023": AMAZON_2023, "lcrec": LCREC, "recbole": RECBOLE, "movielens": MOVIELENS}
LOADERS = {
    "2018": lambda folder: load_amazon_2018(*(folder / name for name in AMAZON_2018), min_core=1),
    "2023": lambda folder: load_amazon_2023(*(folder / name for name in AMAZON_2023), min_core=1),
    "lcrec": load_lcrec,
    "recbole": load_recbole,
    "movielens": load_movielens,
}


def write(folder, files):
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("layout", ALL)
def test_every_layout_is_recognized_and_says_the_same(tmp_path, layout):
    write(tmp_path, ALL[layout])
    (tmp_path / "README.md").write_text("unrelated")
    options = {"min_core": 1} if layout.startswith("20") else {}
    dataset = load_dataset(tmp_path, **options)
    assert dataset.user_ids.to_list() == ["u", "v"]
    assert dataset.items["item_id"].to_list() == ["a", "b"]
    assert [history.tolist() for history in dataset.histories] == [[0, 1], [0]]


@pytest.mark.parametrize("layout", ALL)
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: None, []),
        (lambda data: b"", ["empty"]),
        (lambda data: gzip.compress(data * 50)[:-12], ["cut short"]),
        (lambda data: data.replace(b"a", b"\xff"), ["0xff"]),
        (lambda data: data[: len(data) // 2].rstrip(b"0123456789"), []),
    ],
    ids=["missing file", "empty file", "truncated gzip", "not UTF-8", "cut in the middle"],
)
def test_bad_files_are_named_by_every_loader(tmp_path, layout, damage, words):
    write(tmp_path, ALL[layout])
    name = next(iter(ALL[layout]))
    if layout == "lcrec" and b"a" not in ALL[layout][name]:
        (tmp_path / name).write_bytes(b'{"a": [0]}')
    data = damage((tmp_path / name).read_bytes())
    if data is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as caught:
        LOADERS[layout](tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_and_prefixes_are_recognized(tmp_path):
    write(tmp_path, LCREC | RECBOLE)
    assert load_dataset(tmp_path / "C.inter.json").source == "C.inter.json"
    assert load_dataset(str(tmp_path / "C")).source == "C.inter.json"
    assert load_dataset(tmp_path / "C.inter").source == "C.inter"


def test_unknown_layouts_say_what_was_looked_for(tmp_path):
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path)
    assert all(name in str(caught.value) for name in known_formats())
    assert f'"recbole:{tmp_path}" or --layout recbole' in str(caught.value)
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset(tmp_path / "nothing")


def test_curio_is_called_by_name():
    assert load_dataset("curio:tiny:3").fingerprint == curio("tiny", seed=3).fingerprint
    assert load_dataset("curio:tiny", seed=3).fingerprint == curio("tiny", seed=3).fingerprint
    assert load_dataset("curio:tiny").fingerprint == curio("tiny").fingerprint != curio("tiny", seed=3).fingerprint


# What the READMEs of the real datasets say: users, items, events, pictures.
@pytest.mark.parametrize(
    ("folder", "counts"),
    [
        ("amazon_giftcards_2018", (458, 148, 2_965, 115)),
        ("ml100k_posters", (943, 1_682, 100_000, 1_667)),
        ("ml1m_posters", (6_040, 3_883, 1_000_209, 3_872)),
        ("amazon_beauty_2014", (22_363, 12_101, 198_502, 0)),
        ("amazon_sports_2014", (35_598, 18_357, 296_337, 0)),
        ("amazon_instruments_2018/mql4grec", (17_112, 6_250, 136_226, 0)),
        ("amazon_instruments_2018/lcrec", (24_772, 9_922, 206_153, 0)),
        ("amazon_arts_2018/mql4grec", (22_171, 9_416, 174_079, 0)),
        ("amazon_office_2018_mini", (3_231, 3_459, 22_447, 0)),
        ("taobao_mb_sample", (650, 45_735, 68_542, 0)),
        ("mmgrec_tiktok_sample", (100, 1_562, 1_929, 0)),
    ],
)
def test_real_datasets_have_the_published_counts(shared_data, folder, counts):
    dataset = load_dataset(shared_data / folder)
    pictures = int(dataset.images.present.sum())
    assert (dataset.num_users, dataset.num_items, dataset.num_events, pictures) == counts


def test_real_datasets_have_the_published_details(shared_data):
    gift = load_parquet(shared_data / "amazon_giftcards_2018")
    lengths = gift.histories.lengths
    assert (lengths.min(), np.median(lengths), lengths.max()) == (4, 6, 31)
    assert ((gift.items["description"] != "").sum(), (gift.items["brand"] != "").sum()) == (145, 119)

    ml1m = load_parquet(shared_data / "ml1m_posters")
    met = ml1m.histories.counts(ml1m.num_items) > 0
    assert (int(met.sum()), int(met[3706:].sum())) == (3_706, 0)
    assert int((met & ml1m.images.present).sum()) == 3_699
    assert (np.median(ml1m.histories.lengths), ml1m.histories.lengths.max()) == (96, 2_314)

    taobao = load_parquet(shared_data / "taobao_mb_sample").histories
    behaviors = dict(zip(taobao.behavior_names, np.bincount(taobao.behaviors).tolist(), strict=True))
    assert behaviors == {"pv": 61_436, "cart": 3_735, "fav": 1_912, "buy": 1_459}

    office = load_parquet(shared_data / "amazon_office_2018_mini")
    assert int((office.histories.counts(office.num_items) > 0).sum()) == 3_317
    assert [(office.items[column] != "").sum() for column in ("title", "brand", "description")] == [3_459, 3_454, 3_230]
    pairs = pl.DataFrame({"user": office.histories.users, "item": office.histories.items})
    assert office.num_events - pairs.n_unique() == 1_259

    beauty = load_parquet(shared_data / "amazon_beauty_2014").items
    assert [(beauty[column] != "").sum() for column in ("title", "brand")] == [12_086, 7_474]
    assert beauty["categories"].list.len().min() > 0
    sports = load_parquet(shared_data / "amazon_sports_2014").items
    assert ((sports["brand"] != "").sum(), (sports["categories"].list.len() > 0).sum()) == (10_893, 18_114)

    mql, lcrec = (load_parquet(shared_data / "amazon_instruments_2018" / part) for part in ("mql4grec", "lcrec"))
    assert mql.items["item_id"].is_in(lcrec.items["item_id"].implode()).all()


# The specification's table 1.4.
@pytest.mark.parametrize(
    ("folder", "table"),
    [
        (
            "amazon_instruments_2018/mql4grec",
            {
                "length": (7.96, 6, 131),
                "sparsity": 99.87,
                "prefixes": 84_890,
                "prefix history": (5.05, 3),
                "full": 4.2,
                "test history": 6.73,
                "frequency": (5, 1_657),
                "unseen": (33, 22),
            },
        ),
        (
            "amazon_arts_2018/mql4grec",
            {
                "length": (7.85, 6, 98),
                "sparsity": 99.92,
                "prefixes": 107_566,
                "prefix history": (4.96, 3),
                "full": 4.1,
                "test history": 6.63,
                "frequency": (5, 1_015),
                "unseen": (37, 34),
            },
        ),
    ],
)
def test_released_splits_reproduce_the_table_of_the_specification(shared_data, folder, table):
    dataset = load_parquet(shared_data / folder)
    histories, split = dataset.histories, leave_one_out(dataset.histories, 20)
    lengths, seen = histories.lengths, train_part(histories).counts(dataset.num_items) > 0
    frequency = histories.counts(dataset.num_items)
    found = {
        "length": (round(float(lengths.mean()), 2), int(np.median(lengths)), int(lengths.max())),
        "sparsity": round(100 * (1 - dataset.num_events / dataset.num_users / dataset.num_items), 2),
        "prefixes": len(split.train),
        "prefix history": (round(float(split.train.lengths.mean()), 2), int(np.median(split.train.lengths))),
        "full": round(100 * float((split.train.lengths == 20).mean()), 1),
        "test history": round(float(split.test.lengths.mean()), 2),
        "frequency": (int(frequency.min()), int(frequency.max())),
        "unseen": (int((~seen[split.test.targets]).sum()), int((~seen[split.valid.targets]).sum())),
    }
    assert found == table
    assert pl.DataFrame({"user": histories.users, "item": histories.items}).is_unique().all()


@pytest.mark.slow
def test_a_dataset_whose_replacement_died_between_two_renames_is_found(tmp_path):
    save_parquet(curio("tiny"), tmp_path / "shop")
    workplace = tmp_path / ".macrec-0123456789ab.tmp"
    (workplace / "old").mkdir(parents=True)
    (tmp_path / "shop").rename(workplace / "old" / "shop")
    assert load_dataset(tmp_path / "shop").num_items == 160
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]
