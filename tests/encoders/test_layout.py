"""The map is computed once and kept; what is kept and damaged is computed again."""

import io
import sys
import types
import zipfile

import numpy as np
import pytest

from macrec.encoders.layout import umap_layout


@pytest.fixture
def made(monkeypatch):
    """Stands in for UMAP, which takes seconds: the first two dimensions. Lists what was computed."""
    calls = []

    class Umap:
        def __init__(self, **_):
            calls.append(1)

        def fit_transform(self, values):
            return values[:, :2] + 1

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    return calls


VALUES = np.random.default_rng(0).random((9, 4), np.float32)


def test_a_map_is_computed_once_for_its_values_and_seed(made, tmp_path):
    for _ in range(2):
        assert np.array_equal(umap_layout(VALUES, 0, tmp_path / "new" / "map.npz"), VALUES[:, :2] + 1)
    assert len(made) == 1
    umap_layout(VALUES, 1, tmp_path / "new" / "map.npz")
    umap_layout(VALUES * 2, 1, tmp_path / "new" / "map.npz")
    assert len(made) == 3 and [file.name for file in (tmp_path / "new").iterdir()] == ["map.npz"]


def keeping(file, **change):
    with np.load(file) as kept:
        arrays = dict(kept) | change
    np.savez(file, **arrays)


def flip(file, part):
    """Flip one bit of a part that is there once."""
    whole = file.read_bytes()
    assert whole.count(part) == 1
    file.write_bytes(whole.replace(part, bytes([part[0] ^ 1]) + part[1:]))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def claiming(file):
    """A header that claims terabytes."""
    with zipfile.ZipFile(file) as archive:
        key = archive.read("key.npy")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("key.npy", key)
        with archive.open("positions.npy", "w") as stream:
            header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 2)}
            np.lib.format.write_array_header_1_0(stream, header)


def bomb(file):
    """A megabyte that unpacks to a gigabyte."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("positions.npy", "w") as stream:
        for _ in range(64):
            stream.write(bytes(1 << 20))


DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "no archive": lambda file: file.write_bytes(b"map" * 1000),
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:-30]),
    "a flipped bit": lambda file: flip(file, (VALUES[3, :2] + 1).tobytes()),
    "an array alone": lambda file: file.write_bytes(npy(VALUES)),
    "pickled": lambda file: keeping(file, positions=np.array([{"a": 1}] * 9, object)),
    "another shape": lambda file: keeping(file, positions=np.zeros((8, 2), np.float32)),
    "another type": lambda file: keeping(file, positions=np.zeros((9, 2))),
    "not a number": lambda file: keeping(file, positions=np.full((9, 2), np.nan, np.float32)),
    "another key": lambda file: keeping(file, key="x"),
    "nothing in it": lambda file: np.savez(file),
    "terabytes": claiming,
    "a bomb": bomb,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_map_is_computed_again(made, tmp_path, damage):
    file = tmp_path / "map.npz"
    umap_layout(VALUES, 0, file)
    damage(file)
    if file.is_dir():
        with pytest.raises(OSError, match=r"map\.npz"):
            umap_layout(VALUES, 0, file)
        return
    assert np.array_equal(umap_layout(VALUES, 0, file), VALUES[:, :2] + 1) and len(made) == 2
    umap_layout(VALUES, 0, file)
    assert len(made) == 2  # and kept again
