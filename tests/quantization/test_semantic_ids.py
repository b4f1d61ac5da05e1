"""Semantic IDs: the table keeps what it is given, in every format, and refuses what cannot be one."""

import json
from dataclasses import replace

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


names = st.lists(st.text('ab01_ <é"\\\n', min_size=1, max_size=4) | st.integers(0, 20).map(str), unique=True)


@pytest.mark.slow
@given(tables, names, st.booleans())
def test_both_formats_give_back_what_was_saved(tmp_path_factory, codes, item_ids, sized):
    # Whatever the items are called: 0 to N-1 in any order, other numbers, or any text.
    ids = SemanticIds.from_codes(
        np.array(codes),
        None,
        (512,) * len(codes[0]) if sized else None,
        pl.Series([*item_ids, *"uvwxyzUVWXYZ"])[: len(codes)],
    )
    for ending in ("json", "parquet"):
        file = tmp_path_factory.getbasetemp() / f"ids.{ending}"
        ids.save(file)
        again = load_semantic_ids(file)
        assert again.codes.tolist() == codes and again.codes.dtype == np.int32
        assert again.item_ids.equals(ids.item_ids) and again.codebooks == ids.codebooks
        if ending == "parquet" or not sized:
            assert again.sizes == ids.sizes and again.sizes_from == ("recorded" if sized else "assumed")
        for order in (ids.item_ids, ids.item_ids.reverse()):
            assert again.of_items(order).codes.tolist() == ids.of_items(order).codes.tolist()


@pytest.mark.parametrize("ending", ["json", "parquet"])
def test_what_could_not_be_read_again_is_not_saved(tmp_path, ending):
    twice = SemanticIds.from_codes([[0], [1]], item_ids=pl.Series(["x", "x"]))
    with pytest.raises(DataError, match='item "x": the item has two IDs'):
        twice.save(tmp_path / f"ids.{ending}")
    for name in ("<b>", "a 1", "a__b", "", "_a", "é", "a" * 41):
        with pytest.raises(DataError, match="a codebook is called"):
            SemanticIds.from_codes([[0]], (name,)).save(tmp_path / f"ids.{ending}")
    assert not list(tmp_path.iterdir())


def test_json_is_keyed_by_item_and_numbered_as_the_published_code_reads_it(tmp_path):
    ids = SemanticIds.from_codes([[9], [7]], item_ids=pl.Series(["B01", "B00"]))
    assert ids.to_json() == {"B01": ["<a_9>"], "B00": ["<a_7>"]}
    assert ids.numbered().to_json() == {"0": ["<a_9>"], "1": ["<a_7>"]}
    ids.numbered().save(tmp_path / "ids.json")
    assert load_semantic_ids(tmp_path / "ids.json").of_items(ids.item_ids).codes.tolist() == [[9], [7]]


def test_parquet_keeps_names_sizes_and_item_ids(tmp_path):
    ids = SemanticIds.from_codes([[1, 2], [0, 3]], ("root", "leaf"), (16, 64), pl.Series(["x", "y"]))
    ids.save(tmp_path / "ids.parquet")
    again = load_semantic_ids(tmp_path / "ids.parquet")
    assert (again.codebooks, again.sizes, again.item_ids.to_list()) == (("root", "leaf"), (16, 64), ["x", "y"])


def test_joined_tables_stand_side_by_side_and_know_where_from(tmp_path):
    names = pl.Series(["x", "y"])
    text = SemanticIds.from_codes([[1, 2], [0, 3]], ("text_a", "text_b"), (4, 8), names)
    image = SemanticIds.from_codes([[5], [6]], ("image_a",), (7,), names)
    joined = SemanticIds.join(**{"text": text, "image": image})
    assert joined.codes.tolist() == [[1, 2, 5], [0, 3, 6]] and joined.sizes == (4, 8, 7)
    assert joined.codebooks == ("text_a", "text_b", "image_a") and joined.groups == ("text", "text", "image")
    assert joined.of_items(pl.Series(["y"])).groups == joined.groups and not text.groups
    joined.save(tmp_path / "ids.parquet")
    again = load_semantic_ids(tmp_path / "ids.parquet")
    assert again.groups == joined.groups and again.codebooks == joined.codebooks
    assert SemanticIds.join(text=text, image=SemanticIds.from_codes([[5], [6]], item_ids=names)).sizes_from == "assumed"
    with pytest.raises(ValueError, match="the same items"):
        SemanticIds.join(text=text, image=image.of_items(pl.Series(["y", "x"])))
    with pytest.raises(ValueError, match="2 levels need as many groups"):
        replace(text, groups=("text",))


def test_json_is_that_of_the_published_code(tmp_path):
    ids = SemanticIds.from_codes([[183, 70, 232, 6], [0, 1, 2, 3]], ("A", "B", "C", "D"), (256,) * 4)
    ids.save(tmp_path / "ids.json")
    written = json.loads((tmp_path / "ids.json").read_text())
    assert written == {"0": ["<A_183>", "<B_70>", "<C_232>", "<D_6>"], "1": ["<A_0>", "<B_1>", "<C_2>", "<D_3>"]}


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


def test_levels_that_share_a_codebook_are_assumed_to_share_its_size():
    ids = SemanticIds.from_codes([[3, 7, 0], [0, 0, 9]], ("root", "leaf", "leaf"))
    assert ids.sizes == (4, 10, 10) and ids.sizes_from == "assumed"


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
        (([[2**31]],), "whole numbers below 2,147,483,648"),
        ((np.array([[2**32]]),), "whole numbers below"),
        (([[0.5]],), "whole numbers below"),
        (([[0]], ("a",), (10**20,)), "has 100,000,000,000,000,000,000 codewords"),
        (([[0]], ("a",), (0,)), "has 0 codewords"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SemanticIds.from_codes(*arguments)


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
