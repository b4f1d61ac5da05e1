"""The store. Run as a script, this file is a child process that computes in a store and may kill itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from macrec.data.dataset import Dataset, from_events
from macrec.encoders import (
    EmbeddingStore,
    HogColorEncoder,
    NpyEncoder,
    OpenClipEncoder,
    SentenceTransformerEncoder,
    TfidfEncoder,
)
from macrec.encoders import store as store_module
from macrec.encoders.store import folder_name
from macrec.errors import DataError
from macrec.lock import locked

N = 50


def dataset(n: int = N) -> Dataset:
    items = pl.DataFrame(
        {"item_id": [f"i{row}" for row in range(n)], "title": [f"item {row * row}" for row in range(n)]}
    )
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    return from_events("numbers", events, items, events_file="events", items_file="items")


@dataclass
class Toy:
    """Three numbers per item, and a note of who was asked for. Every tenth item cannot be encoded."""

    name: str = "toy"
    modality: str = "text"
    settings: dict[str, Any] = field(default_factory=lambda: {"scale": 1.5})
    asked: list[np.ndarray] = field(default_factory=list)
    before: Callable[[np.ndarray], None] = lambda rows: None

    def prepare(self, dataset: Dataset) -> None:
        pass

    def present(self, dataset: Dataset) -> np.ndarray:
        return np.arange(dataset.num_items) % 10 != 3

    def cost(self, dataset: Dataset) -> np.ndarray:
        return (np.arange(dataset.num_items) * 7) % 11

    def encode(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
        self.before(rows)
        self.asked.append(rows)
        return np.stack([np.sin(rows * 1.5), rows + 1, np.full(len(rows), 0.25)], axis=1).astype(np.float32)


def expected() -> np.ndarray:
    values = Toy().encode(dataset(), np.arange(N))
    values[~Toy().present(dataset())] = 0
    return values


def test_a_result_is_computed_once_and_then_opened_memory_mapped(tmp_path: Path) -> None:
    store, toy = EmbeddingStore(tmp_path, chunk=8), Toy()
    first = store.get(dataset(), toy, progress=False)
    asked = len(toy.asked)
    second = EmbeddingStore(tmp_path).get(dataset(), toy, progress=False)
    assert asked == 6
    assert len(toy.asked) == asked
    for result in (first, second):
        assert isinstance(result.values, np.memmap)
        np.testing.assert_array_equal(result.values, expected())
        np.testing.assert_array_equal(result.present, toy.present(dataset()))
        np.testing.assert_allclose(result.mean, expected()[result.present].mean(0), rtol=1e-5)
        assert result.std[2] == 1
    assert (second.modality, second.encoder) == ("text", "toy")


def test_absent_items_are_never_encoded_and_stay_zero(tmp_path: Path) -> None:
    toy = Toy()
    result = EmbeddingStore(tmp_path).get(dataset(), toy, progress=False)
    absent = np.flatnonzero(~toy.present(dataset()))
    assert not np.isin(absent, np.concatenate(toy.asked)).any()
    assert not result.values[absent].any()


def test_items_of_similar_cost_are_encoded_together_the_dearest_first(tmp_path: Path) -> None:
    toy = Toy()
    EmbeddingStore(tmp_path, chunk=7).get(dataset(), toy, progress=False)
    order = toy.cost(dataset())[np.concatenate(toy.asked)]
    assert (np.diff(order) <= 0).all()
    assert [len(rows) for rows in toy.asked] == [7, 7, 7, 7, 7, 7, 3]


def run_child(root: Path, kill_after: int) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, str(root), str(kill_after)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_computation_continues_where_its_last_chunk_ended(tmp_path: Path) -> None:
    child = run_child(tmp_path / "killed", kill_after=3)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert EmbeddingStore(tmp_path / "killed").entries() == []

    toy, whole = Toy(), Toy()
    resumed = EmbeddingStore(tmp_path / "killed", chunk=8).get(dataset(), toy, progress=False)
    uninterrupted = EmbeddingStore(tmp_path / "whole", chunk=8).get(dataset(), whole, progress=False)
    np.testing.assert_array_equal(np.concatenate(toy.asked), np.concatenate(whole.asked)[3 * 8 :])
    for name in ("values", "present", "mean", "std"):
        assert getattr(resumed, name).tobytes() == getattr(uninterrupted, name).tobytes()
    assert sorted(path.name for path in resumed_folder(tmp_path / "killed").iterdir()) == [
        "mean.npy",
        "meta.json",
        "present.npy",
        "std.npy",
        "values.npy",
    ]


def resumed_folder(root: Path) -> Path:
    return EmbeddingStore(root).entries()[0].folder


def test_a_computation_that_fails_leaves_no_result_and_is_continued(tmp_path: Path) -> None:
    def fail(rows: np.ndarray) -> None:
        if len(toy.asked) == 2:
            raise RuntimeError("out of memory")

    toy = Toy(before=fail)
    store = EmbeddingStore(tmp_path, chunk=8)
    with pytest.raises(RuntimeError, match="out of memory"):
        store.get(dataset(), toy, progress=False)
    assert store.entries() == []
    rest = Toy()
    np.testing.assert_array_equal(store.get(dataset(), rest, progress=False).values, expected())
    assert sum(map(len, rest.asked)) == 45 - 2 * 8


@pytest.mark.slow
def test_two_processes_at_once_compute_once(tmp_path: Path) -> None:
    with locked(tmp_path / f".{folder_name(dataset(), Toy())}.lock", "a test"):  # held until both stand before it
        children = [run_child(tmp_path, kill_after=0) for _ in range(2)]
        assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n", "ready\n"]
    outputs = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert sorted(int(out) for out, _ in outputs) == [0, 45]
    np.testing.assert_array_equal(EmbeddingStore(tmp_path).get(dataset(), Toy(), False).values, expected())


def test_the_key_depends_on_contents_name_modality_and_settings() -> None:
    toy = Toy()
    variants = [
        folder_name(dataset(), toy),
        folder_name(dataset(N + 1), toy),
        folder_name(dataset(), replace(toy, name="boy")),
        folder_name(dataset(), replace(toy, modality="image")),
        folder_name(dataset(), replace(toy, settings={"scale": 2.5})),
    ]
    assert len({name.rpartition("-")[2] for name in variants}) == len(variants)
    assert folder_name(dataset(), Toy()) == variants[0]


@pytest.mark.parametrize(
    ("encoder", "changes"),
    [
        (TfidfEncoder(), {"dim": 8, "fields": ("title",), "min_df": 1, "max_features": 9, "detail": 0.1, "seed": 1}),
        (HogColorEncoder(), {"size": 48, "orientations": 8}),
        (
            SentenceTransformerEncoder("owner/model"),
            {
                "model": "owner/other",
                "fields": ("title",),
                "combine": "mean",
                "max_length": 9,
                "dtype": "float16",
            },
        ),
        (
            OpenClipEncoder("ViT-B-32", None),
            {"model": "ViT-B-16", "pretrained": "openai", "precision": "fp16", "seed": 1},
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_every_setting_that_changes_the_vectors_changes_the_key(encoder: Any, changes: dict[str, Any]) -> None:
    data = dataset()
    names = {folder_name(data, encoder)}
    for name, value in changes.items():
        names.add(folder_name(data, replace(encoder, **{name: value})))
    assert len(names) == len(changes) + 1


@pytest.mark.parametrize("encoder", [SentenceTransformerEncoder("owner/model"), OpenClipEncoder()])
def test_what_changes_only_the_speed_does_not_change_the_key(encoder: Any) -> None:
    data = dataset()
    assert folder_name(data, replace(encoder, batch_size=3, device="cpu")) == folder_name(data, encoder)


def test_local_weights_are_known_by_their_contents_not_by_their_path(tmp_path: Path) -> None:
    for name, contents in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "weights").write_text(contents)
    for make in (
        lambda name: SentenceTransformerEncoder(str(tmp_path / name / "model")),
        lambda name: OpenClipEncoder("ViT-B-32", str(tmp_path / name / "model" / "weights")),
        lambda name: OpenClipEncoder(f"local-dir:{tmp_path / name / 'model'}", None),
    ):
        a, b, c = (folder_name(dataset(), make(name)) for name in "abc")
        assert a == b != c


def test_nan_from_an_encoder_names_the_item_and_is_not_stored(tmp_path: Path) -> None:
    @dataclass
    class Broken(Toy):
        def encode(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
            values = super().encode(dataset, rows)
            values[rows == 21, 1] = np.nan
            return values

    store = EmbeddingStore(tmp_path)
    with pytest.raises(DataError, match='item "i21", field "text": toy returned NaN'):
        store.get(dataset(), Broken(), progress=False)
    assert store.entries() == []


def test_a_dataset_with_nothing_to_encode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of the 50 items of numbers has something that hog-color encodes"):
        EmbeddingStore(tmp_path).get(dataset(), HogColorEncoder(), progress=False)


@pytest.mark.parametrize("file", ["values.npy", "present.npy", "mean.npy", "meta.json"])
def test_a_damaged_result_is_named_and_not_used(tmp_path: Path, file: str) -> None:
    store = EmbeddingStore(tmp_path)
    store.get(dataset(), Toy(), progress=False)
    path = store.entries()[0].folder / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=file):
        store.get(dataset(), Toy(), progress=False)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearly_full = shutil.disk_usage(tmp_path)._replace(free=599)  # 50 items of 3 float32 take 600 bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda path: nearly_full)
    with pytest.raises(DataError, match=r"the embeddings need 0\.0 MB .* MACREC_CACHE"):
        EmbeddingStore(tmp_path).get(dataset(), Toy(), progress=False)
    assert not list(tmp_path.rglob("values.npy"))


def test_half_precision_is_kept(tmp_path: Path) -> None:
    @dataclass
    class Half(Toy):
        def encode(self, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
            return super().encode(dataset, rows).astype(np.float16)

    assert EmbeddingStore(tmp_path).get(dataset(), Half(), progress=False).values.dtype == np.float16


def test_progress_is_told_to_a_function_or_drawn_on_stderr_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[int, int]] = []
    EmbeddingStore(tmp_path / "a", chunk=20).get(
        dataset(), Toy(), progress=lambda done, total: told.append((done, total))
    )
    assert told == [(20, 45), (40, 45), (45, 45)]
    EmbeddingStore(tmp_path / "b").get(dataset(), Toy(), progress=False)
    assert capsys.readouterr() == ("", "")
    EmbeddingStore(tmp_path / "c").get(dataset(), Toy(), progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "toy (text)" in err
    assert "45/45" in err


def test_the_root_can_be_chosen_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACREC_CACHE", str(tmp_path / "cache"))
    assert EmbeddingStore().root == tmp_path / "cache" / "embeddings"
    monkeypatch.delenv("MACREC_CACHE")
    assert EmbeddingStore().root.name == "embeddings"
    assert "macrec" in EmbeddingStore().root.parts


def test_entries_say_what_is_there(tmp_path: Path) -> None:
    store = EmbeddingStore(tmp_path / "none")
    assert store.entries() == []
    store.get(dataset(), Toy(), progress=False)
    (entry,) = store.entries()
    assert entry.folder.name == folder_name(dataset(), Toy())
    assert entry.meta["encoder"] == "toy"
    assert entry.meta["settings"] == {"scale": 1.5}
    assert entry.meta["fingerprint"] == dataset().modality_fingerprint(entry.meta["modality"])
    assert (entry.meta["items"], entry.meta["present"], entry.meta["dim"]) == (50, 45, 3)
    assert entry.size > 50 * 3 * 4


def test_vectors_made_elsewhere_are_opened_where_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", expected())
    store = EmbeddingStore(tmp_path / "store")
    result = store.get(dataset(), NpyEncoder(tmp_path / "v.npy", "text"))
    np.testing.assert_array_equal(result.values, expected())
    assert Path(result.values.filename) == tmp_path / "v.npy"  # type: ignore[attr-defined]
    assert store.entries() == []


def child(root: Path, kill_after: int) -> None:
    """Compute in a store, kill this process when `kill_after` chunks are done, print how many items were encoded."""

    def before(rows: np.ndarray) -> None:
        if kill_after and len(toy.asked) == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    toy = Toy(before=before)
    print("ready", flush=True)
    EmbeddingStore(root, chunk=8).get(dataset(), toy, progress=False)
    print(sum(map(len, toy.asked)))


if __name__ == "__main__":
    child(Path(sys.argv[1]), int(sys.argv[2]))


def partial_of(root: Path, chunks: int) -> Path:
    """The folder of a computation that failed after so many chunks of 8."""

    def fail(rows: np.ndarray) -> None:
        if len(toy.asked) == chunks:
            raise RuntimeError("stop")

    toy = Toy(before=fail)
    with pytest.raises(RuntimeError, match="stop"):
        EmbeddingStore(root, chunk=8).get(dataset(), toy, progress=False)
    (partial,) = root.glob(".*.partial")
    return partial


PROGRESS = [
    '{"done": -1, "seconds": 0}', '{"done": 1e9, "seconds": 0}', "{}", "[]", "null", "", "{", "[" * 100_000,
    '{"chunks": [], "seconds": -1}', '{"chunks": [[8, 1]], "seconds": NaN}', '{"chunks": [[8, 1]], "seconds": "1"}',
    '{"chunks": [[1000000000, 1]], "seconds": 0}', '{"chunks": [[-1, 1]], "seconds": 0}',
    '{"chunks": [[0, 1]], "seconds": 0}', '{"chunks": [[8.0, 1]], "seconds": 0}', '{"chunks": [[8]], "seconds": 0}',
    '{"chunks": [8], "seconds": 0}', '{"chunks": [[true, 1]], "seconds": 0}', '{"chunks": {"8": 1}, "seconds": 0}',
    '{"chunks": [[8, "1"]], "seconds": 0}',
]  # fmt: skip


@pytest.mark.parametrize("text", PROGRESS, ids=range(len(PROGRESS)))
def test_progress_that_no_run_has_left_is_refused(tmp_path: Path, text: str) -> None:
    partial_of(tmp_path, 2).joinpath("progress.json").write_text(text)
    toy = Toy()
    with pytest.raises(DataError, match=r"progress\.json: the embedding store is damaged .*; delete .*\.partial"):
        EmbeddingStore(tmp_path).get(dataset(), toy, progress=False)
    assert not toy.asked


def test_chunks_that_are_not_as_they_were_written_are_computed_again(tmp_path: Path) -> None:
    partial = partial_of(tmp_path, 4)
    values = np.lib.format.open_memmap(partial / "values.npy", mode="r+")
    order = np.argsort(-Toy().cost(dataset())[Toy().present(dataset())].astype(int), kind="stable")
    values[np.flatnonzero(Toy().present(dataset()))[order[17]], 1] += 1  # in the third chunk of 8
    values.flush()
    toy = Toy()
    result = EmbeddingStore(tmp_path, chunk=8).get(dataset(), toy, progress=False)
    np.testing.assert_array_equal(result.values, expected())
    assert sum(map(len, toy.asked)) == 45 - 2 * 8


@pytest.mark.parametrize("shape", [(N, 4), (N - 1, 3), (N,), (N, 3, 1)])
def test_values_of_another_shape_are_not_gone_on_with(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(partial_of(tmp_path, 2) / "values.npy", np.zeros(shape, np.float32))
    if shape == (N, 4):  # whose rows are not as they were written: all are computed again, and do not fit
        with pytest.raises(DataError, match=r"values\.npy: .*its rows hold 4 float32 where 3 float32"):
            EmbeddingStore(tmp_path).get(dataset(), Toy(), progress=False)
        return
    with pytest.raises(DataError, match=r"values\.npy: the embedding store is damaged"):
        EmbeddingStore(tmp_path).get(dataset(), Toy(), progress=False)


@pytest.mark.parametrize("file", ["values.npy", "present.npy", "mean.npy", "std.npy"])
def test_a_flipped_bit_is_noticed_on_the_first_use_of_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    store = EmbeddingStore(tmp_path)
    store.get(dataset(), Toy(), progress=False)
    monkeypatch.setattr("macrec.encoders.store._SOUND", set())  # as in another process
    path = store.entries()[0].folder / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:])
    with pytest.raises(
        DataError, match=rf"{file}: the embedding store is damaged here \(its checksum differs\); delete"
    ):
        store.get(dataset(), Toy(), progress=False)
    path.write_bytes(whole)
    store.get(dataset(), Toy(), progress=False)


def test_values_are_read_once_a_process_unless_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, read = EmbeddingStore(tmp_path), []
    checksums = store_module.checksums
    monkeypatch.setattr(store_module, "checksums", lambda found: read.append(1) or checksums(found))
    for _ in range(3):
        store.get(dataset(), Toy(), progress=False)
    assert len(read) == 2  # when they were written, and when they were opened
    values = store.entries()[0].folder / "values.npy"
    os.utime(values, (0, 0))  # whatever a clock says
    store.get(dataset(), Toy(), progress=False)
    assert len(read) == 3


@pytest.mark.parametrize(
    "changed",
    [
        {"fingerprint": "other"},
        {"format": 1},
        {"modality": 3},
        {"encoder": None},
        {"checksums": None},
        {"checksums": {}},
    ],
)
def test_a_result_of_something_else_is_not_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    store = EmbeddingStore(tmp_path)
    store.get(dataset(), Toy(), progress=False)
    monkeypatch.setattr(store_module, "_SOUND", set())
    meta = store.entries()[0].folder / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | changed))
    with pytest.raises(DataError, match="the embedding store is damaged here"):
        store.get(dataset(), Toy(), progress=False)


def test_the_name_of_a_folder_fits_whatever_an_encoder_is_called(tmp_path: Path) -> None:
    long = Toy(name="weights/" * 60)
    np.testing.assert_array_equal(EmbeddingStore(tmp_path).get(dataset(), long, False).values, expected())
