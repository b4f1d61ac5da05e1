"""Files of semantic IDs as people have them: every kind gives the same table, and what is none is named."""

import gzip
import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization import id_files
from macrec.quantization.semantic_ids import SemanticIds, load_semantic_ids

CODES = [[1, 2, 0], [1, 0, 3], [0, 2, 1]]
KEYS = ["B2", "10", "B1"]
TOKENS = [[f"<{name}_{code}>" for name, code in zip("abc", row, strict=True)] for row in CODES]


def lines(*fields):
    return "\n".join(
        json.dumps(dict(zip(("item_id", "codes"), pair, strict=True))) for pair in zip(*fields, strict=True)
    )


def csv(*rows):
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


LISTS = [[key, *row] for key, row in zip(KEYS, CODES, strict=True)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.json", json.dumps(dict(zip(KEYS, TOKENS, strict=True)))),
        ("IDS.JSON", "\ufeff" + json.dumps(dict(zip(KEYS, CODES, strict=True)), indent=1)),
        ("ulmrec.json", json.dumps({key: " ".join(row) for key, row in zip(KEYS, TOKENS, strict=True)})),
        ("joined.json", json.dumps({key: "".join(row) for key, row in zip(KEYS, TOKENS, strict=True)})),
        ("ids.jsonl", lines(KEYS, CODES) + "\n\n"),
        ("ids.ndjson", lines(KEYS, TOKENS)),
        ("texts.jsonl", lines(KEYS, map(" ".join, TOKENS))),
        ("ids.csv", csv(["item_id", "c1", "c2", "c3"], *LISTS)),
        ("spaces.csv", csv(["item_id", " c1", " c2", " c3"], *[[f" {part} " for part in row] for row in LISTS])),
        ("blank.csv", "item_id,a,b,c\r\n\r\n" + csv(*LISTS).replace("\n", "\r\n\r\n")),
        ("ids.tsv", csv(["asin", "a", "b", "c"], *LISTS).replace(",", "\t")),
        ("tokens.csv", csv(["item_id", "sid"], *[[key, "".join(row)] for key, row in zip(KEYS, TOKENS, strict=True)])),
        ("list.csv", csv(["item", "codes"], *[[key, f'"{row}"'] for key, row in zip(KEYS, CODES, strict=True)])),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_texts_of_every_kind_give_the_same_ids(tmp_path, name, content, packed):
    file = tmp_path / (name + ".gz" * packed)
    file.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    ids = load_semantic_ids(file)
    assert (ids.codes.tolist(), ids.item_ids.to_list(), ids.codebooks) == (CODES, KEYS, ("a", "b", "c"))
    assert (ids.sizes, ids.sizes_from) == ((2, 3, 4), "assumed")


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ({"item_id": KEYS, "codes": CODES}, KEYS),
        ({"codes": TOKENS}, ["0", "1", "2"]),
        ({"item_id": [None] * 3, "codes": CODES}, ["0", "1", "2"]),
        ({"item_idx": [7, 8, 9], "codes": CODES}, ["7", "8", "9"]),
        ({"asin": KEYS, "a": [1, 1, 0], "b": [2, 0, 2], "c": [0, 3, 1]}, KEYS),
        ({"item_id": KEYS, "codes": pl.Series(CODES, dtype=pl.Array(pl.UInt8, 3))}, KEYS),
    ],
)
def test_parquet_of_every_kind_gives_the_same_ids(tmp_path, columns, keys):
    pl.DataFrame(columns).write_parquet(tmp_path / "ids.parquet")
    ids = load_semantic_ids(tmp_path / "ids.parquet")
    assert (ids.codes.tolist(), ids.item_ids.to_list()) == (CODES, keys)


def test_an_index_gives_the_order_and_stands_for_ids_only_where_there_are_none(tmp_path):
    table = pl.DataFrame({"item_idx": [2, 0, 1], "codes": [[2], [0], [1]], "item_id": ["c", "a", "b"]})
    for columns, keys in ((table.columns, ["a", "b", "c"]), (["item_idx", "codes"], ["0", "1", "2"])):
        table.select(columns).write_parquet(tmp_path / "ids.parquet")
        ids = load_semantic_ids(tmp_path / "ids.parquet")
        assert (ids.codes.ravel().tolist(), ids.item_ids.to_list()) == ([0, 1, 2], keys)


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.uint64])
def test_an_array_is_read_by_row(tmp_path, kind):
    np.save(tmp_path / "ids.npy", np.array(CODES, kind))
    ids = load_semantic_ids(tmp_path / "ids.npy", size=256)
    assert (ids.codes.tolist(), ids.item_ids.to_list()) == (CODES, ["0", "1", "2"])
    assert (ids.sizes, ids.sizes_from) == ((256,) * 3, "given")


def test_recorded_sizes_stand_whatever_size_is_given_for_files_that_do_not_say(tmp_path):
    SemanticIds.from_codes(CODES, sizes=(4, 4, 4)).save(tmp_path / "ids.parquet")
    for size in (None, 3, 256):
        ids = load_semantic_ids(tmp_path / "ids.parquet", size)
        assert (ids.sizes, ids.sizes_from) == ((4, 4, 4), "recorded")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('[["0", ["<a_1>"]]]', "not an object"),
        ("{}", "not an object"),
        ('{"0": ["a1"]}', 'item "0".*no list of tokens'),
        ('{"0": "a1"}', 'item "0".*no list of tokens'),
        ('{"0": ["<a_1>"], "1": "<a_1>"}', 'item "1".*no list of tokens'),
        ('{"0": ["<a_1>"], "1": [1]}', 'item "1".*no list of tokens'),
        ('{"0": "<a_1>", "1": "1"}', 'item "1".*no list of tokens'),
        ('{"0": [true]}', 'item "0".*no list of tokens'),
        ('{"0": [1.0]}', 'item "0".*no list of tokens'),
        ('{"0": {"a": 1}}', 'item "0".*no list of tokens'),
        ('{"0": null}', 'item "0".*no list of tokens'),
        ('{"0": ["<a_1>"], "1": ["<a_1>"], "1": ["<a_2>"]}', 'the key "1" occurs twice; keep one ID per item'),
        ('{"x": ["<a_1>", "<b_1>"], "y": ["<a_1>"]}', 'item "y".*1 codes where the first has 2'),
        ('{"0": ["<a_1>"], "1": ["<b_1>"]}', 'item "1".*called b here and a elsewhere'),
        ('{"0": ["<a_99999999999>"]}', 'item "0".*too large'),
        ('{"0": [-1]}', 'item "0".*negative'),
        (f'{{"0": [{10**30}]}}', 'item "0".*too large'),
        ('{"0": []}', "there are no codes"),
        ('{"0": ["<a_²>"]}', 'item "0".*no list of tokens'),
        ('{"\\ud800": ["<a_1>"]}', "not JSON"),
    ],
)
def test_bad_json_is_named(tmp_path, content, message):
    (tmp_path / "ids.json").write_text(content)
    with pytest.raises(DataError, match=f"ids.json.*{message}"):
        load_semantic_ids(tmp_path / "ids.json")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ids": [[1]]}, '"codes".*missing'),
        ({"item_id": ["x"]}, '"codes".*missing'),
        ({"codes": [1, 2]}, '"codes".*neither whole numbers nor tokens'),
        ({"codes": [[0.5]]}, '"codes".*neither whole numbers nor tokens'),
        ({"codes": [["a"]]}, "row 1.*no list of tokens"),
        ({"codes": [[1, 2], [1]]}, "row 2.*1 codes where the first has 2"),
        ({"codes": [[1, 2], None]}, "row 2.*0 codes"),
        ({"codes": [[1], [None]]}, "row 2.*missing, negative"),
        ({"codes": [[1], [-5]]}, "row 2.*missing, negative"),
        ({"codes": pl.Series([[1], [2**64 - 1]], dtype=pl.List(pl.UInt64))}, "row 2.*too large"),
        ({"item_id": ["x", "x"], "codes": [[1], [2]]}, 'item "x": the item has two IDs'),
        ({"item_id": [1, 1], "codes": [[1], [2]]}, 'item "1": the item has two IDs'),
        ({"item_id": ["x", None], "codes": [[1], [2]]}, 'row 2, field "item_id": the id is empty'),
        ({"item_id": [["x"], ["y"]], "codes": [[1], [2]]}, '"item_id": the column holds no ids'),
        ({"item_id": [0.5, 1], "codes": [[1], [2]]}, '"item_id": the column holds no ids'),
        ({"item_id": [True, False], "codes": [[1], [2]]}, '"item_id": the column holds no ids'),
        ({"item_idx": [0, 0], "codes": [[1], [2]]}, '"item_idx": the column is no numbering'),
        ({"item_idx": [0, None], "codes": [[1], [2]]}, '"item_idx"'),
        ({"item_id": ["x"], "title": ["Mug"]}, "row 1, field \"title\": 'Mug' is no code"),
    ],
)
def test_bad_parquet_is_named(tmp_path, columns, message):
    pl.DataFrame(columns).write_parquet(tmp_path / "ids.parquet")
    with pytest.raises(DataError, match=f"ids.parquet.*{message}"):
        load_semantic_ids(tmp_path / "ids.parquet")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"sizes": "[4,4]"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "[4,4,4.5]"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "[4,4,true]"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "null"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "7"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "oops"}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "[" * 100_000}, '"sizes".*list of 3 whole numbers'),
        ({"sizes": "[2,2,2]"}, '"sizes".*code 2 at level 1, whose codebook has 2'),
        ({"sizes": "[4000000000,4,4]"}, '"sizes".*4,000,000,000 codewords'),
        ({"sizes": f"[{10**40},4,4]"}, '"sizes".*codewords'),
        ({"sizes": "[-1,4,4]"}, '"sizes".*-1 codewords'),
        ({"codebooks": '["a","b"]'}, '"codebooks".*list of 3 names'),
        ({"codebooks": '["a","b",3]'}, '"codebooks".*list of 3 names'),
        ({"codebooks": '["a","b","<img src=x onerror=alert(1)>"]'}, '"codebooks".*is called'),
        ({"codebooks": '["a","b","`c`"]'}, '"codebooks".*is called'),
    ],
)
def test_bad_metadata_is_named(tmp_path, about, message):
    pl.DataFrame({"codes": CODES}).write_parquet(tmp_path / "ids.parquet", metadata=about)
    with pytest.raises(DataError, match=message) as caught:
        load_semantic_ids(tmp_path / "ids.parquet")
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.csv", "0,1,2\n1,2,3\n", "row 1: the line holds numbers where the names"),
        ("ids.csv", "item_id,a\nx,1\ny,\n", 'row 3, field "a": the code is missing'),
        ("ids.csv", "item_id,a\nx,1\n,2\n", 'row 3, field "item_id": the id is empty'),
        ("ids.csv", "item_id,a\nx,1\nx,2\n", 'item "x": the item has two IDs'),
        ("ids.csv", "item_id,a\nx,1\ny,1.5\n", "row 3, field \"a\": '1.5' is no code"),
        ("ids.csv", "item_id,a\nx,1,2\n", "not readable as a table"),
        ("ids.csv", "product,a\n7,1\n8,2\n", "which column holds the items' ids, and which are levels, is not clear"),
        ("ids.csv", ",item_id,a\n0,x,1\n1,y,2\n", "which column holds the items' ids, and which are levels"),
        ("ids.csv", "item_id,a\rx,1\ry,2\r", "row 1: the line holds numbers"),
        ("ids.csv", "item_id;a\nx;1\n", "row 2, field \"item_id;a\": 'x;1' is no code"),
        ("ids.csv", "item_id,a\n", "there are no codes"),
        ("ids.jsonl", '{"item_id": "x", "codes": [1]}\n{"codes": [2]}', "row 2: the line is no object with the fields"),
        ("ids.jsonl", '{"item_id": "x", "codes": [1], "codes": [2]}', "row 1: the line is no object"),
        ("ids.jsonl", '{"item_id": 1.5, "codes": [1]}', 'row 1, field "item_id"'),
        ("ids.jsonl", '{"item_id": "x", "codes": [1]}\n\n{"item_id": "y", "codes": 2}', "row 3.*no list of tokens"),
        ("ids.jsonl", "[1]", "row 1: the line is no object"),
        ("ids.json.gz", '{"0": [1]}', "not gzip"),
        ("ids.npy", "\x93NUMPY\x01\x00\x10\x00{'descr': ((((\n", "no array that NumPy reads without unpickling"),
        ("ids.txt", "0 1 2", "this is no table of IDs; give .json or .parquet"),
        ("ids", "0 1 2", "this is no table of IDs"),
        ("ids.parquet.gz", "abc", "this is no table of IDs"),
    ],
)
def test_other_bad_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_text(content, encoding="latin-1" if name == "ids.npy" else "utf-8")
    with pytest.raises(DataError, match=f"{name}.*{message}"):
        load_semantic_ids(tmp_path / name)


@pytest.mark.parametrize("array", [np.zeros(3, int), np.zeros((2, 2)), np.zeros((0, 2), int), np.array([[{}]])])
def test_arrays_that_hold_no_codes_are_named(tmp_path, array):
    np.save(tmp_path / "ids.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"ids.npy: the (array is|file is no array)"):
        load_semantic_ids(tmp_path / "ids.npy")


def test_codes_of_an_array_that_no_codebook_has_are_named(tmp_path):
    for value in (-1, 2**31):
        np.save(tmp_path / "ids.npy", np.array([[0], [value]]))
        with pytest.raises(DataError, match=r"row 2.*negative or too large"):
            load_semantic_ids(tmp_path / "ids.npy")
    np.save(tmp_path / "ids.npy", np.array([[0], [2**64 - 1]], np.uint64))
    with pytest.raises(DataError, match=r"row 2.*negative or too large"):
        load_semantic_ids(tmp_path / "ids.npy")


def test_more_text_than_is_sensible_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(id_files, "MOST_TEXT", 1 << 20)
    (tmp_path / "ids.json.gz").write_bytes(gzip.compress(b'{"0": [' + b" " * (4 << 20) + b"1]}"))
    with pytest.raises(DataError, match="longer than 1 megabytes; save so many IDs as parquet"):
        load_semantic_ids(tmp_path / "ids.json.gz")


@pytest.mark.slow
def test_every_published_set_is_the_same_in_every_format(shared_data, tmp_path):
    for known in json.loads((shared_data / "published_sids" / "stats.json").read_text()):
        ids = load_semantic_ids(shared_data / "published_sids" / known["file"])
        ids.save(tmp_path / "ids.parquet")
        ids.save(tmp_path / "ids.json")
        table = pl.DataFrame(ids.codes, schema=[f"c{level}" for level in range(ids.num_levels)])
        table.insert_column(0, ids.item_ids).write_csv(tmp_path / "ids.csv")
        np.save(tmp_path / "ids.npy", ids.codes)
        for ending in ("parquet", "json", "csv", "npy"):
            again = load_semantic_ids(tmp_path / f"ids.{ending}")
            np.testing.assert_array_equal(again.codes, ids.codes)
            assert ending == "npy" or again.item_ids.equals(ids.item_ids)
            assert [size - 1 for size in again.sizes] == known["max_code_per_level"] and again.sizes_from == "assumed"


SOURCE = json.dumps(dict(zip(KEYS, TOKENS, strict=True)), indent=1).encode()
PARTS = [
    b"null",
    b"-1",
    b"[[",
    b"{}",
    b'"',
    b"\\ud800",
    b"\0",
    b",",
    b"\n",
    b"9" * 20,
    b"<",
    b">",
    b"_",
    b"true",
    b"\xff",
]
cuts = st.tuples(st.integers(0, len(SOURCE)), st.integers(0, 20), st.sampled_from([b"", b" ", b"7", *PARTS]))


def plainly(data):
    """What a JSON of IDs says, by the standard library alone: key → list of (codebook, code)."""
    pairs = json.loads(data.decode("utf-8-sig"), object_pairs_hook=list)
    return {key: [re.fullmatch(r"<(\w+)_(\d+)>", token).groups() for token in tokens] for key, tokens in pairs}


@given(st.lists(cuts, min_size=1, max_size=3))
def test_damaged_json_is_refused_or_means_what_it_says(tmp_path_factory, changes):
    data = SOURCE
    for place, length, part in changes:
        data = data[:place] + part + data[place + length :]
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    file.write_bytes(data)
    try:
        ids = load_semantic_ids(file)
    except DataError as error:
        assert "\n" not in str(error) and str(error).startswith(str(file))
        return
    told = plainly(data)
    assert ids.item_ids.to_list() == list(told)
    for row, spelled in zip(ids.codes.tolist(), told.values(), strict=True):
        assert spelled == [(name, written) for name, (_, written) in zip(ids.codebooks, spelled, strict=True)]
        assert row == [int(written) for _, written in spelled]
