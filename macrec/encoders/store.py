"""Embeddings on disk: computed once, keyed by everything that went into them, continued after a kill.

One folder per result, `<encoder>-<digest>/`, with `values.npy`, `present.npy`, `mean.npy`, `std.npy` and `meta.json`,
which holds a checksum of every array, of the values chunk by chunk. While it is being computed it is called
`.<encoder>-<digest>.partial/` and holds a list of the chunks done so far. The rename at the end makes it a result.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import re
import shutil
import time
import zlib
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
from macrec.encoders.embeddings import UNREADABLE, Embeddings, chunks, open_npy, statistics
from macrec.encoders.encoder import Encoder, GivenVectors, digest_path
from macrec.errors import DataError, unseen
from macrec.files import write_json
from macrec.lock import locked

FORMAT_VERSION = 2
"""Part of every key; raise it when what is in the folders changes its meaning."""

Progress = bool | Callable[[int, int], None]
"""True for a bar on stderr, False for nothing, or a function called with (items done, items in all)."""


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

    def get(self, dataset: Dataset, encoder: Encoder | GivenVectors, progress: Progress = True) -> Embeddings:
        """The embeddings of `dataset` by `encoder`, memory-mapped; computed now if they are not there.

        A computation that was killed is continued where its last chunk ended; of two processes that compute the same,
        one computes and the other waits. Raises DataError when no item can be encoded, when the encoder returns NaN
        or infinity for one, and when a folder of the store is damaged.
        """
        if isinstance(encoder, GivenVectors):
            return encoder.open(dataset)  # already a file: nothing to compute and nothing to copy
        folder = self.root / folder_name(dataset, encoder)
        if not folder.is_dir():
            with locked(folder.with_name(f".{folder.name}.lock"), f"computing {folder.name}"):
                if not folder.is_dir():
                    self.compute(dataset, encoder, folder, progress)
        return opened(folder, key(dataset, encoder), dataset.num_items)

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

        Chunks are on disk before they are listed, so the list never promises more than there is; those that are not as
        they were written are computed again, with all after them.
        """
        values: NDArray[Any] | None = None
        listed, seconds = read_progress(partial, len(rows))
        if listed:
            values = reopened(partial / "values.npy", dataset.num_items)
            listed = sound_chunks(values, rows, listed)
        done = sum(count for count, _ in listed)
        with reporting(progress, encoder, done, len(rows)) as report:
            while done < len(rows):
                begin = time.perf_counter()
                chosen = rows[done : done + self.chunk]
                block = checked(encoder.encode(dataset, chosen), chosen, dataset, encoder)
                if values is None:
                    values = new_values(partial / "values.npy", (dataset.num_items, block.shape[1]), block.dtype)
                if values.shape[1] != block.shape[1] or values.dtype != block.dtype:
                    actual = f"{values.shape[1]} {values.dtype} where {block.shape[1]} {block.dtype} are being computed"
                    raise damaged(partial / "values.npy", f"its rows hold {actual}")
                values[chosen] = block
                values.flush()  # type: ignore[attr-defined]  # a memmap
                done += len(chosen)
                listed.append((len(chosen), crc32(np.ascontiguousarray(block))))
                seconds += time.perf_counter() - begin
                write_json(partial / "progress.json", {"chunks": listed, "seconds": seconds})
                report(done)
        return seconds

    def entries(self) -> list[Entry]:
        """The finished results, by name."""
        files = sorted(self.root.glob("*/meta.json")) if self.root.is_dir() else []
        return [
            Entry(meta.parent, read_json(meta), sum(file.stat().st_size for file in meta.parent.iterdir()))
            for meta in files
            if not meta.parent.name.startswith(".")
        ]


def cache_folder() -> Path:
    """The folder in MACREC_CACHE, or the user's cache folder for macrec."""
    chosen = os.environ.get("MACREC_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("macrec")


def key(dataset: Dataset, encoder: Encoder) -> dict[str, Any]:
    """All that the vectors depend on; for an encoder that is not ours the code of its file as well."""
    ours = type(encoder).__module__.startswith("macrec.")
    return ({} if ours else {"code": code_of(encoder)}) | {
        "format": FORMAT_VERSION,
        "encoder": encoder.name,
        "modality": encoder.modality,
        "settings": dict(encoder.settings),
        "fingerprint": dataset.modality_fingerprint(encoder.modality),
    }


def code_of(encoder: Encoder) -> str:
    """A digest of the file that defines the encoder; "" where there is none, as in a notebook."""
    try:
        file = inspect.getsourcefile(type(encoder))
    except (TypeError, OSError):
        return ""
    return digest_path(Path(file)) if file and Path(file).is_file() else ""


def folder_name(dataset: Dataset, encoder: Encoder) -> str:
    """`<encoder>-<12 hexadecimal digits of the key>`."""
    text = json.dumps(key(dataset, encoder), sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '-', encoder.name).strip('-')[:80]}-{digest}"


_SOUND: set[tuple[Path, int, int]] = set()
"""The values files that this process has seen to be sound, with their inode and time of change."""


def opened(folder: Path, wanted: dict[str, Any], items: int) -> Embeddings:
    """Open a finished result, memory-mapped, for `wanted` (see `key`). Raises DataError that names the damaged file.

    On its first use in a process the values are read once and compared with their checksums: a second per gigabyte.
    """
    meta_file = folder / "meta.json"
    meta = read_json(meta_file)
    if {name: meta.get(name) for name in wanted} != json.loads(json.dumps(wanted)):
        raise damaged(meta_file, "it is of something else")
    values = open_npy(folder / "values.npy")
    present, mean, std = (np.array(open_npy(folder / f"{name}.npy")) for name in ("present", "mean", "std"))
    try:
        embeddings = Embeddings(meta["modality"], meta["encoder"], values, present, mean, std)
    except (TypeError, KeyError) as error:
        raise damaged(folder, str(error)) from error
    if len(embeddings) != items:
        raise damaged(folder, f"it holds {len(embeddings)} items of {items}")
    state = (folder / "values.npy").stat()
    if (seen := (folder.resolve(), state.st_ino, state.st_mtime_ns)) not in _SOUND:
        sums = meta.get("checksums")
        now = checksums(embeddings)
        for name, value in now.items():
            if not isinstance(sums, dict) or sums.get(name) != value:
                raise damaged(folder / f"{name}.npy", "its checksum differs")
        _SOUND.add(seen)
    return embeddings


def checksums(embeddings: Embeddings) -> dict[str, Any]:
    """The CRC-32 of every array; of the values one per chunk."""
    about: dict[str, Any] = {name: crc32(getattr(embeddings, name)) for name in ("present", "mean", "std")}
    return about | {
        "values": [crc32(np.ascontiguousarray(embeddings.values[rows])) for rows in chunks(embeddings.values)]
    }


def crc32(array: NDArray[Any]) -> int:
    """The CRC-32 of the bytes of a contiguous array."""
    return zlib.crc32(array.data) if array.size else 0


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the store's own files."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise unseen(error, path) or damaged(path, str(error)) from error
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


def read_progress(partial: Path, rows: int) -> tuple[list[tuple[int, int]], float]:
    """The chunks that the runs before this one have done, as (rows, CRC-32), and their seconds; ([], 0) for none.

    Raises DataError for what no run can have left for so many `rows`.
    """
    file = partial / "progress.json"
    if not file.exists():
        return [], 0.0
    progress = read_json(file)
    listed, seconds = progress.get("chunks"), progress.get("seconds")
    if not isinstance(listed, list) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise damaged(file, "chunks or seconds are missing")
    for chunk in listed:
        if not isinstance(chunk, list) or [type(number) for number in chunk] != [int, int] or chunk[0] < 1:
            raise damaged(file, f"{chunk!r:.40} is no chunk")
    if sum(count for count, _ in listed) > rows:
        raise damaged(file, f"more than {rows} rows are done")
    return [(count, crc) for count, crc in listed], float(seconds)


def sound_chunks(
    values: NDArray[Any], rows: NDArray[np.integer], listed: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """The first of the `listed` chunks of `rows`, as far as `values` hold what was written."""
    done = 0
    for number, (count, crc) in enumerate(listed):
        if crc32(values[rows[done : done + count]]) != crc:
            return listed[:number]
        done += count
    return listed


def reopened(file: Path, items: int) -> NDArray[Any]:
    """The growing array of the run before."""
    try:
        values: NDArray[Any] = np.lib.format.open_memmap(file, mode="r+")
    except UNREADABLE as error:
        raise unseen(error, file) or damaged(file, str(error)) from error
    if values.ndim != 2 or len(values) != items or values.dtype not in (np.float16, np.float32):
        raise damaged(file, f"it holds {values.shape} {values.dtype} for {items} items")
    return values


def new_values(file: Path, shape: tuple[int, int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A new array of zeros."""
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
    embeddings = Embeddings(meta["modality"], meta["encoder"], values, present, mean, std)
    for name in ("present", "mean", "std"):
        np.save(partial / f"{name}.npy", getattr(embeddings, name))
    items, dim = values.shape
    shape = {"items": items, "present": int(present.sum()), "dim": dim, "dtype": values.dtype.name}
    write_json(partial / "meta.json", {**meta, **shape, "checksums": checksums(embeddings)})


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
            fix="check this item; with half precision, use full",
        )
    return block


@contextmanager
def reporting(progress: Progress, encoder: Encoder, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """A function called with the number of items done: it moves a bar, calls `progress`, or does nothing."""
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
