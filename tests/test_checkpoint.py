"""Checkpoints: what was saved comes back, nothing is half-written, and what cannot be used is refused by name."""

import json
from contextlib import suppress

import pytest
import torch

from macrec import checkpoint as module
from macrec.checkpoint import Checkpoint
from macrec.errors import DataError

IDENTITY = {"data": "toy", "seed": 3, "rates": (0.1, 0.2)}
STATE = {"step": 7, "best": {"conflict_rate/text": 0.1 + 0.2}, "events": [[1, 0.5, {"loss": 1e-17}, {}]]}


def tensors(fill=1.0):
    return {
        "weight": torch.full((3, 2), fill),
        "count": torch.tensor(7),
        "flag": torch.tensor(True),
        "sum": torch.tensor(0.1, dtype=torch.float64),
        "transposed": torch.arange(6).reshape(2, 3).T,
        "empty": torch.zeros(0, 4),
    }


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_there_is_nothing_at_first_and_then_what_was_saved(tmp_path):
    checkpoint = Checkpoint(tmp_path / "new" / "folder", IDENTITY)
    assert checkpoint.load() is None
    checkpoint.save(7, tensors(), STATE)
    found, state = Checkpoint(checkpoint.folder, IDENTITY).load()
    assert state == STATE
    assert found.keys() == tensors().keys()
    for name, value in tensors().items():
        assert torch.equal(found[name], value) and found[name].dtype == value.dtype
    assert files(checkpoint.folder) == ["checkpoint.json", "step-00000007.safetensors"]


def test_one_identity_has_one_folder_and_another_one_another(tmp_path):
    place = Checkpoint.named(tmp_path, IDENTITY).folder
    assert place.parent == tmp_path
    reordered = {"rates": [0.1, 0.2], "seed": 3, "data": "toy"}  # as JSON holds it
    assert Checkpoint.named(tmp_path, reordered).folder == place
    nested = IDENTITY | {"settings": {"deep": [1, {"er": 2}]}}
    others = [
        {}, IDENTITY | {"seed": 4}, IDENTITY | {"seed": "3"}, IDENTITY | {"rates": (0.2, 0.1)}, IDENTITY | {"more": 0},
        {"data": "toy", "seed": 3}, nested, IDENTITY | {"settings": {"deep": [1, {"er": 3}]}},
    ]  # fmt: skip
    assert len({place, *(Checkpoint.named(tmp_path, other).folder for other in others)}) == 1 + len(others)


def test_a_named_checkpoint_is_found_again_by_its_identity_alone(tmp_path):
    Checkpoint.named(tmp_path, IDENTITY).save(7, tensors(), STATE)
    assert Checkpoint.named(tmp_path, dict(IDENTITY)).load()[1] == STATE
    assert Checkpoint.named(tmp_path, IDENTITY | {"seed": 4}).load() is None


def test_a_later_checkpoint_takes_the_place_of_the_one_before(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    for step in (7, 12, 12):
        checkpoint.save(step, tensors(step), STATE | {"step": step})
    found, state = checkpoint.load()
    assert state["step"] == 12 and (found["weight"] == 12).all()
    assert files(tmp_path) == ["checkpoint.json", "step-00000012.safetensors"]


def test_tensors_that_share_their_memory_are_saved(tmp_path):
    """As tied weights do, and a loss of one term with that term."""
    tied = torch.arange(4.0)
    Checkpoint(tmp_path, {}).save(1, {"one": tied, "other": tied, "part": tied[1:]}, {})
    found, _ = Checkpoint(tmp_path, {}).load()
    assert (
        torch.equal(found["one"], tied) and torch.equal(found["other"], tied) and torch.equal(found["part"], tied[1:])
    )


@pytest.mark.parametrize("where", ["tensors", "json"])
def test_a_save_that_fails_leaves_the_checkpoint_before_it(tmp_path, monkeypatch, where):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(1, tensors(1), {"step": 1})

    def half(values, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    with monkeypatch.context() as patch, pytest.raises((OSError, ValueError)):
        if where == "tensors":
            patch.setattr(module, "save_file", half)
        checkpoint.save(2, tensors(2), {"step": 2, "best": float("nan")})  # JSON has no NaN
    found, state = checkpoint.load()
    assert state == {"step": 1} and (found["weight"] == 1).all()
    complete = ["step-00000002.safetensors"] if where == "json" else []
    assert files(tmp_path) == ["checkpoint.json", "step-00000001.safetensors", *complete]
    checkpoint.save(3, tensors(3), {"step": 3})
    assert checkpoint.load()[1] == {"step": 3}
    assert files(tmp_path) == ["checkpoint.json", "step-00000003.safetensors"]


@pytest.mark.parametrize(
    ("other", "differing"),
    [
        ({"data": "toy", "seed": 4, "rates": (0.1, 0.2)}, "seed"),
        ({"data": "films", "seed": 4, "rates": (0.1,)}, "data, rates, seed"),
        ({"data": "toy", "rates": (0.1, 0.2)}, "seed"),
        (IDENTITY | {"new": None}, "new"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_with_what_differs(tmp_path, other, differing):
    Checkpoint(tmp_path, IDENTITY).save(1, tensors(), {})
    with pytest.raises(DataError, match=rf"checkpoint\.json: .*\(it differs in {differing}\)"):
        Checkpoint(tmp_path, other).load()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "3", "null", '{"state": {}}', '{"tensors": "x", "identity": 5, "state": {}}', "\x00", "CUT"],
)
def test_a_damaged_json_is_refused_by_name(tmp_path, text):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(1, tensors(), STATE)
    file = tmp_path / "checkpoint.json"
    file.write_text(file.read_text()[:-20] if text == "CUT" else text)
    with pytest.raises(DataError, match=r"checkpoint\.json: the checkpoint"):
        checkpoint.load()


def test_a_json_that_is_not_text_is_refused_by_name(tmp_path):
    (tmp_path / "checkpoint.json").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match=r"checkpoint\.json: the checkpoint cannot be read"):
        Checkpoint(tmp_path, IDENTITY).load()


@pytest.mark.parametrize("size", [None, 0, 4, 100, -1])
def test_missing_or_damaged_tensors_are_refused_by_name(tmp_path, size):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(1, tensors(), STATE)
    file = tmp_path / "step-00000001.safetensors"
    if size is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DataError, match=r"step-00000001\.safetensors: the tensors cannot be read; remove the folder"):
        checkpoint.load()


def test_identities_are_compared_as_json_holds_them(tmp_path):
    """A tuple is written as a list: that makes no other training of it."""
    Checkpoint(tmp_path, {"sizes": (4, 4)}).save(1, tensors(), {})
    assert Checkpoint(tmp_path, {"sizes": [4, 4]}).load() is not None
    assert json.loads((tmp_path / "checkpoint.json").read_text())["identity"] == {"sizes": [4, 4]}


def test_the_rest_of_a_killed_save_is_swept_by_the_next(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    (tmp_path / ".macrec-0123456789ab.tmp" / "new").mkdir(parents=True)
    (tmp_path / ".macrec-0123456789ab.tmp" / "new" / "step-00000003.safetensors").write_bytes(b"half")
    (tmp_path / "step-00000002.safetensors").write_bytes(b"old")
    checkpoint.save(7, tensors(), STATE)
    assert files(tmp_path) == ["checkpoint.json", "step-00000007.safetensors"]


def test_a_flipped_bit_anywhere_is_noticed(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(7, tensors(), STATE)
    for file in tmp_path.iterdir():
        whole = file.read_bytes()
        for place in range(0, len(whole), 7):
            file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
            with suppress(DataError):
                checkpoint.load()
                assert json.loads(file.read_bytes()) == json.loads(whole)  # white space says nothing
        file.write_bytes(whole)
    assert checkpoint.load()[1] == STATE


@pytest.mark.parametrize("name", ["../step-00000001.safetensors", "/etc/passwd", "step-1.safetensors", "", 3, None])
def test_tensors_are_read_from_nowhere_but_the_folder(tmp_path, name):
    Checkpoint(tmp_path, {}).save(1, tensors(), {})
    file = tmp_path / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tensors": name}))
    with pytest.raises(DataError, match="the checkpoint cannot be read"):
        Checkpoint(tmp_path, {}).load()


def test_a_reader_finds_the_checkpoint_that_replaced_the_one_it_was_reading(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    checkpoint.save(1, tensors(1), {"step": 1})
    load = module.load_file

    def late(file):
        monkeypatch.setattr(module, "load_file", load)
        checkpoint.save(2, tensors(2), {"step": 2})
        return load(file)

    monkeypatch.setattr(module, "load_file", late)
    found, state = checkpoint.load()
    assert state == {"step": 2} and (found["weight"] == 2).all()


def test_the_lock_lies_beside_the_folder_and_is_no_part_of_it(tmp_path):
    checkpoint = Checkpoint(tmp_path / "training", IDENTITY)
    with checkpoint.held() as lock:
        checkpoint.save(1, tensors(), STATE)
        assert lock.held and files(tmp_path) == [".training.lock", "training"]
    assert not lock.held and files(tmp_path / "training") == ["checkpoint.json", "step-00000001.safetensors"]
