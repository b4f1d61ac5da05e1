from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from macrec.data.curio import curio
from macrec.data.dataset import Dataset, item_table
from macrec.data.formats import parquet_save
from macrec.data.formats.parquet import load_parquet
from macrec.data.formats.parquet_save import save_parquet
from macrec.data.histories import Histories
from macrec.data.images import FolderImages, NoImages, PackedImages
from macrec.data.item_file import load_items
from macrec.data.reading import parquet_table
from macrec.data.reading.parquet_footer import unpacked_bytes
from macrec.data.split import leave_one_out
from macrec.encoders.hog_color import HogColorEncoder
from macrec.errors import DataError

FAST = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def picture(color):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), color).save(buffer, "PNG")
    return buffer.getvalue()


class Drawn(NoImages):
    """Pictures that exist only when opened, like those of the built-in catalog."""

    fingerprint = "drawn"

    def __init__(self, num_items):
        self.present = np.ones(num_items, bool)

    def open(self, row):
        return Image.new("RGB", (16, 16), (row * 40, 90, 200))


def dataset(sequences, images=None, **columns):
    num_items = 4
    items = item_table(
        pl.DataFrame(
            {
                "item_id": [f"i{row}" for row in range(num_items)],
                "title": ["one", "", "two", ""],
                "categories": [["a", "b"], [], ["c,d"], []],
                "price": [1.5, None, 2.0, 3.0],
                **columns,
            }
        ),
        file="items",
    )
    histories = Histories.from_lists(sequences)
    users = pl.Series("user_id", [f"u{user}" for user in range(len(sequences))])
    return Dataset("toy", items, histories, users, images or NoImages(num_items), "a test")


def same(again, before):
    assert again.fingerprint == before.fingerprint
    assert again.items.drop("image").equals(before.items.drop("image"))
    assert again.user_ids.to_list() == before.user_ids.to_list()
    assert again.histories.behavior_names == before.histories.behavior_names
    assert (again.name, again.source) == (before.name, before.source)


@pytest.mark.slow
@FAST
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 2)), min_size=1), min_size=1),
    st.booleans(),
    st.booleans(),
)
def test_round_trip(tmp_path, events, timed, named):
    before = dataset([[item for item, _, _ in history] for history in events])
    flat = [event for history in events for event in history]
    before = replace(
        before,
        histories=replace(
            before.histories,
            timestamps=np.array([time for _, time, _ in flat], np.int64) if timed else None,
            behaviors=np.array([kind for _, _, kind in flat], np.int8) if named else None,
            behavior_names=("view", "buy", "cart") if named else (),
        ),
    )
    same(load_parquet(save_parquet(before, tmp_path / "out")), before)


def test_round_trip_keeps_the_bytes_of_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_save, "BATCH_BYTES", 1)  # every picture a batch of its own
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.png").write_bytes(picture("red"))
    (folder / "deep" / "b.png").write_bytes(picture("blue"))
    files = [None, "deep/b.png", None, "a.png"]
    loose = dataset([[0, 1]], FolderImages(folder, files, list("wxyz")), image=files)
    packed = load_parquet(save_parquet(loose, tmp_path / "out"))
    assert isinstance(packed.images, PackedImages)
    same(packed, loose)
    assert packed.items["image"].to_list() == files
    same(load_parquet(save_parquet(packed, tmp_path / "out2")), loose)


def test_drawn_pictures_are_encoded_and_stay_the_same_from_then_on(tmp_path):
    before = dataset([[0, 1, 2, 3]], Drawn(4))
    saved = load_parquet(save_parquet(before, tmp_path / "out"))
    for row in range(4):
        color = np.asarray(saved.images.open(row), int)
        assert color.shape == (16, 16, 3)
        assert np.abs(color - [row * 40, 90, 200]).max() <= 6
    assert load_parquet(save_parquet(saved, tmp_path / "again")).fingerprint == saved.fingerprint


def test_pictures_may_be_files_in_a_folder(tmp_path):
    pl.DataFrame({"item_id": [1, 2], "image_file": ["1.png", None]}).write_parquet(tmp_path / "items.parquet")
    pl.DataFrame({"user_id": ["u"], "item_id": ["2"]}).write_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(DataError, match=r"neither images.parquet nor a folder images"):
        load_parquet(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.png").write_bytes(picture("red"))
    assert load_parquet(tmp_path).images.present.tolist() == [True, False]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("load", [load_parquet, lambda folder: load_items(folder / "items.parquet")])
def test_an_item_whose_picture_does_not_decode_has_none_and_is_named(tmp_path, packed, load):
    data = {"red": picture("red"), "cut": picture("blue")[:-30], "noise": b"noise", "blue": picture("blue")}
    names = [f"{name}.png" for name in data]
    write(tmp_path, {"item_id": [*data, "bare"], "image_file": [*names, None]}, {"user_id": [1], "item_id": ["red"]})
    if packed:
        pl.DataFrame({"item_id": [*data], "bytes": [*data.values()]}).write_parquet(tmp_path / "images.parquet")
    else:
        (tmp_path / "images").mkdir()
        for name in data:
            (tmp_path / "images" / f"{name}.png").write_bytes(data[name])
    dataset = load(tmp_path)
    assert dataset.images.present.tolist() == [True, False, False, True, False]
    assert dataset.items["image"].to_list() == ["red.png", None, None, "blue.png", None]
    (note,) = dataset.notes
    assert note.startswith("2 of 4 pictures do not decode, so that their items have none: item cut (")
    assert "item noise (no image format" in note
    encoder = HogColorEncoder(size=24)
    assert np.isfinite(encoder.encode(dataset, np.flatnonzero(encoder.present(dataset)))).all()


def test_a_failed_save_leaves_the_old_folder(tmp_path, monkeypatch):
    save_parquet(dataset([[0, 1]]), tmp_path / "out")
    before = load_parquet(tmp_path / "out").fingerprint

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(parquet_save, "encoded", fail)
    with pytest.raises(Exception, match="disk full"):
        save_parquet(dataset([[2, 3]], Drawn(4)), tmp_path / "out")
    assert load_parquet(tmp_path / "out").fingerprint == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match="the folder holds something else"):
        save_parquet(curio("tiny"), tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_history_is_not_saved(tmp_path):
    with pytest.raises(DataError, match="user u1: the history is empty"):
        save_parquet(dataset([[0], []]), tmp_path / "out")


def test_split_column_says_what_leave_one_out_does(tmp_path):
    before = dataset([[0, 1, 2, 3], [1, 2], [2, 1, 0]])
    events = pl.read_parquet(save_parquet(before, tmp_path / "out") / "interactions.parquet")
    split = leave_one_out(before.histories)
    for part, samples in (("valid", split.valid), ("test", split.test)):
        assert np.flatnonzero((events["split"] == part).to_numpy()).tolist() == samples.target.tolist()
    assert events["pos"].to_list() == [0, 1, 2, 3, 0, 1, 0, 1, 2]


def write(folder, items, events):
    if items is not None:
        pl.DataFrame(items).write_parquet(folder / "items.parquet")
    pl.DataFrame(events).write_parquet(folder / "interactions.parquet")
    return folder


def histories(dataset):
    ids = dataset.items["item_id"]
    return {u: ids.gather(h).to_list() for u, h in zip(dataset.user_ids, dataset.histories, strict=True)}


EVENTS = {"user_id": ["v", "u", "v", "v"], "item_id": [10, 10, 20, 30]}


def test_pos_orders_before_timestamp_before_the_file(tmp_path):
    items = {"item_id": ["30", "20", "10"]}
    assert histories(load_parquet(write(tmp_path, items, EVENTS))) == {"v": ["10", "20", "30"], "u": ["10"]}
    timed = {**EVENTS, "timestamp": [5, 1, 5, 2]}
    dataset = load_parquet(write(tmp_path, items, timed))
    assert list(histories(dataset).items()) == [("v", ["30", "10", "20"]), ("u", ["10"])]
    assert dataset.histories.timestamps.tolist() == [2, 5, 5, 1]
    placed = {**timed, "pos": [1, 0, 0, 2]}
    assert histories(load_parquet(write(tmp_path, items, placed)))["v"] == ["20", "10", "30"]


def test_item_idx_fixes_the_rows(tmp_path):
    items = {"item_id": [30, 20, 10], "item_idx": [2, 0, 1]}
    assert load_parquet(write(tmp_path, items, EVENTS)).items["item_id"].to_list() == ["20", "10", "30"]


def test_items_are_those_met_without_an_item_table(tmp_path):
    assert load_parquet(write(tmp_path, None, EVENTS)).items["item_id"].to_list() == ["10", "20", "30"]
    numbered = {"user_idx": [1, 0], "item_idx": [7, 3]}
    assert histories(load_parquet(write(tmp_path, None, numbered))) == {"1": ["7"], "0": ["3"]}


def test_events_may_name_items_by_index_only(tmp_path):
    items = {"item_id": ["a", "b"], "item_idx": [1, 0]}
    events = {"user_id": ["u", "u"], "item_idx": [1, 0]}
    assert histories(load_parquet(write(tmp_path, items, events))) == {"u": ["a", "b"]}


ITEMS = {"item_id": ["10", "20", "30"]}


@pytest.mark.parametrize(
    ("items", "events", "words"),
    [
        ({"title": ["a"]}, EVENTS, ["items.parquet", '"item_id"', "missing"]),
        ({"item_id": ["10", "20", "10"]}, EVENTS, ["items.parquet", "row 3", '"10" occurs again']),
        ({**ITEMS, "title": [True, False, True]}, EVENTS, ["items.parquet", '"title"', "true and false"]),
        ({**ITEMS, "item_idx": [0, 1, 3]}, EVENTS, ["items.parquet", '"item_idx"', "0 to 2"]),
        (ITEMS, {"item_id": ["10"]}, ["interactions.parquet", '"user_id"', "missing"]),
        (ITEMS, {"user_id": ["u"]}, ["interactions.parquet", '"item_id"', "missing"]),
        (ITEMS, {"user_id": [1.5], "item_id": ["10"]}, ['"user_id"', "holds numbers where an id"]),
        (ITEMS, {**EVENTS, "item_id": [10, 20, 40, 10]}, ["interactions.parquet", "row 3", '"40" of user "v"']),
        (ITEMS, {**EVENTS, "user_id": ["u", None, "v", "v"]}, ["row 2", '"user_id"', "empty"]),
        (ITEMS, {**EVENTS, "timestamp": [3, 2, None, 0]}, ["row 3", '"timestamp"', "missing"]),
        (ITEMS, {**EVENTS, "timestamp": [1.0, 2.0, 3.0, 4.0]}, ['"timestamp"', "holds numbers where whole seconds"]),
        (ITEMS, {"user_id": pl.Series([], dtype=pl.String), "item_id": pl.Series([], dtype=pl.String)}, ["no events"]),
        ({**ITEMS, "image_file": ["../x.png", None, None]}, EVENTS, ["item 10", "leaves the image folder"]),
        ({**ITEMS, "image_file": [None, "x.png", None]}, EVENTS, ["item 20", '"x.png" does not exist']),
        (
            {**ITEMS, "image_file": ["x", None, None], "image": ["y"] * 3},
            EVENTS,
            ['"image_file"', "also a column image"],
        ),
        (ITEMS, {**EVENTS, "pos": ["2", "10", "0", "1"]}, ['"pos"', "holds text where whole numbers"]),
        (ITEMS, {**EVENTS, "pos": [0, None, 0, 1]}, ["row 2", '"pos"', "missing"]),
        (ITEMS, {**EVENTS, "timestamp": pl.Series([1, 2, 1 << 63, 4], dtype=pl.UInt64)}, ["row 3", "too large"]),
        (ITEMS, {**EVENTS, "behavior": [["buy"]] * 4}, ['"behavior"', "holds lists of text where text"]),
        (ITEMS, {"user_id": ["u"] * 3, "item_idx": [0, 2, 3]}, ["row 3", '"item_idx"', "3 is not a row"]),
        (ITEMS, {"user_id": ["u"], "item_idx": [0.5]}, ['"item_idx"', "holds numbers where whole numbers"]),
    ],
)
def test_errors_name_the_place(tmp_path, items, events, words):
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError) as caught:
        load_parquet(write(tmp_path, items, events))
    assert all(word in str(caught.value) for word in [str(tmp_path), *words]), str(caught.value)


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        ({"item_id": [20], "bytes": [b"x"]}, ["item 10", '"a.png" is not among the pictures']),
        ({"item_id": [10, 10], "bytes": [b"x", b"y"]}, ["row 2", '"10" occurs again']),
        ({"item_id": [10], "bytes": ["x"]}, ['"bytes"', "holds text"]),
        ({"item_id": [10]}, ['"bytes"', "missing"]),
        ({"item_id": [[10]], "bytes": [b"x"]}, ['"item_id"', "holds lists of whole numbers where an id"]),
    ],
)
def test_errors_of_packed_pictures(tmp_path, pictures, words):
    write(tmp_path, {**ITEMS, "image_file": ["a.png", None, None]}, EVENTS)
    pl.DataFrame(pictures).write_parquet(tmp_path / "images.parquet")
    with pytest.raises(DataError) as caught:
        load_parquet(tmp_path)
    assert all(word in str(caught.value) for word in ["images.parquet", *words]), str(caught.value)


@pytest.mark.parametrize("kind", [pl.UInt8, pl.UInt64, pl.Int128])
def test_numbers_of_any_width(tmp_path, kind):
    events = {**EVENTS, "pos": pl.Series([1, 0, 1, 0], dtype=kind), "timestamp": pl.Series([9, 8, 7, 6], dtype=kind)}
    plain = {**EVENTS, "pos": [1, 0, 1, 0], "timestamp": [9, 8, 7, 6]}
    one, two = (load_parquet(write(tmp_path, ITEMS, table)) for table in (events, plain))
    assert one.fingerprint == two.fingerprint and one.histories.timestamps.dtype == np.int64
    for name in ("timestamp", "pos"):
        wide = pl.Series([1 << 100, 1, 2, 3], dtype=pl.Int128)
        with pytest.raises(DataError, match=f'row 1, field "{name}": the number is too large'):
            load_parquet(write(tmp_path, ITEMS, {**EVENTS, name: wide}))


def test_columns_that_say_nothing_are_as_if_they_were_not_there(tmp_path):
    empty = {
        name: pl.Series([None] * 4, dtype=pl.Null) for name in ("timestamp", "pos", "item_idx", "behavior", "split")
    }
    nan = pl.Series([float("nan")] * 3)
    dataset = load_parquet(write(tmp_path, {**ITEMS, "title": nan, "categories": nan}, {**EVENTS, **empty}))
    assert dataset.histories.timestamps is None and dataset.items["title"].to_list() == [""] * 3


def test_texts_and_categories_in_the_forms_people_have(tmp_path):
    items = {
        **ITEMS,
        "title": [["A &amp;"], ["B", "b"], None],
        "brand": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
        "description": [1984, 2001, None],
        "categories": ["['Toys', 'Games']", "Toys|Games", "Arts, Crafts,Yarn"],
    }
    dataset = load_parquet(write(tmp_path, items, EVENTS))
    assert dataset.items.select("title", "brand", "description", "categories").rows() == [
        ("A &", "x", "1984", ["Toys", "Games"]),
        ("B b", "y", "2001", ["Toys", "Games"]),
        ("", "x", "", ["Arts, Crafts", "Yarn"]),
    ]
    nested = {**ITEMS, "categories": [[["Toys"], ["Games"]], [["x"]], None]}
    assert load_parquet(write(tmp_path, nested, EVENTS)).items["categories"].to_list() == [["Toys", "Games"], ["x"], []]
    with pytest.raises(DataError, match=r'row 1, field "categories".*not a text or a list of texts'):
        load_parquet(write(tmp_path, {**ITEMS, "categories": [[{"a": "x", "b": "y"}]] * 3}, EVENTS))


def test_a_file_of_more_rows_than_fit_is_refused(tmp_path, monkeypatch):
    write(tmp_path, ITEMS, {"user_id": ["u"] * 9_000, "item_id": ["10"] * 9_000})
    assert load_parquet(tmp_path).num_events == 9_000
    monkeypatch.setattr(parquet_table, "ROWS", 10)
    monkeypatch.setattr(parquet_table, "ROWS_PER_BYTE", 1)
    with pytest.raises(DataError, match="claims to hold 9,000 rows"):
        load_parquet(tmp_path)


@pytest.mark.slow
def test_the_footer_says_how_large_a_file_is_unpacked(tmp_path, monkeypatch):
    file = tmp_path / "x.parquet"
    table = pl.DataFrame({"a": ["x" * 1_000_000, "y"], "b": [1.5, None], "c": [[True], []]})
    sizes = []
    for kind in ("uncompressed", "zstd", "snappy"):
        table.write_parquet(file, compression=kind, row_group_size=1)
        sizes.append(unpacked_bytes(file))
    assert min(sizes) > 1_000_000 and max(sizes) - min(sizes) < 100
    data = file.read_bytes()
    for cut in range(0, len(data), 7):
        file.write_bytes(data[:cut] + data[-8:])
        assert unpacked_bytes(file) >= 0
    write(tmp_path, {**ITEMS, "title": ["x" * 1_000_000] * 3}, EVENTS)
    monkeypatch.setattr(parquet_table, "UNPACKED", 1 << 16)
    with pytest.raises(DataError, match=r"items.parquet: the file says it holds \d+ MB unpacked"):
        load_parquet(tmp_path)
    write(tmp_path, {**ITEMS, "image_file": ["a", "b", "c"]}, EVENTS)
    packed = pl.DataFrame({"item_id": ITEMS["item_id"], "bytes": [bytes([n]) * 1_000_000 for n in range(3)]})
    packed.write_parquet(tmp_path / "images.parquet")
    with pytest.raises(DataError, match=r"images.parquet: the file says it holds \d+ MB unpacked"):
        load_parquet(tmp_path)


def test_a_file_that_is_not_parquet(tmp_path):
    for data in (b"", b"no parquet"):
        (tmp_path / "interactions.parquet").write_bytes(data)
        with pytest.raises(DataError, match=r"interactions.parquet: the file is not readable as parquet"):
            load_parquet(tmp_path)
    with pytest.raises(DataError, match="no such file"):
        load_parquet(tmp_path / "none")
    write(tmp_path, ITEMS, EVENTS)
    for text in ("{", "[]", '{"name": 3}', '{"name": "\\ud800"}', "[" * 100_000):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(DataError, match=r"dataset.json"):
            load_parquet(tmp_path)
