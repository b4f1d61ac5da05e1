"""The manifest of versions: every one is bound to the one before, and what does not belong together is refused."""

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization.manifest import FILE, Manifest, digest_of
from macrec.quantization.semantic_ids import SemanticIds

FROM = {"data": "d", "encoders": {"text": ["tfidf", 1]}, "codebooks": {"text": "c"}}


def table(items, seed=0):
    codes = np.random.default_rng(seed).integers(4, size=(20, 3))[:items]
    return {"text": SemanticIds.from_codes(codes, ("a", "b", "c"), (4, 4, 4), pl.Series(map(str, range(items))))}


def three():
    manifest = Manifest.of(FROM, table(5)).with_version(table(7), {"items": "x"})
    return manifest.with_version(table(9), {"items": "y"})


def test_versions_are_a_chain_and_come_back_from_the_file(tmp_path):
    manifest = three()
    assert [(v.number, v.items) for v in manifest.versions] == [(1, 5), (2, 7), (3, 9)]
    assert [v.parent for v in manifest.versions[1:]] == [v.digest for v in manifest.versions[:-1]]
    manifest.save(tmp_path)
    again = Manifest.load(tmp_path)
    assert again == manifest
    again.check_made_from(FROM, tmp_path)
    again.check_older(table(9), 3, tmp_path)
    again.check_older(table(7), 2, tmp_path)


@given(st.integers(0, 8), st.integers(0, 2), st.integers(1, 3))
def test_any_id_that_changes_is_noticed(row, level, by):
    manifest, ids = three(), table(9)["text"]
    codes = ids.codes.copy()
    codes[row, level] = (codes[row, level] + by) % 4
    changed = {"text": SemanticIds.from_codes(codes, ids.codebooks, ids.sizes, ids.item_ids)}
    first = 1 if row < 5 else 2 if row < 7 else 3
    words = f"an ID of version {first} in the table text has moved" if first < 3 else "not those of the manifest"
    with pytest.raises(DataError, match=words):
        manifest.check_older(changed, 3)
    if first < 3:
        with pytest.raises(DataError, match=words):
            manifest.with_version(changed, {})


def test_another_run_is_refused_by_what_differs(tmp_path):
    other = FROM | {"codebooks": {"text": "other"}, "data": "e"}
    with pytest.raises(DataError, match=r"manifest.json: these semantic IDs belong to another run: its codebooks and"):
        three().check_made_from(other, tmp_path)
    with pytest.raises(DataError, match="lacks items of version 2"):
        three().check_older(table(6), 3)


@pytest.mark.parametrize("place", range(0, 840, 37))
def test_a_damaged_manifest_is_refused(tmp_path, place):
    three().save(tmp_path)
    content = (tmp_path / FILE).read_text()
    assert len(content) > 840
    letter = content[place]
    changed = content[:place] + ("0" if letter != "0" else "1") + content[place + 1 :]
    if letter.isspace():  # white space says nothing
        changed = content[:place]
    (tmp_path / FILE).write_text(changed)
    with pytest.raises(DataError, match=r"manifest.json: the manifest is damaged .*; restore it, or append again"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"digest": 1}', "null", '{"digest": "", "versions": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / FILE).write_text(content)
    with pytest.raises(DataError, match="the manifest is damaged"):
        Manifest.load(tmp_path)


def test_a_version_that_was_exchanged_or_a_folder_without_any_is_refused(tmp_path):
    with pytest.raises(DataError, match="the folder holds no versions of semantic IDs"):
        Manifest.load(tmp_path)
    three().save(tmp_path)
    content = json.loads((tmp_path / FILE).read_text())
    content["versions"][1]["items"] = 6
    del content["digest"]
    (tmp_path / FILE).write_text(json.dumps(content | {"digest": digest_of(content)}))
    with pytest.raises(DataError, match="version 3 does not continue the one before"):
        Manifest.load(tmp_path)
