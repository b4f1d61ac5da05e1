"""Files appear whole or not at all, and errors are one sentence wherever they travel."""

import itertools
import json
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from macrec import files
from macrec.errors import DataError
from macrec.files import LONGEST, MARKER, check_replaceable, finish_interrupted, replacing, write_json


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "a.json"
    write_json(file, {"kept": 1})
    with pytest.raises(RuntimeError), replacing(file) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(file.read_text()) == {"kept": 1} and list(tmp_path.iterdir()) == [file]


def put(folder, *names):
    """Replace a folder by one that holds these files."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name in names:
            (temporary / name).write_text(folder.name)


def names(folder):
    return {path.name for path in folder.iterdir()} - {MARKER}


@pytest.fixture(params=["exchange", "two renames"])
def system(request, monkeypatch):
    """With the system's exchange of two names, and as where there is none."""
    if request.param == "two renames":
        monkeypatch.setattr(files, "_system_exchange", lambda: None)
    return request.param


def test_a_folder_is_replaced_as_a_whole(tmp_path, system):
    folder = tmp_path / "saved"
    put(folder, "first", "common")
    put(folder, "second", "common")
    assert names(folder) == {"second", "common"} and list(tmp_path.iterdir()) == [folder]
    with pytest.raises(RuntimeError), replacing(folder) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert names(folder) == {"second", "common"} and list(tmp_path.iterdir()) == [folder]


def dying(folder, call):
    """Replace a folder in a forked process that is killed before its `call`th call of the system; False at its end."""
    if (child := os.fork()) == 0:
        calls = itertools.count()

        def hook(event, _):
            ours = event.startswith(("open", "os.", "shutil.", "fcntl.", "ctypes.")) and event != "os.kill"
            if ours and next(calls) == call:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        put(folder, "new", "common")
        os._exit(0)
    return os.waitpid(child, 0)[1] != 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_whenever_a_replacement_dies_the_old_folder_or_the_new_one_is_there(tmp_path, system):
    seen = set()
    for call in itertools.count():
        folder = tmp_path / str(call) / "saved"
        put(folder, "old", "common")
        died = dying(folder, call)
        seen.add(found := tuple(sorted(names(folder))) if folder.exists() else ())
        assert found in {("common", "old"), ("common", "new")} or (system == "two renames" and not found)
        finish_interrupted(folder.parent)  # as whoever reads or writes there next does
        assert names(folder) in ({"old", "common"}, {"new", "common"})
        assert list(folder.parent.iterdir()) == [folder]
        put(folder, "third")
        assert names(folder) == {"third"}
        if not died:
            break
    assert {("common", "old"), ("common", "new")} <= seen and (() in seen) == (system == "two renames")
    assert call > 10


def test_what_a_dead_writer_left_goes_and_what_a_living_one_writes_stays(tmp_path):
    dead = tmp_path / ".macrec-0123456789ab.tmp"
    (dead / "new").mkdir(parents=True)
    (dead / "new" / "a.json").write_text("half")
    (dead / "lock").write_text("")
    with replacing(tmp_path / "b.json") as temporary:
        temporary.write_text("being written")
        write_json(tmp_path / "a.json", 1)
        assert not dead.exists() and temporary.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "b.json"}


@pytest.mark.parametrize("marker", [None, "", "[", "{}", "null", '["a"]', '{"a": 1, "mine": 2}', "\udcff"])
def test_a_folder_that_is_not_ours_is_left_alone(tmp_path, marker):
    folder = tmp_path / "thesis"
    put(folder, "a")
    (folder / "mine").write_text("years of work")
    if marker is None:
        (folder / MARKER).unlink()
    elif marker:
        (folder / MARKER).write_bytes(marker.encode(errors="surrogateescape"))
    with pytest.raises(DataError, match="thesis: the folder holds something else; name a new folder"):
        put(folder, "a")
    assert names(folder) == {"a", "mine"} and (folder / "mine").read_text() == "years of work"


def test_inputs_and_what_is_not_ours_are_never_replaced(tmp_path):
    source, other, empty = tmp_path / "in" / "ids.json", tmp_path / "notes.txt", tmp_path / "empty"
    source.parent.mkdir()
    source.write_text("codes")
    other.write_text("notes")
    empty.touch()
    (tmp_path / "link").symlink_to(source)
    os.link(source, tmp_path / "hard")
    for path in (source, tmp_path / "in", tmp_path / "link", tmp_path / "hard", tmp_path / "in/../in/ids.json"):
        with pytest.raises(DataError, match="replace what it is made from"), replacing(path, [source]):
            pytest.fail("nothing is to be written")
    with pytest.raises(DataError, match=r"notes\.txt: there is a file of this name already"):
        check_replaceable(other, ours=lambda file: file.read_text() == "ours")
    with pytest.raises(DataError, match="no regular file"):
        check_replaceable(Path(os.devnull))
    check_replaceable(other, [source, tmp_path / "none"], lambda file: file.read_text() == "notes")
    check_replaceable(empty, ours=lambda file: False)
    check_replaceable(tmp_path / "none", [tmp_path / "none"])


def test_a_link_stays_one_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "a.json").symlink_to(tmp_path / "disk" / "a.json")
    write_json(tmp_path / "a.json", 1)
    write_json(tmp_path / "a.json", 2)
    assert (tmp_path / "a.json").is_symlink() and (tmp_path / "disk" / "a.json").read_text() == "2\n"


def test_a_name_may_be_as_long_as_the_file_system_takes_and_a_longer_one_is_named(tmp_path):
    longest = tmp_path / ("é" * 125 + ".json")
    assert len(os.fsencode(longest.name)) == LONGEST
    write_json(longest, 1)
    put(tmp_path / ("f" * LONGEST), "a")
    assert longest.read_text() == "1\n"
    with pytest.raises(OSError, match="too long") as error:
        write_json(tmp_path / ("a" * (LONGEST + 1)), 1)
    assert error.value.filename == str(tmp_path / ("a" * (LONGEST + 1)))


WRITERS = {
    "text": lambda path: path.write_text("a" * 5000),
    "parquet": lambda path: pl.DataFrame({"a": RANDOM}).write_parquet(path),
    "csv": lambda path: pl.DataFrame({"a": RANDOM}).write_csv(path),
    "safetensors": lambda path: save_file({"a": RANDOM}, path),
    "npy": lambda path: path.open("wb").close() or np.save(path.with_suffix(".npy"), RANDOM),
}
RANDOM = np.random.default_rng(0).random(2000)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limits")
@pytest.mark.parametrize("kind", WRITERS)
def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path, kind):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # what a quota does, too
    try:
        with pytest.raises(OSError) as error, replacing(tmp_path / "file") as temporary:
            WRITERS[kind](temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert error.value.filename == str(tmp_path / "file") and error.value.strerror
    assert not list(tmp_path.iterdir())


def test_an_error_of_something_else_stays_what_it_is(tmp_path):
    class Unreadable(OSError):
        pass

    for raised in (Unreadable("cannot identify image file"), ValueError("x"), FileNotFoundError(2, "gone", "other")):
        with pytest.raises(type(raised)) as error, replacing(tmp_path / "file"):
            raise raised
        assert error.value is raised


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
