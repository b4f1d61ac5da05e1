"""One file is enough: a toy works by the path of its file, or dropped into the package, and nothing else is edited."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from macrec import encoders
from macrec.data import formats, load_dataset
from macrec.discovery import of_file
from macrec.encoders import EmbeddingStore, available, make_encoder
from macrec.errors import DataError
from macrec.experiments import encode_modalities, modality_specs
from macrec.workbench.file_parameters import locate

HERE = Path(__file__).parent


@pytest.fixture
def dropped_in(tmp_path, monkeypatch):
    """Put a copy of a toy into a package, as a file beside its own."""

    def drop(package, toy):
        folder = tmp_path / package.__name__
        folder.mkdir()
        shutil.copy(HERE / toy, folder)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
        name = f"{package.__name__}.{Path(toy).stem}"
        importlib.invalidate_caches()
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))

    return drop


def test_an_encoder_by_the_path_of_its_file(tmp_path):
    data = load_dataset("curio:tiny")
    found = EmbeddingStore(tmp_path).get(data, make_encoder(f"{HERE / 'letters.py'}:aeiou"), progress=False)
    title = data.items["title"][3].lower()
    assert found.values[3].tolist() == [title.count(letter) for letter in "aeiou"]


def test_an_encoder_of_a_file_as_the_parameters_of_a_notebook_name_it(monkeypatch):
    """The way of `text_encoder` and `modalities` from the command line into the cells."""
    monkeypatch.chdir(HERE)
    text, further = locate("text_encoder", "letters.py"), locate("modalities", "text/title=letters.py:xyz")
    embeddings = encode_modalities(load_dataset("curio:tiny"), modality_specs(text, "", further))
    assert {name: found.dim for name, found in embeddings.items()} == {"text": 26, "text/title": 3}


def test_an_encoder_that_is_dropped_in(dropped_in):
    with pytest.raises(DataError, match="no encoder"):
        make_encoder("letters")
    dropped_in(encoders, "letters.py")
    assert make_encoder("letters:xyz").settings == {"letters": "xyz"}
    listed = {entry.spec: entry for entry in available()}
    assert listed["letters[:<letters>]"][1:] == ("text", True, "", "a toy") and "tfidf[:<field>]" in listed


def test_changed_code_of_an_own_encoder_makes_its_vectors_anew(tmp_path):
    data, file = load_dataset("curio:tiny"), tmp_path / "letters.py"
    code = (HERE / "letters.py").read_text()
    file.write_text(code)
    store = EmbeddingStore(tmp_path / "store")
    before = store.get(data, make_encoder(str(file)), progress=False)
    file.write_text(code.replace("title.count(letter)", "2 * title.count(letter)"))
    after = store.get(data, make_encoder(str(file)), progress=False)
    np.testing.assert_array_equal(2 * before.values, after.values)
    assert len(store.entries()) == 2


@pytest.fixture
def triples(tmp_path):
    file = tmp_path / "shop.triples"
    file.write_text("u b 2\nu a 1\nv a 1\nu c 3\n")
    return file


def histories(data):
    return [data.items["item_id"].gather(history).to_list() for history in data.histories]


def test_a_format_by_the_path_of_its_file(triples):
    assert histories(load_dataset(f"{HERE / 'triples.py'}:{triples}")) == [["a", "b", "c"], ["a"]]
    assert load_dataset(triples, layout=str(HERE / "triples.py")).name == "shop"
    with pytest.raises(DataError, match="no known layout"):
        load_dataset(triples)


def test_a_format_that_is_dropped_in(triples, dropped_in):
    dropped_in(formats, "triples.py")
    assert histories(load_dataset(triples)) == [["a", "b", "c"], ["a"]]
    assert load_dataset(f"triples:{triples}").name == "shop"


def test_paths_of_toys_are_meant_from_where_the_command_is_typed(triples, monkeypatch):
    monkeypatch.chdir(HERE)
    assert locate("text_encoder", "letters.py:xyz") == f"{HERE / 'letters.py'}:xyz"
    assert locate("dataset", f"triples.py:{triples}") == f"{HERE / 'triples.py'}:{triples}"
    with pytest.raises(DataError, match=r'field "text_encoder": there is no such file'):
        locate("text_encoder", "gone.py")


def test_a_file_changed_within_a_second_to_one_as_long_is_run_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "mine.py"
    for number in (1, 2):
        file.write_text(f"ENCODER = {number}")
        os.utime(file, ns=(10**18 + number, 10**18 + number))
        assert of_file(file, "ENCODER") == number


def test_a_file_that_is_no_toy_is_named(tmp_path):
    file = tmp_path / "mine.py"
    for code, words in (("1 / 0", "does not run (ZeroDivisionError"), ("x = 1", "does not define ENCODER")):
        file.write_text(code)
        with pytest.raises(DataError) as caught:
            of_file(file, "ENCODER")
        assert words in str(caught.value) and "mine.py" in str(caught.value)
