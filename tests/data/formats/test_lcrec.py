from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from macrec.data.dataset import from_events
from macrec.data.formats import lcrec, lcrec_save
from macrec.data.formats.lcrec import load_lcrec
from macrec.data.formats.lcrec_save import save_lcrec
from macrec.data.images import FolderImages
from macrec.data.reading.text_files import Piece
from macrec.data.reading.text_files import pieces as real_pieces
from macrec.errors import DataError

NAMES = st.text(st.characters(categories=["L", "N", "P"], exclude_characters=",\t"), min_size=1, max_size=6)


def write(folder, inter, items=None, item2id=None, user2id=None):
    (folder / "D.inter.json").write_text(inter if isinstance(inter, str) else json.dumps(inter))
    if items is not None:
        (folder / "D.item.json").write_text(items if isinstance(items, str) else json.dumps(items))
    for suffix, ids in (("item2id", item2id), ("user2id", user2id)):
        if ids is not None:
            (folder / f"D.{suffix}").write_text("".join(f"{name}\t{number}\n" for name, number in ids))
    return folder


@pytest.mark.slow
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=5), min_size=1, max_size=6),
    st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=3)), min_size=5, max_size=5),
)
def test_round_trip(tmp_path, sequences, texts):
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(5)],
            "title": [title for title, _ in texts],
            "categories": pl.Series(
                [[*categories, "Arts, Crafts"] for _, categories in texts], dtype=pl.List(pl.String)
            ),
        }
    )
    events = pl.DataFrame(
        [(f"u{u}", f"i{row}") for u, sequence in enumerate(sequences) for row in sequence],
        schema=["user_id", "item_id"],
        orient="row",
    )
    dataset = from_events("D", events, items, events_file="e", items_file="i")
    again = load_lcrec(save_lcrec(dataset, tmp_path / "out"))
    assert again.items.equals(dataset.items)
    assert again.user_ids.equals(dataset.user_ids)
    assert again.fingerprint == dataset.fingerprint
    assert again.name == "D"


def test_round_trip_keeps_pictures(tmp_path):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (8, 8), "navy").save(tmp_path / "in" / "a.png")
    images = FolderImages(tmp_path / "in", ["a.png", None], ["x", "y"])
    items = pl.DataFrame({"item_id": ["x", "y"], "image": ["a.png", None]})
    events = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["y", "x"]})
    dataset = from_events("D", events, items, events_file="e", items_file="i", images=images)
    again = load_lcrec(save_lcrec(dataset, tmp_path / "out"))
    assert again.fingerprint == dataset.fingerprint
    assert again.images.present.tolist() == [True, False]
    info = tmp_path / "out" / "D_images_info.json"
    info.write_text(info.read_text().replace("0.png", "../D.item.json"))
    with pytest.raises(DataError, match=r"item x.*leaves the image folder"):
        load_lcrec(tmp_path / "out")
    info.write_text(info.read_text().replace("../D.item.json", "0.png"))
    (tmp_path / "out" / "images" / "0.png").unlink()
    again = load_lcrec(tmp_path / "out")
    assert not again.images.present.any()
    assert again.notes == (
        "1 picture files are not in images/: 0.png",
        "1 of 1 items that name a picture have no file that is one",
    )


@pytest.mark.parametrize(("key", "row"), [("A", 0), ("1", 1)], ids=["by id", "by row"])
def test_pictures_are_named_by_id_or_else_by_row(tmp_path, key, row):
    (tmp_path / "D.inter.json").write_text('{"0": [0, 1]}')
    (tmp_path / "D.item2id").write_text("A\t0\nB\t1\n")
    (tmp_path / "D_images_info.json").write_text(json.dumps({key: ["a.png"]}))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    assert load_lcrec(tmp_path).images.present.tolist() == [row == 0, row == 1]


def test_pictures_of_nobody_are_named(tmp_path):
    (tmp_path / "D.inter.json").write_text('{"0": [0, 1]}')
    (tmp_path / "D_images_info.json").write_text('{"B00X": ["a.png"]}')
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError, match=r'images_info.json: the key "B00X" is neither the id nor the row of an item'):
        load_lcrec(tmp_path)


def test_ids_that_break_the_table_are_not_saved(tmp_path):
    items, events = pl.DataFrame({"item_id": ["a\tb"]}), pl.DataFrame({"user_id": ["u"], "item_id": ["a\tb"]})
    with pytest.raises(DataError, match="tab or a line break"):
        save_lcrec(from_events("D", events, items, events_file="e", items_file="i"), tmp_path / "out")


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    dataset = load_lcrec(write(tmp_path, {"0": [0, 1]}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match="the folder holds something else"):
        save_lcrec(dataset, tmp_path)  # a published dataset, perhaps with files of which we know nothing
    assert sorted(tmp_path.iterdir()) == before
    save_lcrec(dataset, tmp_path / "out")
    save_lcrec(dataset, tmp_path / "out")
    (tmp_path / "out" / "D.index.json").write_text("{}")
    with pytest.raises(DataError, match="the folder holds something else"):
        save_lcrec(dataset, tmp_path / "out")


def test_a_name_that_is_too_long_for_a_file_is_refused(tmp_path):
    dataset = replace(load_lcrec(write(tmp_path, {"0": [0, 1]})), name="é" * 120)
    with pytest.raises(DataError, match="cannot begin a file name; rename the dataset"):
        save_lcrec(dataset, tmp_path / "out")
    save_lcrec(replace(dataset, name="é" * 110), tmp_path / "out")


def test_a_failed_save_leaves_the_old_folder(tmp_path, monkeypatch):
    dataset = load_lcrec(write(tmp_path, {"0": [0, 1]}))
    save_lcrec(dataset, tmp_path / "out")
    before = sorted(path.name for path in (tmp_path / "out").iterdir())

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(lcrec_save, "write_json", fail)
    with pytest.raises(OSError, match="disk full"):
        save_lcrec(dataset, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("size", [1, 7, 20, 1 << 20])
def test_histories_are_the_same_whatever_the_piece_size(tmp_path, monkeypatch, size):
    inter = {str(u): [u % 3, (u + 1) % 3] * (1 + u % 4) for u in range(9)}
    write(tmp_path, json.dumps(inter, indent=1 if size == 7 else None) + "\n")

    def small(path, _, *, end) -> list[Piece]:
        return real_pieces(path, size, end=end)

    monkeypatch.setattr(lcrec, "pieces", small)
    dataset = load_lcrec(tmp_path)
    assert {user: history.tolist() for user, history in zip(dataset.user_ids, dataset.histories, strict=True)} == inter


def test_ids_texts_and_pictures_come_from_the_files_beside(tmp_path):
    texts = {
        "1": {"title": "t1", "description": "d1", "brand": "b1", "categories": "Arts, Crafts & Sewing,Yarn"},
        "0": {"title": "t0", "description": "", "brand": None, "categories": ["a", "b"]},
    }
    write(tmp_path, {"1": [1, 0], "0": [0]}, texts, [("B1", 1), ("B0", 0), ("B2", 2)], [("A", 0), ("B", 1)])
    dataset = load_lcrec(tmp_path / "D")
    assert dataset.items.drop("image").rows() == [
        ("B0", "t0", "", ["a", "b"], ""),
        ("B1", "t1", "b1", ["Arts, Crafts & Sewing", "Yarn"], "d1"),
        ("B2", "", "", [], ""),
    ]
    assert dataset.user_ids.to_list() == ["B", "A"]
    assert dataset.histories[0].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"inter": {"0": [0], "1": []}}, ['user "1"', "history is empty"]),
        ({"inter": {"0": [0, "1"]}}, ['user "0"', "whole numbers"]),
        ({"inter": {"0": [0, True]}}, ['user "0"', "whole numbers"]),
        ({"inter": {"0": 5}}, ['user "0"', "whole numbers"]),
        ({"inter": '{"0": [0], "0": [1]}'}, ['"0" occurs again']),
        ({"inter": '{"0": [0], "1": [1]'}, ["cut short"]),
        ({"inter": '{"0": [0], "1": [1'}, ["not JSON"]),
        ({"inter": "[[0], [1]]"}, ["not JSON"]),
        ({"inter": '{"0": [0]} {"1": [0]}'}, ["not JSON"]),
        ({"inter": "{}"}, ["no events"]),
        ({"inter": ""}, ["empty"]),
        ({"inter": {"0": [0, 2]}, "item2id": [("a", 0), ("b", 1)]}, ["item 2", 'user "0"', "D.item2id"]),
        ({"inter": {"0": [0], "1": [-1]}}, ["item -1", 'user "1"']),
        ({"inter": {"0": [0]}, "item2id": [("a", 0), ("b", 0)]}, ["each once", "D.item2id"]),
        ({"inter": {"0": [0]}, "item2id": [("a", 0), ("a", 1)]}, ['"a" occurs again']),
        ({"inter": {"0": [0]}, "item2id": [("a", "x")]}, ["row 1", "whole number"]),
        ({"inter": {"0": [0]}, "items": {"0": {"title": False}}}, ["item 0", '"title"', "not text"]),
        ({"inter": {"0": [0]}, "items": {"a": {}}}, ["D.item.json", "not 0 to 0"]),
        ({"inter": '\x0b{"0": [0]}'}, ["not JSON"]),
        ({"inter": {"0": [0]}, "items": {"\ud83d": {}}}, ["D.item.json", 'the item "0" is missing']),
        ({"inter": {"0": [0]}, "items": {"0": {}, "2": {}}}, ["D.item.json", 'the item "1" is missing']),
        ({"inter": {"0": [0]}, "items": {"0": "text"}}, ["D.item.json", "item 0", "object of texts"]),
        ({"inter": {"0": [0]}, "items": '{"0": {"title": "a"}, "0": {"title": "b"}}'}, ['the key "0" occurs twice']),
        ({"inter": {"0": [0]}, "items": '{"0": {"title": "a", "title": "b"}}'}, ['the key "title" occurs twice']),
        ({"inter": {"0": [0]}, "items": []}, ["JSON object"]),
        ({"inter": {"0": [0]}, "items": {"1": {}}, "item2id": [("a", 0)]}, ['item "1" is not in D.item2id']),
        ({"inter": {"7": [0]}, "user2id": [("a", 0)]}, ['user "7" is not in D.user2id']),
        ({"inter": {"0": [0], "00": [0]}, "user2id": [("a", 0)]}, ['user "00" occurs again']),
        ({"inter": {"0": [0], "1": [0]}, "user2id": [("a", 0), ("a", 1)]}, ["D.user2id", '"a" occurs again']),
        ({"inter": {"0": [0, 1 << 70]}}, ['user "0"', "too large"]),
        ({"inter": {"0": [0, 4_000_000_000]}}, ["not 0 to 1", "without gaps"]),
        ({"inter": '{"\\ud800": [0]}'}, ["surrogates not allowed"]),
        ({"inter": '{"0": ' + "[" * 100_000 + "]}"}, ["nested too deeply"]),
        ({"inter": {"0": [0]}, "items": {"0": {}, "00": {}}, "item2id": [("a", 0)]}, ['item "00" is not in']),
    ],
)
def test_errors_name_the_place(tmp_path, files, words):
    with pytest.raises(DataError) as caught:
        load_lcrec(write(tmp_path, **files))
    assert all(word in str(caught.value) for word in [str(tmp_path), *words]), str(caught.value)


def test_a_folder_with_two_datasets_needs_a_name(tmp_path):
    write(tmp_path, {"0": [0]})
    (tmp_path / "E.inter.json").write_text('{"0": [0, 1]}')
    with pytest.raises(DataError, match=r"found: D.inter.json, E.inter.json"):
        load_lcrec(tmp_path)
    assert load_lcrec(tmp_path / "E").num_items == 2
