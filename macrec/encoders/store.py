"""Embeddings on disk: computed once, found again by everything that went into them, continued after a kill.

One folder per result, `<encoder>-<digest>/`, with `values.npy`, `present.npy`, `mean.npy`, `std.npy` and `meta.json`.
While it is being computed it is called `.<encoder>-<digest>.partial/` and holds a count of the rows done so far. The
rename at the end is what makes it a result.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path
from tqdm import tqdm

from macrec.data.dataset import Dataset
from macrec.encoders.embeddings import Embeddings, open_npy, statistics
from macrec.encoders.encoder import Encoder
from macrec.encoders.precomputed import NpyEncoder
from macrec.errors import DataError
from macrec.files import write_json
from macrec.lock import locked

FORMAT_VERSION = 1
"""Part of every key; raise it when what is in the folders changes its meaning."""

Progress = bool | Callable[[int, int], None]
"""True for a bar on stderr, False for nothing, or a function that is told (items done, items in all)."""


@dataclass(frozen=True)
class Entry:
    """One result in the store: its folder, what `meta.json` says, and the bytes it takes."""

    folder: Path
    meta: dict[str, Any]
    size: int


class EmbeddingStore:
    """Makes and keeps Embeddings below `root`.

    `root` defaults to `embeddings` below the folder in the environment variable MACREC_CACHE, or else below the
    user's cache folder. `chunk` items are encoded between two writes: what a killed process loses at most.
    """

    def __init__(self, root: Path | None = None, chunk: int = 512) -> None:
        if chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {chunk}")
        self.root = Path(root) if root is not None else cache_folder() / "embeddings"
        self.chunk = chunk

    def get(self, dataset: Dataset, encoder: Encoder | NpyEncoder, progress: Progress = True) -> Embeddings:
        """The embeddings of `dataset` by `encoder`, memory-mapped; computed now if they are not there.

        A computation that was killed is continued where its last chunk ended; of two processes that ask for the same,
        one computes and the other waits. Raises DataError when no item can be encoded, when the encoder returns NaN
        or infinity for one, and when a folder of the store is damaged.
        """
        if isinstance(encoder, NpyEncoder):
            return encoder.open(dataset)  # already a file: nothing to compute and nothing to copy
        folder = self.root / folder_name(dataset, encoder)
        if not folder.is_dir():
            with locked(folder.with_name(f".{folder.name}.lock"), f"computing {folder.name}"):
                if not folder.is_dir():
                    self.compute(dataset, encoder, folder, progress)
        return open_folder(folder)

    def compute(self, dataset: Dataset, encoder: Encoder, folder: Path, progress: Progress) -> None:
        """Encode what is missing in the partial folder and rename it to `folder`."""
        begin = time.perf_counter()
        encoder.prepare(dataset)
        prepared = time.perf_counter()
        present = np.asarray(encoder.present(dataset), bool)
        if not present.any():
            raise DataError(
                f"none of the {dataset.num_items:,} items of {dataset.name} has something that {encoder.name} encodes",
                field=encoder.modality,
                fix="choose an encoder for another modality, or a dataset with this one",
            )
        # The longest first: if memory does not suffice it shows at once, and the time left is never underestimated.
        rows = np.flatnonzero(present)
        rows = rows[np.argsort(-encoder.cost(dataset)[rows].astype(np.int64), kind="stable")]

        partial = folder.with_name(f".{folder.name}.partial")
        partial.mkdir(parents=True, exist_ok=True)
        seconds = self.fill(partial, dataset, encoder, rows, progress)
        times = {
            "prepare_seconds": round(prepared - begin, 3),
            "seconds": round(seconds, 3),
            "items_per_second": round(len(rows) / max(seconds, 1e-9), 1),
        }
        finish(partial, present, {**key(dataset, encoder), "dataset": dataset.name, **times})
        partial.replace(folder)
        (folder / "progress.json").unlink()

    def fill(
        self, partial: Path, dataset: Dataset, encoder: Encoder, rows: NDArray[np.integer], progress: Progress
    ) -> float:
        """Encode `rows` `[n]` in that order, from where the last run stopped; returns the seconds of all runs.

        Chunks are on disk before they are counted, so the count never promises more than there is.
        """
        done, seconds = read_progress(partial)
        values: NDArray[Any] | None = None
        with reporting(progress, encoder, done, len(rows)) as report:
            while done < len(rows):
                begin = time.perf_counter()
                chosen = rows[done : done + self.chunk]
                block = checked(encoder.encode(dataset, chosen), chosen, dataset, encoder)
                if values is None:
                    values = open_values(partial / "values.npy", (dataset.num_items, block.shape[1]), block.dtype, done)
                values[chosen] = block
                values.flush()  # type: ignore[attr-defined]  # a memmap
                done += len(chosen)
                seconds += time.perf_counter() - begin
                write_json(partial / "progress.json", {"done": done, "seconds": seconds})
                report(done)
        return seconds

    def entries(self) -> list[Entry]:
        """The finished results, by name."""
        found = sorted(self.root.glob("*/meta.json")) if self.root.is_dir() else []
        return [
            Entry(meta.parent, read_json(meta), sum(file.stat().st_size for file in meta.parent.iterdir()))
            for meta in found
            if not meta.parent.name.startswith(".")
        ]


def cache_folder() -> Path:
    """The folder in MACREC_CACHE, or the user's cache folder for macrec."""
    chosen = os.environ.get("MACREC_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("macrec")


def key(dataset: Dataset, encoder: Encoder) -> dict[str, Any]:
    """All that the vectors depend on."""
    return {
        "format": FORMAT_VERSION,
        "encoder": encoder.name,
        "modality": encoder.modality,
        "settings": dict(encoder.settings),
        "fingerprint": dataset.modality_fingerprint(encoder.modality),
    }


def folder_name(dataset: Dataset, encoder: Encoder) -> str:
    """`<encoder>-<12 hexadecimal digits of the key>`."""
    text = json.dumps(key(dataset, encoder), sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', encoder.name).strip('-')}-{digest}"


def open_folder(folder: Path) -> Embeddings:
    """Open a finished result, memory-mapped. Raises DataError that names the damaged file."""
    meta = read_json(folder / "meta.json")
    arrays = {name: open_npy(folder / f"{name}.npy") for name in ("values", "present", "mean", "std")}
    small = {name: np.array(arrays[name]) for name in ("present", "mean", "std")}
    try:
        return Embeddings(meta["modality"], meta["encoder"], arrays["values"], **small)
    except (TypeError, KeyError) as error:
        raise damaged(folder, str(error)) from error


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the store's own files."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if not isinstance(value, dict):
        raise damaged(path, "it holds no object")
    return value


def damaged(path: Path, why: str) -> DataError:
    """The error for a folder that the store did not write like this."""
    folder = path if path.is_dir() else path.parent
    return DataError(
        f"the embedding store is damaged here ({why})",
        file=path,
        fix=f"delete {folder} and run again, it will be computed anew",
    )


def read_progress(partial: Path) -> tuple[int, float]:
    """Rows done and seconds spent by the runs before this one; (0, 0) when there was none."""
    file = partial / "progress.json"
    if not file.exists():
        return 0, 0.0
    progress = read_json(file)
    return int(progress["done"]), float(progress["seconds"])


def open_values(file: Path, shape: tuple[int, int], dtype: np.dtype[Any], done: int) -> NDArray[Any]:
    """The growing array: the one of the run before when it got anywhere, else a new one of zeros."""
    if done:
        try:
            values: NDArray[Any] = np.lib.format.open_memmap(file, mode="r+")
        except (OSError, ValueError, EOFError) as error:
            raise damaged(file, str(error)) from error
        if values.shape != shape or values.dtype != dtype:
            raise damaged(file, f"it holds {values.shape} {values.dtype} where {shape} {dtype} is being computed")
        return values
    needed, free = shape[0] * shape[1] * dtype.itemsize, shutil.disk_usage(file.parent).free
    if needed > free:  # the file is sparse: without this check the process would die when the disk is full
        raise DataError(
            f"the embeddings need {needed / 1e6:,.1f} MB and the disk has {free / 1e6:,.1f} MB left",
            file=file.parent.parent,
            fix="make room, or choose another folder with the environment variable MACREC_CACHE",
        )
    return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)


def finish(partial: Path, present: NDArray[np.bool_], meta: dict[str, Any]) -> None:
    """Write what belongs beside the values: `present.npy`, the statistics and `meta.json`."""
    values = open_npy(partial / "values.npy")
    mean, std = statistics(values, present)
    for name, array in (("present", present), ("mean", mean), ("std", std)):
        np.save(partial / f"{name}.npy", array)
    items, dim = values.shape
    shape = {"items": items, "present": int(present.sum()), "dim": dim, "dtype": values.dtype.name}
    write_json(partial / "meta.json", {**meta, **shape})


def checked(block: NDArray[Any], rows: NDArray[np.integer], dataset: Dataset, encoder: Encoder) -> NDArray[Any]:
    """What the encoder returned, if it is what it should be."""
    if block.ndim != 2 or len(block) != len(rows) or block.dtype not in (np.float16, np.float32):
        raise TypeError(f"{encoder.name} returned {block.shape} {block.dtype} for {len(rows)} items")
    bad = np.flatnonzero(~np.isfinite(block).all(1))
    if len(bad):
        raise DataError(
            f"{encoder.name} returned NaN or infinity",
            row=f'item "{dataset.items["item_id"][int(rows[bad[0]])]}"',
            field=encoder.modality,
            fix="look at this item; with half precision, use full",
        )
    return block


@contextmanager
def reporting(progress: Progress, encoder: Encoder, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """A function that is told how many items are done: it moves a bar, calls `progress`, or does nothing."""
    if callable(progress):
        told = progress
        yield lambda count: told(count, total)
    elif progress:
        with tqdm(total=total, initial=done, desc=f"{encoder.name} ({encoder.modality})", unit="items") as bar:

            def move(count: int) -> None:
                bar.update(count - bar.n)

            yield move
    else:
        yield lambda count: None
