from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from macrec.data.dataset import Dataset
from macrec.encoders import Embeddings, embeddings
from macrec.errors import DataError


def small_chunks(monkeypatch: pytest.MonkeyPatch, elements: int = 8) -> None:
    monkeypatch.setattr(embeddings, "CHUNK_ELEMENTS", elements)


@given(
    arrays(np.float32, (9, 3), elements=st.integers(-50, 50).map(float)),
    arrays(np.bool_, 9).filter(lambda present: bool(present.any())),
    st.integers(1, 40),
)
def test_statistics_are_those_of_the_present_rows_whatever_the_chunks(
    values: np.ndarray, present: np.ndarray, elements: int
) -> None:
    values = np.where(present[:, None], values, np.float32(0))
    with pytest.MonkeyPatch.context() as patch:
        small_chunks(patch, elements)
        result = Embeddings.from_values("text", "toy", values, present)
    kept = values[present].astype(np.float64)
    std = kept.std(0)
    np.testing.assert_allclose(result.mean, kept.mean(0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(result.std, np.where(std < 1e-9, 1, std), rtol=1e-6)


def test_standardizing_gives_mean_zero_and_deviation_one_over_the_present_rows() -> None:
    rng = np.random.default_rng(0)
    values = (rng.normal(5, 3, (500, 7))).astype(np.float32)
    present = rng.random(500) < 0.8
    values[~present] = 0
    standardized = Embeddings.from_values("text", "toy", values, present).standardized()
    assert standardized.dtype == np.float32
    np.testing.assert_allclose(standardized[present].mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(standardized[present].std(0), 1, atol=1e-5)
    assert not standardized[~present].any()


def test_statistics_survive_a_large_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, 64)
    values = (1e4 + np.random.default_rng(1).normal(0, 0.1, (400, 2))).astype(np.float32)
    result = Embeddings.from_values("text", "toy", values)
    np.testing.assert_allclose(result.std, values.astype(np.float64).std(0), rtol=1e-6)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1e6])
def test_a_dimension_that_does_not_vary_standardizes_to_zero(constant: float) -> None:
    values = np.stack([np.full(1000, constant), np.arange(1, 1001)], axis=1).astype(np.float32)
    result = Embeddings.from_values("text", "toy", values)
    assert result.std[0] == 1
    np.testing.assert_array_equal(result.standardized()[:, 0], 0)


def test_noise_in_the_last_digit_is_not_magnified() -> None:
    values = np.where(np.arange(100) % 2, np.float32(1000), np.nextafter(np.float32(1000), np.float32(2000)))[:, None]
    assert np.abs(Embeddings.from_values("text", "toy", values).standardized()).max() < 1e-3


def test_standardizing_rows_equals_the_rows_of_all_standardized() -> None:
    values = np.random.default_rng(2).normal(size=(20, 4)).astype(np.float16)
    values[7] = 0
    result = Embeddings.from_values("image", "toy", values)
    rows = np.array([7, 3, 3, 19])
    np.testing.assert_array_equal(result.standardized(rows), result.standardized()[rows])
    np.testing.assert_array_equal(result.standardized(result.present), result.standardized()[result.present])


def test_without_any_present_row_everything_is_zero() -> None:
    result = Embeddings.from_values("image", "toy", np.zeros((3, 2), np.float32))
    assert not result.present.any()
    assert not result.standardized().any()


def test_a_vector_of_an_absent_item_must_be_zero() -> None:
    with pytest.raises(DataError, match=r"row 2: the vector of an absent item is not zero"):
        Embeddings.from_values("text", "toy", np.ones((3, 2), np.float32), np.array([True, False, True]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_present_vector_must_be_finite(bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    small_chunks(monkeypatch, 4)
    values = np.ones((10, 2), np.float32)
    values[6, 1] = bad
    with pytest.raises(DataError, match=r"row 7: the vector holds NaN or infinity"):
        Embeddings.from_values("text", "toy", values)


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def six(dtype: type = np.float32) -> np.ndarray:
    return np.arange(1, 13).reshape(6, 2).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_npy_is_memory_mapped_and_its_zero_rows_are_absent(tmp_path: Path, catalog: Dataset, dtype: type) -> None:
    values = six(dtype)
    values[4] = 0
    result = Embeddings.from_npy(save(tmp_path / "v.npy", values), catalog, "image")
    assert isinstance(result.values, np.memmap)
    assert result.present.tolist() == [True, True, True, True, False, True]
    np.testing.assert_array_equal(result.values, values)
    np.testing.assert_allclose(result.mean, np.delete(values, 4, 0).astype(float).mean(0), rtol=1e-6)


def test_npy_with_a_mask_zeroes_what_the_mask_excludes(tmp_path: Path, catalog: Dataset) -> None:
    values = six()
    values[1], values[2] = np.nan, 0  # row 1 is excluded, so it may hold anything; row 2 is zero, so it is absent
    mask = np.array([True, False, True, True, True, False])
    result = Embeddings.from_npy(
        save(tmp_path / "v.npy", values), catalog, "text", present=save(tmp_path / "m.npy", mask)
    )
    assert result.present.tolist() == [True, False, False, True, True, False]
    assert not result.values[~result.present].any()
    np.testing.assert_array_equal(result.values[result.present], values[[0, 3, 4]])
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), values)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (six()[:5], r"v\.npy: the array has 5 rows for the 6 items of toys"),
        (six(np.float64), r"v\.npy: the array holds float64 where float16 or float32"),
        (six(np.int32), r"v\.npy: the array holds int32"),
        (six().astype(">f4"), r"v\.npy: the array holds >f4"),
        (six().ravel(), r"v\.npy: the array has shape \(12,\)"),
        (six().reshape(6, 2, 1), r"v\.npy: the array has shape \(6, 2, 1\)"),
        (np.zeros((6, 0), np.float32), r"v\.npy: the"),
        (six().astype(object), r"v\.npy: the file cannot be opened as an array .*object"),
        (
            np.where(np.arange(12).reshape(6, 2) == 7, np.nan, six()).astype(np.float32),
            r'v\.npy, row 4 \(item "i3"\): the vector holds NaN',
        ),
    ],
)
def test_npy_of_another_kind_is_refused(tmp_path: Path, catalog: Dataset, array: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Embeddings.from_npy(save(tmp_path / "v.npy", array), catalog, "text")


@pytest.mark.parametrize("size", [0, 5, 60, 150])
def test_npy_that_is_cut_off_is_refused(tmp_path: Path, catalog: Dataset, size: int) -> None:
    path = save(tmp_path / "v.npy", six())
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"v\.npy: the file cannot be opened as an array"):
        Embeddings.from_npy(path, catalog, "text")


def test_npy_that_is_something_else_or_missing_is_refused(tmp_path: Path, catalog: Dataset) -> None:
    other = tmp_path / "v.npy"
    other.write_text("item,0.1,0.2\n" * 20)
    with pytest.raises(DataError, match="cannot be opened as an array"):
        Embeddings.from_npy(other, catalog, "text")
    with pytest.raises(DataError, match=r"w\.npy: the file does not exist"):
        Embeddings.from_npy(tmp_path / "w.npy", catalog, "text")
    with pytest.raises(DataError, match="cannot be opened as an array"):
        Embeddings.from_npy(tmp_path, catalog, "text")


@pytest.mark.parametrize("mask", [np.ones(5, bool), np.ones(6, np.int8), np.ones((6, 1), bool)])
def test_a_mask_of_another_kind_is_refused(tmp_path: Path, catalog: Dataset, mask: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"m\.npy"):
        Embeddings.from_npy(save(tmp_path / "v.npy", six()), catalog, "text", present=save(tmp_path / "m.npy", mask))


def test_shapes_that_do_not_belong_together_are_refused() -> None:
    values, present, one = np.ones((3, 2), np.float32), np.ones(3, bool), np.ones(2, np.float32)
    for wrong in (
        (values[0], present, one, one),
        (values.astype(float), present, one, one),
        (values, present[:2], one, one),
        (values, present, one[:1], one),
        (values, present, one, one.astype(float)),
    ):
        with pytest.raises(TypeError):
            Embeddings("text", "toy", *wrong)


def test_a_vector_of_more_dimensions_than_any_encoder_makes_is_refused_unread(tmp_path: Path, catalog: Dataset) -> None:
    with (tmp_path / "v.npy").open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (6, 1 << 30)}
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 6 * (4 << 30))  # 26 GB of nothing, that take no room
    with pytest.raises(DataError, match=r"shape \(6, 1073741824\) where \[items, dimensions\] is needed"):
        Embeddings.from_npy(tmp_path / "v.npy", catalog, "text")
