"""A table of items opens whatever it is written in, and what does not read is named."""

import gzip
import json

import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.item_file import load_items
from macrec.errors import DataError

ROWS = [
    {"item_id": "b1", "title": "A, b", "categories": ["Toys", "Arts, Crafts"]},
    {"item_id": "b2", "title": "C", "categories": []},
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("items.json", json.dumps(ROWS)),
        ("items.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("D.item.json", json.dumps({row["item_id"]: {"title": row["title"], "categories": ",".join(row["categories"])}
                                    for row in ROWS})),
        ("items.csv", 'ASIN,Title,Genres\nb1,"A, b","Toys|Arts, Crafts"\nb2,C,\n'),
        ("items.tsv", 'parent_asin\tname\tcategories\nb1\tA, b\tToys,Arts, Crafts\nb2\tC\t\n'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_the_same_items_in_any_format(tmp_path, name, text, packed):
    file = tmp_path / (name + ".gz" * packed)
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    data = load_items(file)
    assert data.items.select("item_id", "title", "categories").to_dicts() == ROWS
    assert data.num_users == data.num_events == 0 and not data.images.present.any() and data.fingerprint


@pytest.mark.slow
def test_items_of_a_folder_keep_their_rows_and_pictures(tmp_path):
    whole = curio("tiny")
    folder = save_parquet(whole, tmp_path / "curio")
    data = load_items(folder / "items.parquet")
    assert data.items["item_id"].equals(whole.items["item_id"]) and data.name == "curio"
    np.testing.assert_array_equal(data.images.present, whole.images.present)
    assert data.images.open(int(whole.images.present.argmax())).size == whole.images.open(0).size
    assert load_items(folder).num_events == whole.num_events
    (folder / "interactions.parquet").unlink()
    assert load_items(folder).num_events == 0


def test_a_dataset_by_name_is_what_load_dataset_gives():
    assert load_items("curio:tiny").fingerprint == curio("tiny").fingerprint


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        (
            "a.csv",
            "a,b\n1,2\n",
            'a.csv, field "item_id": no column holds the items\' ids (found: a, b); call it item_id',
        ),
        ("b.json", '{"a": 1}', "b.json: the file holds neither a list of objects nor an object"),
        ("c.json", "[1", "c.json: the file is not readable as json"),
        ("d.jsonl", '{"a": 1\n', "d.jsonl, row 1: the file is not readable as jsonl"),
        ("e.csv", "id,title\n1,a\n1,b\n", 'e.csv, row 2, field "item_id": the id "1" occurs again'),
        ("f.csv", "", "f.csv: the file is empty"),
        ("h.csv", "id,title,brand\n0,a,b\n1,only\n", "h.csv, row 3: the row has 2 fields where 3 are needed"),
        ("i.csv", 'id,title"\n0,a\n1,b\n', "i.csv, row 1: the column 'title\"' has a quote"),
        ("i.csv", 'id,"title\n0,a\n1,b\n', "i.csv, row 1: the row is not CSV"),
        ("i.csv", "id,title\r0,a\r1,b\r", "i.csv: the lines end with carriage returns alone"),
        ("i.csv", "id,title,title\n0,a,b\n", 'i.csv, row 1, field "title": the column occurs twice'),
        (
            "j.json",
            '{"0": {"title": "a"}, "0": {}}',
            'j.json: the file is not readable as json (the key "0" occurs twice)',
        ),
        ("j.json", '[{"id": true}]', 'j.json, row 1, field "id": the value true is not text'),
        ("j.json", '[{"id": "a\\ud800"}]', 'j.json, row 1, field "id": the id'),
        ("j.json", '[{"id": 1}, {"id": 2, "title": {"a": "x", "b": "y"}}]', 'j.json, row 2, field "title"'),
        ("g.parquet", "x", "g.parquet: the file is not readable as parquet"),
    ],
)
def test_what_does_not_read_is_named(tmp_path, name, text, what):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        load_items(tmp_path / name)
    assert what in str(error.value)


def test_numbered_items_must_be_numbered_without_gaps(tmp_path):
    pl.DataFrame({"item_idx": [0, 2], "title": ["a", "b"]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="not a numbering from 0 to 1"):
        load_items(tmp_path / "t.parquet")


def test_nested_and_missing_texts_of_json(tmp_path):
    rows = [
        {"id": 1, "title": float("nan"), "categories": [["Toys", "Games"]], "price": float("nan")},
        {
            "id": 2,
            "title": "half \ud83d",
            "categories": [{"n": 1, "name": "Toys &amp; Games"}],
            "name": {"not": "used"},
        },
        {"id": 3, "title": 1984, "categories": None},
    ]
    (tmp_path / "items.json").write_text(json.dumps(rows))
    assert load_items(tmp_path / "items.json").items.select("item_id", "title", "categories").rows() == [
        ("1", "", ["Toys", "Games"]),
        ("2", "half \ufffd", ["Toys & Games"]),
        ("3", "1984", []),
    ]


def test_lists_written_by_python_and_line_breaks_in_quotes(tmp_path):
    (tmp_path / "items.csv").write_text("id,title,categories\n1,\"two\nlines\",\"['Beauty', 'Makeup']\"\n2,x,\n")
    assert load_items(tmp_path / "items.csv").items.select("title", "categories").rows() == [
        ("two lines", ["Beauty", "Makeup"]),
        ("x", []),
    ]


def test_spaces_around_names_and_values_separate_as_none_do(tmp_path):
    (tmp_path / "i.csv").write_text('brand, title , item_id\nb, "A, b", 0 \n, B c,  1\n')
    items = load_items(tmp_path / "i.csv").items
    assert items["item_id"].to_list() == ["0", "1"]
    assert items["title"].to_list() == ["A, b", "B c"]
    assert items["brand"].to_list() == ["b", ""]


def test_a_dataset_may_be_given_with_its_layout(tmp_path):
    (tmp_path / "events.json").write_text('{"0": [0, 1], "1": [1]}')
    (tmp_path / "D.inter").write_text("user_id:token\titem_id:token\nu\ta\n")
    assert load_items(f"recbole:{tmp_path / 'D.inter'}").num_events == 1
