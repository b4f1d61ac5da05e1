"""Semantic IDs: the table keeps what it is given, in every format, and refuses what cannot be one."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization.semantic_ids import SemanticIds, level_names, load_semantic_ids

tables = st.tuples(st.integers(1, 12), st.integers(1, 5)).flatmap(
    lambda shape: st.lists(
        st.lists(st.integers(0, 300), min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]
    )
)


@given(tables)
def test_both_formats_give_the_codes_back(tmp_path_factory, codes):
    ids = SemanticIds.from_codes(np.array(codes))
    for ending in ("json", "parquet"):
        file = tmp_path_factory.mktemp("ids") / f"ids.{ending}"
        ids.save(file)
        again = load_semantic_ids(file)
        assert again.codes.tolist() == codes and again.codes.dtype == np.int32
        assert (again.codebooks, again.sizes) == (ids.codebooks, ids.sizes)
        assert again.item_ids.equals(ids.item_ids)


def test_parquet_keeps_names_sizes_and_item_ids(tmp_path):
    ids = SemanticIds.from_codes([[1, 2], [0, 3]], ("root", "leaf"), (16, 64), pl.Series(["x", "y"]))
    ids.save(tmp_path / "ids.parquet")
    again = load_semantic_ids(tmp_path / "ids.parquet")
    assert (again.codebooks, again.sizes, again.item_ids.to_list()) == (("root", "leaf"), (16, 64), ["x", "y"])


def test_json_is_that_of_the_published_code(tmp_path):
    ids = SemanticIds.from_codes([[183, 70, 232, 6], [0, 1, 2, 3]], ("A", "B", "C", "D"), (256,) * 4)
    ids.save(tmp_path / "ids.json")
    written = json.loads((tmp_path / "ids.json").read_text())
    assert written == {"0": ["<A_183>", "<B_70>", "<C_232>", "<D_6>"], "1": ["<A_0>", "<B_1>", "<C_2>", "<D_3>"]}


def test_items_of_a_json_come_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps({str(k): [f"<a_{k}>"] for k in (10, 2, *range(2), *range(3, 10))}))
    assert load_semantic_ids(tmp_path / "ids.json").codes[:, 0].tolist() == list(range(11))


def test_level_names_go_on_after_z():
    names = level_names(30)
    assert names[:3] == ("a", "b", "c") and names[25:28] == ("z", "aa", "ab") and len(set(names)) == 30


@given(st.permutations(range(9)), st.lists(st.integers(0, 8), max_size=12))
def test_the_rows_of_items_are_theirs_in_the_order_asked_for(order, wanted):
    codes = np.stack(np.unravel_index(order, (3, 4)), 1)
    ids = SemanticIds.from_codes(codes, ("x", "y"), (3, 5), pl.Series([f"item {item}" for item in order]))
    asked = pl.Series("other name", [f"item {item}" for item in wanted], pl.String)
    found = ids.of_items(asked)
    np.testing.assert_array_equal(found.codes, np.reshape([divmod(item, 4) for item in wanted], (-1, 2)))
    assert found.item_ids.to_list() == asked.to_list() and found.item_ids.name == "item_id"
    assert (found.codebooks, found.sizes) == (ids.codebooks, ids.sizes)


def test_items_may_be_asked_for_by_number():
    ids = SemanticIds.from_codes([[5], [6], [7]])
    assert ids.of_items(pl.Series([2, 0])).codes.tolist() == [[7], [5]]


def test_an_item_without_an_id_or_with_two_is_named():
    ids = SemanticIds.from_codes([[0], [1], [2]], item_ids=pl.Series(["a", "b", "c"]))
    with pytest.raises(DataError) as caught:
        ids.of_items(pl.Series(["c", "y", "a", "x"]))
    assert str(caught.value) == (
        'field "item_id": 2 items have no ID, such as y; give IDs for every item of the catalog.'
    )
    twice = SemanticIds.from_codes([[0], [1], [2]], item_ids=pl.Series(["a", "b", "b"]))
    with pytest.raises(DataError) as caught:
        twice.of_items(pl.Series(["a"]))
    assert str(caught.value) == "The item b has two IDs; keep one row per item."


def test_the_table_cannot_be_changed():
    source = np.array([[1, 2]], np.int32)
    ids = SemanticIds.from_codes(source)
    source[0, 0] = 9
    assert ids.codes.tolist() == [[1, 2]]
    with pytest.raises(ValueError, match="read-only"):
        ids.codes[0, 0] = 5


@given(tables)
def test_prefix_groups_are_equal_exactly_for_equal_prefixes(codes):
    groups = SemanticIds.from_codes(np.array(codes)).prefix_groups()
    for depth in range(len(codes[0])):
        prefixes = [tuple(code[: depth + 1]) for code in codes]
        number = {prefix: place for place, prefix in enumerate(sorted(set(prefixes)))}
        assert groups[:, depth].tolist() == [number[prefix] for prefix in prefixes]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0, 4]], ("a", "b"), (4, 4)), "item 0 has code 4 at level 1, whose codebook has 4"),
        (([[0, -1]], ("a", "b"), (4, 4)), "code -1 at level 1"),
        (([[0, 1]], ("a",), (4, 4)), "1 items at 2 levels"),
        (([0, 1],), r"codes must be \[N, L\]"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SemanticIds.from_codes(*arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ("{}", "not an object"),
        ('{"0": "<a_1>"}', 'item "0".*no list of tokens'),
        ('{"0": ["a1"]}', 'item "0".*no list of tokens'),
        ('{"0": ["<a_1>"], "2": ["<a_1>"]}', "not numbered from 0 to 1"),
        ('{"0": ["<a_1>"], "x": ["<a_1>"]}', "not numbered from 0 to 1"),
        ('{"0": ["<a_1>", "<b_1>"], "1": ["<a_1>"]}', "row 2.*1 codes where the first has 2"),
        ('{"0": ["<a_1>"], "1": ["<b_1>"]}', 'item "1".*called b here and a elsewhere'),
        ('{"0": ["<a_99999999999>"]}', "too large"),
        ('{"0": []}', "there are no codes"),
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
        ({"codes": [1, 2]}, "holds Int64"),
        ({"codes": [["a"]]}, "holds List"),
        ({"codes": [[1, 2], [1]]}, "row 2.*1 codes where the first has 2"),
        ({"codes": [[1, 2], None]}, "row 2.*0 codes"),
        ({"codes": [[1], [None]]}, "row 2.*missing, negative"),
        ({"codes": [[1], [-5]]}, "row 2.*missing, negative"),
    ],
)
def test_bad_parquet_is_named(tmp_path, columns, message):
    pl.DataFrame(columns).write_parquet(tmp_path / "ids.parquet")
    with pytest.raises(DataError, match=f"ids.parquet.*{message}"):
        load_semantic_ids(tmp_path / "ids.parquet")


def test_a_size_too_small_and_an_unknown_ending_are_refused(tmp_path):
    ids = SemanticIds.from_codes([[5]])
    ids.save(tmp_path / "ids.json")
    with pytest.raises(DataError, match="code 5 at level 0, whose codebook has 4"):
        load_semantic_ids(tmp_path / "ids.json", size=4)
    assert load_semantic_ids(tmp_path / "ids.json", size=8).sizes == (8,)
    with pytest.raises(DataError, match=r"neither \.parquet nor"):
        ids.save(tmp_path / "ids.txt")


def test_codebooks_named_by_modality_come_back_from_json(tmp_path):
    ids = SemanticIds.from_codes(np.array([[0, 3], [2, 1]]), ("text_a", "text_b"))
    ids.save(tmp_path / "ids.json")
    back = load_semantic_ids(tmp_path / "ids.json")
    assert back.codebooks == ids.codebooks
    np.testing.assert_array_equal(back.codes, ids.codes)


@pytest.mark.parametrize("name", ["ids.json", "ids.parquet"])
def test_nothing_but_semantic_ids_is_replaced_by_them(tmp_path, name):
    ids = SemanticIds.from_codes(np.array([[0, 1], [1, 0]]), ("a", "b"), (2, 2), pl.Series(["x", "y"]))
    ids.save(tmp_path / name)
    ids.save(tmp_path / name)
    (tmp_path / name).write_text('{"0": {"title": "lamp"}}')
    with pytest.raises(DataError, match=f"{name}: there is a file of this name already"):
        ids.save(tmp_path / name)
