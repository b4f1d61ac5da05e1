"""Files appear whole or not at all, and errors are one sentence wherever they travel."""

import json
import pickle

import pytest

from macrec.errors import DataError
from macrec.files import replacing, write_json


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"kept": 1})
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(file.read_text()) == {"kept": 1} and list(tmp_path.iterdir()) == [file]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "saved"
    for name in ("first", "second"):
        with replacing(folder) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert [path.name for path in folder.iterdir()] == ["second"] and list(tmp_path.iterdir()) == [folder]
    with pytest.raises(RuntimeError), replacing(folder) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["second"] and list(tmp_path.iterdir()) == [folder]


def test_what_json_cannot_say_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_an_error_is_one_line_and_survives_the_way_to_another_process():
    error = DataError('the item "a\nb" is unknown', fix="drop it", file="x.csv", row=3, field="item_id")
    assert str(error) == 'x.csv, row 3, field "item_id": the item "a b" is unknown; drop it.'
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.row, type(again)) == (str(error), 3, DataError)


def test_an_error_names_the_file_and_not_its_temporary_name(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError) as error:
        write_json(tmp_path / "folder", {})
    assert error.value.filename == str(tmp_path / "folder")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
