"""Damaged inputs: every reader refuses with one sentence, or reads what a second, plain reader reads.

`--endure N` tries N mutations of each format in the place of a few dozen, and names all that go wrong.
"""

from __future__ import annotations

import random
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from macrec.data.curio import curio
from macrec.data.dataset import Dataset
from macrec.data.formats.amazon2018 import load_amazon_2018
from macrec.data.formats.amazon2023 import load_amazon_2023
from macrec.data.formats.benchmark_files import load_benchmark
from macrec.data.formats.lcrec import load_lcrec
from macrec.data.formats.movielens import load_movielens
from macrec.data.formats.parquet import load_parquet
from macrec.data.formats.recbole import load_recbole
from macrec.data.histories import PARTS
from macrec.data.item_file import load_items
from macrec.data.load import load_dataset
from macrec.data.split import parts_of
from macrec.encoders.npy import NpyEncoder
from macrec.errors import DataError
from tests.endure import readings, samples, seeds
from tests.endure.mutation import Files, mutated
from tests.endure.plain import Reading, Refused, Unsure

SHORT = 40
SECONDS = 20
"""How long one small input may take: that it ends, not how fast it is."""
GIBIBYTES = 2


class Reader(NamedTuple):
    """A sound input, what loads it, and the second reader."""

    files: Callable[[], Files]
    load: Callable[[Path], Any]
    reading: Callable[[Files], Any]


def items_of(name: str) -> Callable[[Path], Dataset]:
    return lambda folder: load_items(folder / name)


def in_layout(layout: str, name: str = "") -> Callable[[Path], Dataset]:
    return lambda folder: load_dataset(folder / name, layout)


def vectors(folder: Path) -> Any:
    return NpyEncoder(folder / "v.npy", "text").open(CATALOG)


CATALOG = curio("tiny")
CATALOG = Dataset("D", CATALOG.items.head(8), CATALOG.histories, CATALOG.user_ids, CATALOG.images)
READERS = {
    "recbole": Reader(seeds.recbole, load_recbole, readings.recbole),
    "recbole-sequences": Reader(seeds.recbole_sequences, load_recbole, readings.recbole_sequences),
    "lcrec": Reader(seeds.lcrec, lambda folder: load_lcrec(folder / "D"), readings.lcrec),
    "lcrec-bare": Reader(seeds.lcrec_bare, lambda folder: load_lcrec(folder / "D"), readings.lcrec),
    "amazon-2018": Reader(
        seeds.amazon_2018,
        lambda folder: load_amazon_2018(folder / "C.csv", folder / "C_5.json", folder / "meta_C.json", min_core=1),
        readings.amazon_2018,
    ),
    "amazon-2023": Reader(
        seeds.amazon_2023,
        lambda folder: load_amazon_2023(folder / "C.jsonl", folder / "meta_C.jsonl", min_core=1),
        readings.amazon_2023,
    ),
    "movielens-100k": Reader(seeds.movielens_100k, load_movielens, readings.movielens),
    "movielens-1m": Reader(seeds.movielens_1m, load_movielens, readings.movielens),
    "movielens-csv": Reader(seeds.movielens_csv, load_movielens, readings.movielens),
    "benchmark": Reader(samples.benchmark, lambda folder: load_benchmark(folder / "D"), samples.read_benchmark),
    "minionerec": Reader(samples.minionerec, in_layout("minionerec"), samples.read_minionerec),
    "s3rec": Reader(samples.s3rec, in_layout("s3rec", "D.txt"), samples.read_text),
    "sasrec": Reader(samples.sasrec, in_layout("s3rec", "D.txt"), samples.read_text),
    "taobao": Reader(samples.taobao, in_layout("taobao"), samples.read_taobao),
    "parquet": Reader(seeds.parquet, load_parquet, readings.parquet),
    "items-csv": Reader(seeds.items_csv, items_of("items.csv"), readings.item_table),
    "items-tsv": Reader(seeds.items_tsv, items_of("items.tsv"), readings.item_table),
    "items-json": Reader(seeds.items_json, items_of("items.json"), readings.item_table),
    "items-jsonl": Reader(seeds.items_jsonl, items_of("items.jsonl"), readings.item_table),
    "npy": Reader(seeds.npy, vectors, readings.npy),
}


@pytest.mark.parametrize("name", READERS)
def test_the_sound_input_is_read_by_both(tmp_path: Path, name: str) -> None:
    reader = READERS[name]
    assert outcome_of(reader, reader.files(), tmp_path) == (None, "read")
    reader.reading(reader.files())
    with pytest.raises(Refused):
        reader.reading({name: data[: len(data) // 2] + b"\0" for name, data in reader.files().items()})


@pytest.mark.parametrize("name", READERS)
def test_damaged_inputs_are_refused_or_read_as_a_second_reader_reads_them(
    tmp_path: Path, name: str, endure: int, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, wrong, before = READERS[name], [], peak()
    outcomes = Counter[str]()
    for seed in range(endure or SHORT):
        files = mutated(reader.files(), random.Random(f"{name} {seed}"))
        folder = tmp_path / str(seed)
        found, outcome = outcome_of(reader, files, folder)
        outcomes[outcome] += 1
        if found is not None:
            wrong.append(f"{folder}: {found}")
        else:
            remove(folder)
    if endure:
        with capsys.disabled():
            print(f"\n{name}: {endure:,} mutations, {dict(outcomes)}, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong[:30])
    assert outcomes["read"] and outcomes["refused"]
    assert peak() - before < GIBIBYTES << 20


def outcome_of(reader: Reader, files: Files, folder: Path) -> tuple[str | None, str]:
    """What is wrong with how `files`, written into `folder`, are read (None when nothing is), and what came of it."""
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    try:
        with ends():
            loaded = reader.load(folder)
    except DataError as error:
        is_sentence = "\n" not in str(error) and str(error).endswith(".")
        return None if is_sentence else f"no sentence: {error}", "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}", "failed"
    try:
        meant = reader.reading(files)
    except Unsure:
        return None, "read, not compared"
    except (Refused, KeyError) as error:
        return f"read, although a plain reader refuses it ({error!r})", "read"
    if not isinstance(loaded, Dataset):
        return None if np.array_equal(loaded.values, meant) else "other values", "read"
    return None if (ours := as_reading(loaded, meant)) == meant else f"read as {ours}, meant is {meant}", "read"


def peak() -> int:
    """The most memory that this process ever took, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def as_reading(dataset: Dataset, meant: Reading) -> Reading:
    """A dataset as the plain readers give it (without items where `meant` has none)."""
    ids, times = dataset.items["item_id"].to_list(), dataset.histories.timestamps
    events = [(ids[item], None if times is None else int(times[n])) for n, item in enumerate(dataset.histories.items)]
    offsets = dataset.histories.offsets
    histories = {user: events[offsets[u] : offsets[u + 1]] for u, user in enumerate(dataset.user_ids)}
    parts = None
    if meant.parts is not None:
        named = [PARTS[part] for part in parts_of(dataset.histories)]
        parts = {user: named[offsets[u] : offsets[u + 1]] for u, user in enumerate(dataset.user_ids)}
    titles = dataset.items["title"].to_list() if meant.items else []
    return Reading(ids if meant.items else [], histories, titles, parts)


@contextmanager
def ends() -> Iterator[None]:
    """Raise TimeoutError where the block takes longer than `SECONDS`."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"it did not end in {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def remove(folder: Path) -> None:
    """Take away a folder of files."""
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
