from __future__ import annotations

import pytest

from macrec.data.formats.recbole import load_recbole
from macrec.errors import DataError

EVENTS = """user_id:token\titem_id:token\trating:float\ttimestamp:float
u2\tb\t5\t30
u1\ta\t5\t20.0
u2\ta\t1\t10
u1\tc\t5\t20.0
u1\tb\t3\t19.5
"""


def write(folder, inter=EVENTS, items=None, name="D"):
    (folder / f"{name}.inter").write_text(inter, encoding="utf-8")
    if items is not None:
        (folder / "D.item").write_text(items, encoding="utf-8")
    return folder


def histories(dataset):
    ids = dataset.items["item_id"]
    return {u: ids.gather(h).to_list() for u, h in zip(dataset.user_ids, dataset.histories, strict=True)}


def test_events_are_sorted_by_time_then_file_order(tmp_path):
    dataset = load_recbole(write(tmp_path))
    assert histories(dataset) == {"u2": ["a", "b"], "u1": ["b", "a", "c"]}
    assert dataset.histories.timestamps.tolist() == [10, 30, 19, 20, 20]
    assert list(histories(dataset)) == ["u2", "u1"]


def test_without_times_the_file_order_counts(tmp_path):
    dataset = load_recbole(write(tmp_path, "user_id:token\titem_id:token\nu\tb\nv\ta\nu\ta\n"))
    assert histories(dataset) == {"u": ["b", "a"], "v": ["a"]}
    assert dataset.histories.timestamps is None


def test_item_file_gives_texts_and_cold_items(tmp_path):
    items = (
        "item_id:token\tmovie_title:token_seq\tyear:float\tclass:token_seq\n"
        "c\tThe C\t1999\tDrama War\nb\tB\t\t\na\tA\t2000\tComedy\ncold\tX\t1\tWar\n"
    )
    dataset = load_recbole(write(tmp_path, items=items))
    assert dataset.items.select("item_id", "title", "categories", "year").rows() == [
        ("c", "The C", ["Drama", "War"], 1999.0),
        ("b", "B", [], None),
        ("a", "A", ["Comedy"], 2000.0),
        ("cold", "X", ["War"], 1.0),
    ]


def test_sequence_form_takes_the_longest_row_of_each_user(tmp_path):
    text = "user_id:token\titem_id_list:token_seq\titem_id:token\nu\ta\tb\nv\tc c\ta\nu\ta b c\td\nu\ta b\tc\n"
    assert histories(load_recbole(write(tmp_path, text))) == {"v": ["c", "c", "a"], "u": ["a", "b", "c", "d"]}


def test_sequence_form_without_a_target(tmp_path):
    text = "user_id:token\titem_id_list:token_seq\nu\ta b\nv\tc\n"
    assert histories(load_recbole(write(tmp_path, text, name="D.test") / "D.test.inter")) == {
        "u": ["a", "b"],
        "v": ["c"],
    }


@pytest.mark.parametrize(
    ("inter", "items", "words"),
    [
        ("user_id:token\ttimestamp:float\nu\t1\n", None, ['"item_id"', "missing"]),
        ("user_id\titem_id:token\nu\ta\n", None, ["row 1", "name:type"]),
        ("user_id:token\titem_id:token\nu\t\n", None, ["row 2", "empty"]),
        ("user_id:token\titem_id:token\nu\ta\tb\n", None, ["row 2", "3 fields"]),
        ("user_id:token\titem_id:token\ttimestamp:float\nu\ta\tx\n", None, ["row 2", "not a number"]),
        ("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1\nu\ta\tnan\n", None, ["row 3", "not a number"]),
        ("user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1e300\n", None, ["row 2", "not a number of seconds"]),
        ("user_id:token\titem_id:token\titem_id:float\nu\ta\t1\n", None, ["row 1", '"item_id"', "twice"]),
        ("user_id:token\titem_id:token\n", None, ["no rows"]),
        ("user_id:token\titem_id_list:token_seq\nu\ta\nv\t\n", None, ["row 3", "empty"]),
        ("user_id:token\titem_id_list:token_seq\nu\ta b\nu\tb\n", None, ["row 3", '"u"', "not a beginning"]),
        (EVENTS, "item_id:token\na\nb\n", ["D.inter", "row 5", '"c" of user "u1"']),
        (EVENTS, "item_id:token\na\nb\nc\na\n", ["D.item", "row 4", '"a" occurs again']),
        (EVENTS, "title:token\na\n", ["D.item", '"item_id"', "missing"]),
    ],
)
def test_errors_name_the_place(tmp_path, inter, items, words):
    with pytest.raises(DataError) as caught:
        load_recbole(write(tmp_path, inter, items))
    assert all(word in str(caught.value) for word in [str(tmp_path), *words]), str(caught.value)


def test_a_number_nobody_needs_blocks_nothing(tmp_path):
    items = "item_id:token\ttitle:token\tprice:float\tyear:float\n"
    items += "a\tA &amp; B\t—\t1999\nb\tB\t$5.00 - $9.99\t\nc\tC\t5\t1\n"
    dataset = load_recbole(write(tmp_path, items=items))
    assert dataset.items["title"].to_list() == ["A & B", "B", "C"]
    assert dataset.items["price"].to_list() == ["—", "$5.00 - $9.99", "5"]
    assert dataset.items["year"].to_list() == [1999.0, None, 1.0]


def test_sessions_stand_for_users(tmp_path):
    text = "session_id:token\titem_id_list:token_seq\titem_id:token\ns1\t1 2\t3\ns2\t2\t1\n"
    assert histories(load_recbole(write(tmp_path, text))) == {"s1": ["1", "2", "3"], "s2": ["2", "1"]}


def test_times_in_milliseconds_and_short_or_broken_rows_are_refused(tmp_path):
    for inter, items, words in [
        (EVENTS.replace("19.5", "1400000000000"), None, "row 6.*not in seconds"),
        (EVENTS.replace("u2\tb", "\ru2\tb"), None, "row 2: the line contains a carriage return"),
        (EVENTS, "item_id:token\ttitle:token\tbrand:token\na\tA\tx\nb\tB\nc\tC\tx\n", "row 3: the row has 2 fields"),
    ]:
        with pytest.raises(DataError, match=words):
            load_recbole(write(tmp_path, inter, items))
