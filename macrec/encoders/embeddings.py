"""Embeddings of one modality: one vector per item, which items have one, and the statistics to standardize with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from macrec.data.dataset import Dataset
from macrec.data.split import Split, seen_items
from macrec.errors import DataError, unseen

Float = NDArray[np.float16] | NDArray[np.float32]

CHUNK_ELEMENTS = 1 << 22
"""Numbers read at once when an array may be larger than memory."""


MOST_DIMENSIONS = 1 << 17
"""Of one vector: a header that claims more is damaged, and the file perhaps a hole of terabytes."""

UNREADABLE = (
    OSError, ValueError, TypeError, EOFError, SyntaxError, OverflowError, MemoryError, RecursionError, TokenError,
)  # fmt: skip
"""What NumPy raises for files that are no arrays."""


class Statistics(NamedTuple):
    """Mean and standard deviation of every dimension over the present rows, `[d]` float32 each."""

    mean: NDArray[np.float32]
    std: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The vectors of N items in one modality.

    `values` `[N, d]` float16 or float32, perhaps memory-mapped; `present` `[N]` says which items have a vector, the
    rows of the others are zero. `mean` and `std` `[d]` float32 are taken over the present rows; a dimension that does
    not vary has std 1. Build one with `from_values` or `from_npy`, which check the contents, or let an
    `EmbeddingStore` make it.

    `seen` `[N]`: the items that may be learned from, where these are not all (`learned_from`). Whatever is fitted to
    the vectors, from mean and deviation to codebooks, is fitted to these; the others are encoded with it afterwards.
    """

    modality: str
    encoder: str
    values: Float
    present: NDArray[np.bool_]
    mean: NDArray[np.float32]
    std: NDArray[np.float32]
    seen: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype not in (np.float16, np.float32):
            raise TypeError(f"values must be [N, d] float16 or float32, got {self.values.shape} {self.values.dtype}")
        if self.present.shape != self.values.shape[:1] or self.present.dtype != np.bool_:
            raise TypeError(f"present must be [{len(self.values)}] bool, got {self.present.shape} {self.present.dtype}")
        for name in ("mean", "std"):
            array = getattr(self, name)
            if array.shape != self.values.shape[1:] or array.dtype != np.float32:
                raise TypeError(f"{name} must be [{self.dim}] float32, got {array.shape} {array.dtype}")
        if self.seen is not None and (self.seen.shape != self.present.shape or self.seen.dtype != np.bool_):
            raise TypeError(f"seen must be [{len(self.values)}] bool, got {self.seen.shape} {self.seen.dtype}")

    @classmethod
    def from_values(
        cls, modality: str, encoder: str, values: Float, present: NDArray[np.bool_] | None = None
    ) -> Embeddings:
        """Check `values` `[N, d]`, compute their statistics, wrap them.

        `present` `[N]` defaults to the rows that are not all zero. Raises DataError for a present row that holds NaN
        or infinity and for an absent row that is not zero.
        """
        values = floats(values, file=None)
        if present is None:
            present = nonzero_rows(values)
        for rows in chunks(values):
            absent = np.flatnonzero(~present[rows] & (np.asarray(values[rows]) != 0).any(1))
            if len(absent):
                row = rows.start + int(absent[0]) + 1
                raise DataError("the vector of an absent item is not zero", row=row, fix="set it to zero")
        check_finite(values, present)
        return cls(modality, encoder, values, present, *statistics(values, present))

    @classmethod
    def from_npy(
        cls, path: Path | str, dataset: Dataset, modality: str, present: Path | str | None = None
    ) -> Embeddings:
        """Open vectors made elsewhere: a `.npy` file `[N, d]`, float16 or float32, row i for item i of `dataset`.

        The file is memory-mapped, not read. A row that is all zero counts as absent: that is how most tools mark an
        item they could not encode. `present` names a second `.npy` file, `[N]` bool, for files that mark them in
        another way; the rows it excludes are zeroed in a copy in memory. Raises DataError for anything else: a file
        that is no `.npy`, cut off, pickled, of the wrong shape or type, or with NaN or infinity in a present row.
        """
        path = Path(path)
        values = floats(open_npy(path), file=path)
        check_length(values, dataset, path)
        mask = nonzero_rows(values)
        if present is not None:
            chosen = open_npy(Path(present))
            if chosen.dtype != np.bool_ or chosen.ndim != 1:
                actual = f"{chosen.ndim}-dimensional {chosen.dtype}"
                raise DataError(f"the mask is {actual}", file=present, fix="save a one-dimensional array of bool")
            check_length(chosen, dataset, Path(present))
            if (mask & ~chosen).any():
                values = np.where(chosen[:, None], values, values.dtype.type(0))
            mask &= chosen
        check_finite(values, mask, file=path, dataset=dataset)
        return cls(modality, f"npy:{path.name}", values, mask, *statistics(values, mask))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dim(self) -> int:
        """d."""
        return int(self.values.shape[1])

    @property
    def learnable(self) -> NDArray[np.bool_]:
        """Which rows `[N]` have a vector that may be learned from."""
        return self.present if self.seen is None else self.present & self.seen

    def learned_from(self, seen: NDArray[np.bool_]) -> Embeddings:
        """The same vectors, of which only the items `seen` `[N]` are learned from, as those with training events are.

        Mean and deviation are then those of the present ones among them; where all present rows are, they stay what
        they are, and so does everything where all items are seen. The values are not touched: a trained encoder, and
        the weights of words by which "tfidf" counts them, are given with the catalog and know all its texts.
        """
        if self.seen is not None:
            seen = seen & self.seen
        if seen.all():
            return self
        learnable = self.present & seen
        if np.array_equal(learnable, self.learnable):
            return replace(self, seen=seen)
        mean, std = statistics(self.values, learnable)
        return replace(self, mean=mean, std=std, seen=seen)

    def standardized(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """`(x - mean) / std` as float32 `[n, d]`, of `rows` `[n]` (default: all N); absent rows become 0, the mean."""
        chosen: Any = slice(None) if rows is None else np.asarray(rows)
        result = np.asarray(self.values[chosen]).astype(np.float32)
        result -= self.mean
        result /= self.std
        result[~self.present[chosen]] = 0
        return result

    def __repr__(self) -> str:
        return (
            f"Embeddings {self.modality} by {self.encoder}: {len(self):,} items ({int(self.present.sum()):,} present), "
            f"{self.dim} dimensions, {self.values.dtype}"
        )


class Moments(NamedTuple):
    """Row count, mean and sum of squared deviations of columns, in float64 (Chan, Golub and LeVeque, 1979)."""

    rows: int
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, block: NDArray[np.float64]) -> Self:
        """The moments of one block `[n, d]`, n at least 1."""
        mean = block.mean(0)
        return cls(len(block), mean, np.square(block - mean).sum(0))

    def merge(self, other: Moments) -> Moments:
        """The moments of two blocks together; stable where a plain sum of squares cancels."""
        rows = self.rows + other.rows
        step = other.mean - self.mean
        return Moments(
            rows,
            self.mean + step * (other.rows / rows),
            self.squares + other.squares + np.square(step) * (self.rows * other.rows / rows),
        )


def statistics(values: Float, present: NDArray[np.bool_]) -> Statistics:
    """Mean and (population) standard deviation per dimension over the present rows, chunk by chunk in float64.

    A dimension whose deviation is below the resolution of float32 does not vary: its std is 1, so that standardizing
    gives 0 rather than magnified rounding. Without any present row the mean is 0 and the std 1.
    """
    dim = values.shape[1]
    moments: Moments | None = None
    for rows in chunks(values):
        block = np.asarray(values[rows])[present[rows]].astype(np.float64)
        if len(block):
            moments = Moments.of(block) if moments is None else moments.merge(Moments.of(block))
    if moments is None:
        return Statistics(np.zeros(dim, np.float32), np.ones(dim, np.float32))
    std = np.sqrt(moments.squares / moments.rows)
    std[std <= np.finfo(np.float32).eps * np.abs(moments.mean)] = 1
    return Statistics(moments.mean.astype(np.float32), std.astype(np.float32))


def chunks(values: NDArray[Any]) -> Iterator[slice]:
    """Slices of consecutive rows of `values` `[N, d]` that hold about `CHUNK_ELEMENTS` numbers each."""
    step = max(1, CHUNK_ELEMENTS // max(1, values.shape[1]))
    return (slice(start, min(start + step, len(values))) for start in range(0, len(values), step))


def nonzero_rows(values: Float) -> NDArray[np.bool_]:
    """Which rows `[N]` hold anything but zeros (NaN is something)."""
    return np.concatenate([np.zeros(0, bool), *((np.asarray(values[rows]) != 0).any(1) for rows in chunks(values))])


def check_finite(
    values: Float, present: NDArray[np.bool_], *, file: Path | None = None, dataset: Dataset | None = None
) -> None:
    """Raise DataError that names the first present row with NaN or infinity."""
    for rows in chunks(values):
        bad = np.flatnonzero(present[rows] & ~np.isfinite(np.asarray(values[rows])).all(1))
        if len(bad):
            row = rows.start + int(bad[0])
            item = "" if dataset is None else f' (item "{dataset.items["item_id"][row]}")'
            raise DataError(
                "the vector holds NaN or infinity",
                file=file,
                row=f"row {row + 1}{item}",
                fix="encode the item again, or set its row to zero so that it counts as missing",
            )


def floats(values: NDArray[Any], *, file: Path | None) -> Float:
    """`values` as they are; raises DataError unless they are `[N, d]`, float16 or float32, d not above the most."""
    if values.ndim != 2 or not 0 < values.shape[1] <= MOST_DIMENSIONS:
        raise DataError(
            f"the array has shape {values.shape} where [items, dimensions] is needed", file=file, fix="reshape it"
        )
    if values.dtype not in (np.float16, np.float32):
        raise DataError(
            f"the array holds {values.dtype} where float16 or float32 is needed",
            file=file,
            fix="convert it with astype(numpy.float32)",
        )
    return values


def check_length(array: NDArray[Any], dataset: Dataset, file: Path) -> None:
    """Raise DataError unless `array` has one row per item of `dataset`."""
    if len(array) != dataset.num_items:
        raise DataError(
            f"the array has {len(array):,} rows for the {dataset.num_items:,} items of {dataset.name}",
            file=file,
            fix="save one row per item, in the order of the item table",
        )


def open_npy(path: Path) -> NDArray[Any]:
    """Memory-map a `.npy` file, read-only; nothing in it is unpickled. Raises DataError when that cannot be done."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a header as Python 2 wrote it reads as well
            warnings.simplefilter("error", RuntimeWarning)  # a shape whose size overflows
            return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise DataError("the file does not exist", file=path, fix="check the path") from None
    except (*UNREADABLE, RuntimeWarning) as error:
        raise unseen(error, path) or DataError(
            f"the file cannot be opened as an array ({next(iter(str(error).splitlines()), type(error).__name__)})",
            file=path,
            fix="write it again with numpy.save, as a plain float16 or float32 array",
        ) from error


def of_seen_items(embeddings: Mapping[str, Embeddings], split: Split) -> dict[str, Embeddings]:
    """The same vectors, learned from where items have training events in `split` alone (`Embeddings.learned_from`)."""
    if not embeddings:
        return {}
    seen = seen_items(split.train, len(next(iter(embeddings.values()))))
    return {name: vectors.learned_from(seen) for name, vectors in embeddings.items()}


def shared_items(
    embeddings: Mapping[str, Embeddings], count: int = 0, seed: int = 0, least: int = 0
) -> NDArray[np.int64]:
    """The rows of the items that have every modality, rising; at most `count` of them, drawn at random (0: all).

    Raises DataError for a `count` other than 0 that is below `least`, and where fewer than `least` items have all.
    """
    if count < 0 or 0 < count < least:
        raise DataError(f"{count} cannot be used", field="items", fix=f"give {least} items or more, or 0 for all")
    rows = np.flatnonzero(np.logical_and.reduce([table.present for table in embeddings.values()]))
    if len(rows) < least:
        what = f"only {len(rows)} items have {' and '.join(embeddings)}"
        raise DataError(what, fix=f"give a catalog where at least {least} do")
    if count and count < len(rows):
        rows = np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))
    return rows
