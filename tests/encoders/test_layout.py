"""The map is computed once and kept; what is kept and damaged is computed again."""

import io
import sys
import types
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from macrec.encoders.layout import neighbor_distances, umap_layout


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


@settings(max_examples=30, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(8, 20), st.integers(1, 5)), elements=st.integers(-3, 3)))
def test_neighbors_are_those_with_the_greatest_cosine(values):
    near, distances = neighbor_distances(values, 6)
    length = np.linalg.norm(values, axis=1).astype(float)
    cosine = values @ values.T.astype(float) / np.maximum(np.outer(length, length), 1e-12)
    assert np.array_equal(near[:, 0], np.arange(len(values))) and not distances[:, 0].any()
    for row, (others, far) in enumerate(zip(near[:, 1:], distances[:, 1:], strict=True)):
        assert len({row, *others}) == 6
        best = np.sort(np.delete(cosine[row], row))[::-1][:5]
        assert np.allclose(cosine[row, others], best, atol=1e-6) and np.allclose(far, 1 - best, atol=1e-6)


@pytest.mark.slow
def test_umap_keeps_together_what_lies_together_and_says_nothing(recwarn):
    centers = np.repeat(np.eye(3, 16), 30, axis=0)
    values = (centers + np.random.default_rng(0).normal(0, 0.05, centers.shape)).astype(np.float32)
    positions = umap_layout(values, 0)
    assert np.array_equal(positions, umap_layout(values, 0))  # the seed decides
    kind = np.repeat(np.arange(3), 30)
    assert (kind[nearest_place(positions)] == kind).all()
    assert not [str(one.message) for one in recwarn if "precomputed_knn" in str(one.message)]


def nearest_place(positions):
    apart = np.square(positions[:, None] - positions[None]).sum(2)
    np.fill_diagonal(apart, np.inf)
    return apart.argmin(1)


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
