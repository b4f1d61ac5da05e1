"""Errors are sentences that any terminal can show and none obeys."""

import json
import os
import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from macrec.checkpoint import Checkpoint
from macrec.data.reading.parquet_table import read_table
from macrec.encoders.embeddings import open_npy
from macrec.encoders.store import read_json
from macrec.errors import DataError, printable
from macrec.files import MARKER, check_replaceable, write_json
from macrec.generation.states import StateSnapshots, read_states
from macrec.lock import holder
from macrec.quantization.id_files import read_npy_ids
from macrec.workbench.executed import read_executed
from macrec.workbench.run import Run


@given(st.text(st.characters(codec=None)))
def test_a_sentence_is_one_printable_line(text):
    said = str(DataError(text or "nothing", file=text, field=text, fix="do something"))
    assert said.isprintable()
    assert printable(said) == said  # what is printable stays as it is


DEEP = "[" * 1500 + "]" * 1500
"""JSON that is nested more deeply than Python reads."""


def kept_states(folder):
    StateSnapshots(folder, lambda: {"text": np.ones((2, 2), np.float32)}).after()
    return folder / "states-end.safetensors", lambda: read_states(folder / "states-end.safetensors")


def kept_checkpoint(folder):
    checkpoint = Checkpoint(folder, {})
    checkpoint.save(1, {"a": torch.zeros(1)}, {})
    return checkpoint.file, checkpoint.load


def kept_array(folder):
    np.save(folder / "a.npy", np.zeros((2, 2), np.float32))
    return folder / "a.npy", lambda: open_npy(folder / "a.npy")


def kept_codes(folder):
    np.save(folder / "a.npy", np.zeros((2, 2), np.int64))
    return folder / "a.npy", lambda: read_npy_ids(folder / "a.npy")


def kept_table(folder):
    pl.DataFrame({"item_id": ["a"]}).write_parquet(folder / "items.parquet")
    return folder / "items.parquet", lambda: read_table(folder / "items.parquet")


def kept_store(folder):
    write_json(folder / "meta.json", {})
    return folder / "meta.json", lambda: read_json(folder / "meta.json")


KEPT = [kept_states, kept_checkpoint, kept_array, kept_codes, kept_table, kept_store]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("kept", KEPT)
def test_a_file_that_cannot_be_opened_now_is_not_called_damaged(tmp_path, kept):
    import resource

    file, read = kept(tmp_path)
    read()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        open_files = max(stack.enter_context(Path(os.devnull).open()).fileno() for _ in range(3))
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_files - 2, limit[1]))
        try:
            with pytest.raises(DataError) as refused:
                read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
    said = str(refused.value)
    assert str(file) in said and "(Too many open files)" in said
    assert not re.search("remove|delete|write it again|fetch", said)


@pytest.mark.parametrize("kept", [kept_checkpoint, kept_store])
def test_json_of_ours_that_is_nested_too_deeply_is_refused_by_name(tmp_path, kept):
    file, read = kept(tmp_path)
    file.write_text(f'{{"a": {DEEP}}}')
    with pytest.raises(DataError, match=rf"{file.name}: .*(remove|delete)"):
        read()


@pytest.mark.parametrize("name", ["run.json", "metrics.json", "sweep.json"])
def test_files_of_a_run_that_are_nested_too_deeply_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_text(f'{{"a": {DEEP}}}')
    with pytest.raises(DataError, match=rf"{name}: the file holds no JSON object"):
        Run(tmp_path).read(name, {})


@pytest.mark.parametrize(("where", "source"), [("metadata", ""), ("cell", "x = " + "-" * 5_000 + "1")])
def test_notebooks_that_are_nested_too_deeply_are_refused_by_name(tmp_path, where, source):
    cell = {"cell_type": "code", "source": source, "outputs": [], "execution_count": 1}
    cell["metadata"] = {"tags": ["injected-parameters"]}
    text = json.dumps({"cells": [cell], "metadata": {"a": "DEEP"}, "nbformat": 4, "nbformat_minor": 4})
    (tmp_path / "01_x.ipynb").write_text(text.replace('"DEEP"', DEEP if where == "metadata" else "1"))
    with pytest.raises(DataError, match=r"01_x\.ipynb: this is no notebook that macrec has run"):
        read_executed(tmp_path / "01_x.ipynb")


def test_a_lock_and_a_marker_that_are_nested_too_deeply_tell_nothing(tmp_path):
    (tmp_path / "lock").write_text(DEEP)
    assert holder(tmp_path / "lock") == "another process"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / MARKER).write_text(DEEP)
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(DataError, match="the folder holds something else"):
        check_replaceable(tmp_path / "folder")


def test_words_stay_words():
    assert printable("Les Misérables, 悲惨世界, 🙂") == "Les Misérables, 悲惨世界, 🙂"


@pytest.mark.slow
def test_a_terminal_that_knows_fewer_letters_gets_the_sentence_all_the_same(tmp_path):
    command = [sys.executable, "-c", "from macrec.cli import main; main()", "datasets", "悲惨\x1b[31m"]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, check=False)
    said = done.stderr.decode("latin-1")
    assert done.returncode == 2 and "Traceback" not in said and said.isprintable() is False  # it ends with a newline
    assert "\\u60b2\\u60e8\\x1b[31m" in said and len(said.splitlines()) == 1
