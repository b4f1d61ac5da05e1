"""How layouts are recognized and named, and the files that people have: each against a reader of a few plain lines."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from macrec.data import from_events
from macrec.data.formats import known_formats, readme_rows
from macrec.data.formats.lcrec_save import save_lcrec
from macrec.data.histories import PARTS
from macrec.data.load import load_dataset
from macrec.errors import DataError

ROOT = Path(__file__).resolve().parents[3]
FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def histories(dataset):
    ids = dataset.items["item_id"]
    return {u: ids.gather(h).to_list() for u, h in zip(dataset.user_ids, dataset.histories, strict=True)}


def samples(dataset, part, longest=10_000):
    """(user, history, target) of every sample of a part."""
    ids, found = dataset.items["item_id"].to_list(), getattr(dataset.split(longest), part)
    return sorted(
        (dataset.user_ids[int(user)], [ids[item] for item in found.history(row)], ids[found.targets[row]])
        for row, user in enumerate(found.user)
    )


# ------------------------------------------------------------------------------------------------ recognition


def test_the_readme_lists_every_format():
    assert readme_rows(known_formats()) in (ROOT / "README.md").read_text(encoding="utf-8")


RECBOLE = "user_id:token\titem_id:token\nu\ta\nu\tb\nu\tc\n"


def test_a_layout_can_be_named(tmp_path):
    (tmp_path / "events.tsv").write_text(RECBOLE)
    with pytest.raises(DataError, match="no known layout"):
        load_dataset(tmp_path / "events.tsv")
    for dataset in (
        load_dataset(f"recbole:{tmp_path / 'events.tsv'}"),
        load_dataset(tmp_path / "events.tsv", layout="recbole"),
    ):
        assert histories(dataset) == {"u": ["a", "b", "c"]}
    with pytest.raises(DataError, match=r'there is no layout "recbowl"; choose one of amazon2018, .*taobao'):
        load_dataset(tmp_path, layout="recbowl")
    with pytest.raises(DataError, match="no such file or folder"):
        load_dataset("recbowl:here")  # a colon alone does not make a layout


def test_files_of_two_layouts_are_not_guessed_at(tmp_path):
    (tmp_path / "D.inter").write_text(RECBOLE)
    (tmp_path / "D.txt").write_text("1 2 3 4\n")
    with pytest.raises(DataError, match=r'more than one layout: RecBole \(recbole\) and S3-Rec.*"recbole:.*--layout'):
        load_dataset(tmp_path)
    assert load_dataset(tmp_path, layout="s3rec").num_items == 3
    assert load_dataset(tmp_path / "D.txt").num_items == 3


def test_a_file_stands_for_its_folder(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::7::5::10\n1::8::5::11\n")
    (tmp_path / "movies.dat").write_text("7::A (1999)::Drama\n8::B (1999)::Drama\n")
    assert histories(load_dataset(tmp_path / "ratings.dat")) == {"1": ["7", "8"]}


def test_an_archive_is_to_be_unpacked(tmp_path):
    (tmp_path / "ml-1m.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"ml-1m.zip: the file is an archive; unpack it, then give the folder.*ml-1m\."):
        load_dataset(tmp_path / "ml-1m.zip")


def test_several_categories_are_not_guessed_at(tmp_path):
    for name in ("A", "B"):
        reviews = [{"reviewerID": "u", "asin": f"{name}{n}", "unixReviewTime": n} for n in range(3)]
        (tmp_path / f"{name}_5.json").write_text("".join(json.dumps(row) + "\n" for row in reviews))
        (tmp_path / f"meta_{name}.json").write_text(
            "".join(json.dumps({"asin": f"{name}{n}"}) + "\n" for n in range(3))
        )
    with pytest.raises(DataError, match=r"one category is needed in the folder \(found: A, B\); name one, as in .*A\."):
        load_dataset(tmp_path)
    for path in ("B", "B_5.json", "meta_B.json"):
        assert load_dataset(tmp_path / path, min_core=1).items["item_id"].to_list() == ["B0", "B1", "B2"]


# ------------------------------------------------------------------------------------------------ published samples

INTER = "user_id:token\titem_id_list:token_seq\titem_id:token\n"
sequences = st.dictionaries(
    st.integers(0, 9).map(str), st.lists(st.integers(0, 4).map(str), min_size=2, max_size=9), min_size=1, max_size=5
)


def published(whole, cut_at, cap):
    """The samples of histories, split by place: from `cut_at` of a user on for validation, the last ones for test."""
    found = {part: [] for part in ("train", "valid", "test")}
    for user, items in whole.items():
        for place in range(1, len(items)):
            part = "train" if place < cut_at else "valid" if place < cut_at + 2 else "test"
            found[part].append((user, items[max(0, place - cap) : place], items[place]))
    return found


def write_benchmark(folder, rows, back=False):
    for part, lines in rows.items():
        order = sorted(lines, key=lambda line: -len(line[1])) if back and part == "train" else lines
        text = "".join(f"{user}\t{' '.join(history)}\t{target}\n" for user, history, target in order)
        (folder / f"D.{part}.inter").write_text(INTER + text)


@pytest.mark.slow
@FRESH
@given(sequences, st.integers(2, 4), st.integers(1, 12), st.booleans())
def test_the_samples_of_a_benchmark_come_back(tmp_path, whole, cut_at, cap, back):
    whole = {**whole, "long": list("0123401")}
    rows = published(whole, cut_at, cap)
    write_benchmark(tmp_path, rows, back and cap > 8)  # at the cap, equal lengths do not tell the way: see below
    dataset = load_dataset(tmp_path)
    for part, expected in rows.items():
        assert samples(dataset, part, cap) == sorted(expected)
    assert histories(dataset) == whole


def test_rows_from_new_to_old_are_turned_round_at_the_cap_too(tmp_path):
    whole = {"u": list("abcdefg"), "v": list("gfedcba")}
    rows = published(whole, 4, 2)
    rows["train"] = [row for user in whole for row in reversed([row for row in rows["train"] if row[0] == user])]
    write_benchmark(tmp_path, rows)
    assert histories(load_dataset(tmp_path)) == whole


def test_what_no_row_asks_for_is_context(tmp_path):
    """Validation rows that were sampled: e is known, but nobody's target; a and b stand in a training row."""
    rows = {
        "train": [("u", list("ab"), "c")],
        "valid": [("u", list("abc"), "d"), ("v", list("a"), "b")],
        "test": [("u", list("abcde"), "f")],
    }
    write_benchmark(tmp_path, rows)
    dataset = load_dataset(tmp_path)
    parts = [PARTS[part] for part in dataset.histories.parts]
    assert parts == ["train", "train", "train", "valid", "context", "test", "context", "valid"]
    assert samples(dataset, "test") == [("u", list("abcde"), "f")]
    assert samples(dataset, "valid") == [("u", list("abc"), "d"), ("v", ["a"], "b")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"valid": [("u", list("ac"), "d")]}, ["D.valid.inter, row 2", 'user "u"', "row 2 of D.train.inter"]),
        ({"test": [("u", list("xyz"), "d")]}, ["D.test.inter, row 2", "row 2 of D.valid.inter"]),
        ({"train": [("u", ["a"], "b"), ("u", ["a"], "c")]}, ["D.train.inter, row 3", "that of row 2;"]),
    ],
)
def test_rows_that_do_not_continue_each_other_are_named(tmp_path, rows, words):
    good = {"train": [("u", ["a"], "b")], "valid": [("u", list("ab"), "c")], "test": [("u", list("abc"), "d")]}
    write_benchmark(tmp_path, good | rows)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_benchmark_needs_all_three_files(tmp_path):
    write_benchmark(tmp_path, {"train": [("u", ["a"], "b")], "test": [("u", list("ab"), "c")]})
    with pytest.raises(DataError, match=r"D.valid.inter: there is no such file"):
        load_dataset(tmp_path)


def write_events(folder, **parts):
    for part, events in parts.items():
        lines = "".join(f"{user}\t{item}\t{time}\n" for user, item, time in events)
        (folder / f"D.{part}.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\n" + lines)


def test_a_benchmark_of_events(tmp_path):
    write_events(
        tmp_path, train=[("u", "b", 2), ("u", "a", 1), ("v", "a", 1)], valid=[("u", "c", 3)], test=[("u", "d", 3)]
    )
    dataset = load_dataset(tmp_path)
    assert histories(dataset) == {"u": list("abcd"), "v": ["a"]}
    assert samples(dataset, "test") == [("u", list("abc"), "d")]
    assert dataset.notes == ("the split in the files is leave-one-out",)


def test_samples_of_three_events_are_leave_one_out(tmp_path):
    """User v has no sample in training, so that no file says what a was for."""
    rows = {
        "train": [("u", ["a"], "b")],
        "valid": [("u", list("ab"), "c"), ("v", ["a"], "b")],
        "test": [("u", list("abc"), "d"), ("v", list("ab"), "c")],
    }
    write_benchmark(tmp_path, rows)
    dataset = load_dataset(tmp_path)
    assert dataset.histories.parts is None and dataset.notes == ("the split in the files is leave-one-out",)


def test_a_random_split_is_refused(tmp_path):
    write_events(tmp_path, train=[("u", "a", 1), ("u", "b", 4)], valid=[("u", "c", 2)], test=[("u", "d", 3)])
    with pytest.raises(DataError, match=r'user "u".*an event for train follows one for test'):
        load_dataset(tmp_path)


# ------------------------------------------------------------------------------------------------ LC-Rec with a split


@pytest.mark.slow
@FRESH
@given(
    st.dictionaries(st.integers(0, 9).map(str), st.lists(st.integers(0, 4), min_size=2, max_size=9), min_size=1),
    st.integers(2, 4),
)
def test_json_keeps_whole_histories_and_the_published_split(tmp_path, whole, cut_at):
    whole = {**whole, "11": [0, 1, 2, 3, 4, 0, 1]}
    (tmp_path / "D.inter.json").write_text(json.dumps(whole))
    rows = published({user: list(map(str, items)) for user, items in whole.items()}, cut_at, 3)
    write_benchmark(tmp_path, rows)
    dataset = load_dataset(tmp_path)
    assert histories(dataset) == {user: list(map(str, items)) for user, items in whole.items()}
    for part, expected in rows.items():
        assert samples(dataset, part, 3) == sorted(expected)


@pytest.mark.slow
@FRESH
@given(
    st.lists(st.lists(st.sampled_from("rv"), min_size=3, max_size=60).map(sorted), min_size=1, max_size=3), st.data()
)
def test_a_split_is_saved_beside_the_json(tmp_path, parts, data):
    letters = [["r", "r", "v", "t", "t"], *(["r", "r", *part, "t"] for part in parts)]
    names = {"r": "train", "v": "valid", "t": "test"}
    items = [data.draw(st.lists(st.integers(0, 4), min_size=len(part), max_size=len(part))) for part in letters]
    rows = [
        {"user_id": f"u{user}", "item_id": f"i{item}", "part": names[part]}
        for user, (own, marks) in enumerate(zip(items, letters, strict=True))
        for item, part in zip(own, marks, strict=True)
    ]
    catalog = pl.DataFrame({"item_id": [f"i{item}" for item in range(5)]})
    dataset = from_events("D", pl.DataFrame(rows), catalog, events_file="e", items_file="i")
    again = load_dataset(save_lcrec(dataset, tmp_path / "out"))
    assert again.histories.parts.tolist() == dataset.histories.parts.tolist()
    assert again.fingerprint == dataset.fingerprint


def test_samples_that_the_json_does_not_know_are_named(tmp_path):
    whole = {"1": [0, 1, 2, 3, 4]}
    write_benchmark(tmp_path, published({"1": list("01234")}, 2, 9))
    (tmp_path / "D.inter.json").write_text(json.dumps({"1": [0, 1, 2, 4, 3]}))
    with pytest.raises(DataError, match=r'user "1": the samples do not agree with the history'):
        load_dataset(tmp_path)
    (tmp_path / "D.inter.json").write_text(json.dumps({"2": whole["1"]}))
    with pytest.raises(DataError, match=r'user "1": the user has no history'):
        load_dataset(tmp_path)


# ------------------------------------------------------------------------------------------------ MiniOneRec


def write_minionerec(folder, rows, titles=True, asins=False, stem="Office_5_2016-10-2018-11", times=False):
    for part, lines in rows.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        with (folder / part / f"{stem}.csv").open("w", newline="") as stream:
            names = [
                "user_id",
                "history_item_title",
                "item_title",
                "history_item_id",
                "item_id",
                "history_item_sid",
                "item_sid",
            ]
            writer = csv.writer(stream)
            writer.writerow(names + (["history_timestamp", "timestamp"] if times else []))
            for user, history, target in lines:
                ids = [f"B{item}" for item in history] if asins else list(map(int, history))
                row = [f"A{user}", [f'Pen, "{item}"' for item in history], f'Pen, "{target}"', ids]
                row += [f"B{target}" if asins else target, ["<a_1><b_2>"] * len(history), "<a_1><b_2>"]
                row += [list(range(len(history))), len(history)] if times else []
                writer.writerow(row)


@pytest.mark.slow
@FRESH
@given(sequences, st.integers(2, 4), st.booleans())
def test_minionerec_keeps_its_samples(tmp_path, whole, cut_at, asins):
    whole = {**whole, "77": list("0123401")}
    rows = published(whole, cut_at, 3)
    write_minionerec(tmp_path, rows, asins=asins)
    dataset = load_dataset(tmp_path)
    mark = "B" if asins else ""
    for part, expected in rows.items():
        named = [(f"A{user}", [mark + item for item in history], mark + target) for user, history, target in expected]
        assert samples(dataset, part, 3) == sorted(named)
    titles = dict(dataset.items.select("item_id", "title").rows())
    assert titles == {item: f'Pen, "{item.removeprefix("B")}"' for item in titles}


def test_minionerec_with_its_catalog_and_times(tmp_path):
    rows = published({"7": list("0123401")}, 3, 10)
    write_minionerec(tmp_path, rows, times=True)
    (tmp_path / "index").mkdir()
    catalog = {str(item): {"title": f"T{item}", "description": "long", "brand": "X"} for item in range(9)}
    (tmp_path / "index" / "Office.item.json").write_text(json.dumps(catalog))
    dataset = load_dataset(tmp_path)
    assert dataset.items["title"].to_list() == [f"T{item}" for item in range(9)]
    assert dataset.histories.timestamps.tolist() == list(range(7))
    assert load_dataset(tmp_path / "train" / "Office_5_2016-10-2018-11.csv").fingerprint == dataset.fingerprint
    write_minionerec(tmp_path, rows, stem="Toys_5")
    with pytest.raises(DataError, match=r"found: Office_5_2016-10-2018-11, Toys_5\); name one, as in"):
        load_dataset(tmp_path)


def test_a_list_that_is_none_is_named(tmp_path):
    write_minionerec(tmp_path, published({"7": list("0123401")}, 3, 10), asins=True)
    file = tmp_path / "test" / "Office_5_2016-10-2018-11.csv"
    file.write_text(file.read_text().replace("['B0', 'B1'", "__import__('os')", 1))
    with pytest.raises(DataError, match=r'row 2, field "history_item_id".*is not a list of ids'):
        load_dataset(tmp_path)


# ------------------------------------------------------------------------------------------------ S3-Rec, SASRec


@pytest.mark.slow
@FRESH
@given(
    st.dictionaries(st.integers(1, 99), st.lists(st.integers(1, 30), min_size=1, max_size=9), min_size=1), st.booleans()
)
def test_text_of_users_and_items(tmp_path, whole, pairs):
    whole = {1: [3, 2, 3], **whole, 2: [5, 6]}
    lines = (
        [f"{user} {item}" for user, items in whole.items() for item in items]
        if pairs
        else [" ".join(map(str, [user, *items])) for user, items in whole.items()]
    )
    (tmp_path / "Beauty.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "Beauty_sample.txt").write_text("1 5 6 7\n")
    (tmp_path / "README.txt").write_text("2 files\n")
    dataset = load_dataset(tmp_path)
    assert histories(dataset) == {str(user): list(map(str, items)) for user, items in whole.items()}
    assert dataset.items["item_id"].to_list() == [
        str(item) for item in sorted({i for items in whole.values() for i in items})
    ]


def test_attributes_are_categories(tmp_path):
    (tmp_path / "D.txt").write_text("1 2 3 4\n")
    (tmp_path / "D_item2attributes.json").write_text('{"3": [12, 7], "9": [1]}')
    dataset = load_dataset(tmp_path / "D")
    assert dataset.items["categories"].to_list() == [[], ["attribute 12", "attribute 7"], []]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3\n2 x\n", ["row 2", "not a user and items"]),
        ("1 2 3\n2\n", ["row 2"]),
        ("1 2 3\n1 4\n", ["row 2", 'user "1" occurs again']),
    ],
)
def test_lines_that_are_no_history_are_named(tmp_path, text, words):
    (tmp_path / "D.txt").write_text("9 8 7\n" * 0 + text)
    with pytest.raises(DataError) as caught:
        load_dataset(tmp_path / "D.txt", layout="s3rec")
    assert all(word in str(caught.value) for word in ["D.txt", *words]), str(caught.value)


# ------------------------------------------------------------------------------------------------ Taobao, Amazon


def test_taobao_keeps_behaviors_and_order(tmp_path):
    lines = ["1,20,7,pv,30", "2,20,7,buy,5", "1,21,8,cart,10", "1,20,9,fav,30", "1,20,7,pv,30"]
    (tmp_path / "UserBehavior.csv.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    dataset = load_dataset(tmp_path)
    assert histories(dataset) == {"1": ["21", "20", "20", "20"], "2": ["20"]}
    names = np.array(dataset.histories.behavior_names)[dataset.histories.behaviors]
    assert names.tolist() == ["cart", "pv", "fav", "pv", "buy"]
    assert dataset.histories.timestamps.tolist() == [10, 30, 30, 30, 5]
    assert dict(dataset.items.select("item_id", "categories").rows()) == {
        "20": ["category 7", "category 9"],
        "21": ["category 8"],
    }


META_2014 = r"""{'asin': 'i0', 'title': "Rock 'n' Roll", 'imUrl': 'http://x/a', 'categories': [['A', 'B'], ['A', 'C']]}
{'asin': 'i1', 'description': 'It\'s one.', 'brand': 'X', 'salesRank': {'Toys': 3}, 'also': None}
"""


def test_metadata_of_2014_is_written_as_python_does(tmp_path):
    reviews = [{"reviewerID": u, "asin": i, "unixReviewTime": 1_300_000_000} for u in "uv" for i in ("i0", "i1")]
    data = "".join(json.dumps(row) + "\n" for row in reviews).encode()
    (tmp_path / "reviews_C_5.json.gz").write_bytes(gzip.compress(data))
    (tmp_path / "meta_C.json.gz").write_bytes(gzip.compress(META_2014.encode()))
    items = load_dataset(tmp_path, min_core=1).items
    assert items.select("item_id", "title", "brand", "categories", "description").rows() == [
        ("i0", "Rock 'n' Roll", "", ["A", "B", "C"], ""),
        ("i1", "", "X", [], "It's one."),
    ]
    (tmp_path / "meta_C.json.gz").unlink()
    for line, words in [
        ("{'asin': 'i0', 'asin': 'i1'}", ["row 2", '"asin"', "twice"]),
        ("{'asin': __import__('os')}", ["row 2", "not JSON"]),
        ("{'asin': 'i0', 'title': {'a', 'b'}}", ["row 2", "not JSON"]),
        ("{'asin': 'i0'", ["row 2"]),
    ]:
        (tmp_path / "meta_C.json").write_text(META_2014.splitlines()[0] + "\n" + line + "\n")
        with pytest.raises(DataError) as caught:
            load_dataset(tmp_path, min_core=1)
        assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_5_core_alone_holds_the_events(tmp_path):
    rng = np.random.default_rng(0)
    events = [(f"u{rng.integers(4)}", f"i{rng.integers(5)}", int(rng.integers(9))) for _ in range(60)]
    reviews = [
        {"reviewerID": u, "asin": i, "unixReviewTime": t, "overall": 5.0, "reviewText": "x"} for u, i, t in events
    ]
    (tmp_path / "reviews_C_5.json.gz").write_bytes(
        gzip.compress("".join(json.dumps(r) + "\n" for r in reviews).encode())
    )
    (tmp_path / "meta_C.json").write_text(
        "".join(json.dumps({"asin": f"i{n}", "title": f"T{n}"}) + "\n" for n in range(5))
    )
    dataset = load_dataset(tmp_path, min_core=1)
    (tmp_path / "C.csv").write_text("".join(f"{i},{u},5.0,{t}\n" for u, i, t in events))
    both = load_dataset(tmp_path, min_core=1)
    assert dataset.fingerprint == both.fingerprint and dataset.num_events == len({(u, i) for u, i, _ in events})
    assert dataset.source.startswith("Amazon reviews: reviews_C_5.json.gz")
    (tmp_path / "meta_C.json").unlink()
    bare = load_dataset(tmp_path, min_core=1)
    assert histories(bare) == histories(both) and bare.name == "C" and set(bare.items["title"]) == {""}
    assert "there is no file of metadata" in bare.notes[0]


# ------------------------------------------------------------------------------------------------ real data


def test_the_published_rows_of_minionerec_come_back(shared_data, tmp_path):
    folder = shared_data / "amazon_office_2018_mini"
    published_rows = pl.read_parquet(folder / "official_eval_rows.parquet")
    rows = {part: [] for part in ("train", "valid", "test")}
    for user, history, target, part in published_rows.iter_rows():
        rows[part].append((user.removeprefix("A"), list(map(str, history)), str(target)))
    events = pl.read_parquet(folder / "interactions.parquet").sort("user_idx", "pos")
    for (user,), own in events.group_by("user_id", maintain_order=True):
        items = own["item_id"].to_list()
        for place in np.flatnonzero(own["official_split"] == "history")[1:].tolist():
            rows["train"].append((user.removeprefix("A"), items[max(0, place - 10) : place], items[place]))
    write_minionerec(tmp_path, rows)
    dataset = load_dataset(tmp_path)
    assert (dataset.num_users, dataset.num_items, dataset.num_events) == (3_231, 3_317, 22_447)
    for part, expected in rows.items():
        assert samples(dataset, part, 10) == sorted((f"A{user}", *rest) for user, *rest in expected)
    assert (len(rows["valid"]), len(rows["test"])) == (4_866, 4_866)


@pytest.mark.parametrize(("name", "train"), [("instruments", 84_890), ("arts", 107_566)])
def test_mql4grec_has_the_published_number_of_samples(shared_data, tmp_path, name, train):
    events = pl.read_parquet(shared_data / f"amazon_{name}_2018" / "mql4grec" / "interactions.parquet")
    whole = {}
    for user, item in events.sort("user_idx", "pos").select("user_idx", "item_idx").iter_rows():
        whole.setdefault(str(user), []).append(str(item))
    rows = {"train": [], "valid": [], "test": []}
    for user, items in whole.items():
        rows["valid"].append((user, items[:-2][-50:], items[-2]))
        rows["test"].append((user, items[:-1][-50:], items[-1]))
        rows["train"] += [(user, items[:place][-50:], items[place]) for place in range(len(items) - 3, 0, -1)]
    assert len(rows["train"]) == train
    write_benchmark(tmp_path, rows)
    dataset = load_dataset(tmp_path)
    assert histories(dataset) == whole and [len(part) for part in dataset.split()] == [train, len(whole), len(whole)]
