"""`macrec append`, from the command to the generator that recommends: what it prints, writes and refuses."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from macrec.cli import app
from macrec.data.dataset import ITEM_COLUMNS
from macrec.errors import DataError
from macrec.quantization.manifest import FILE, Manifest
from macrec.quantization.semantic_ids import load_semantic_ids
from macrec.systems import LIGER
from macrec.training import drain
from macrec.workbench.append import append_items, open_appended
from macrec.workbench.append_report import append_report
from macrec.workbench.trained_systems import open_inputs, open_trained_systems


@pytest.fixture(scope="module")
def trained(small_run):
    return open_trained_systems(small_run)


@pytest.fixture(scope="module")
def files(tmp_path_factory, trained):
    """Two folders of new items that look like old ones, each with an items.parquet and its pictures."""
    data, folders = trained[0].context.data, []
    for name, rows in (("one", [3, 40, 3]), ("two", [7, 90])):
        folder = tmp_path_factory.mktemp(name)
        (folder / "images").mkdir()
        items = data.items.select(list(ITEM_COLUMNS))[rows]
        ids = [f"{name}-{place}" for place in range(len(rows))]
        pictures = [f"{one}.png" if data.images.present[row] else None for one, row in zip(ids, rows, strict=True)]
        for picture, row in zip(pictures, rows, strict=True):
            if picture:
                data.images.open(row).save(folder / "images" / picture)
        items = items.with_columns(pl.Series("item_id", ids), pl.Series("image_file", pictures, pl.String)).drop(
            "image"
        )
        items.write_parquet(folder / "items.parquet")
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def appended(small_run, files, tmp_path_factory):
    """The folder after one file, and after the other."""
    out = tmp_path_factory.mktemp("out") / "new"
    first = append_items(small_run, files[0], out)
    kept = shutil.copytree(out, out.with_name("kept"))
    second = append_items(small_run, files[1], out)
    return first, kept, second, out


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_old_ids_stay_in_every_version_and_older_files_too(trained, appended):
    first, kept, second, out = appended
    known = trained[0].context.data.num_items
    for modality, table in trained[1]["MACRec"].decoder.tables.ids.items():
        ids = [load_semantic_ids(out / f"macrec/{modality}.v{number}.parquet") for number in (2, 3)]
        assert [len(each) for each in ids] == [known + 3, known + 5]
        for each in ids:
            assert np.array_equal(each.codes[:known], table.codes) and len(np.unique(each.codes, axis=0)) == len(each)
        assert np.array_equal(ids[1].codes[: known + 3], ids[0].codes)
    before, after = contents(kept), contents(out)
    assert {name: after[name] for name in before if ".v2." in name} == {
        name: content for name, content in before.items() if ".v2." in name
    }
    assert [version.items for version in second.catalog.manifest.versions] == [known, known + 3, known + 5]
    assert first.moved["MACRec"]["text"].tolist()[2]  # it looks like the first, so that one of the two moved


def test_both_files_at_once_give_the_same_ids(small_run, files, tmp_path, appended):
    both = tmp_path / "both"
    shutil.copytree(files[0] / "images", both / "images")
    shutil.copytree(files[1] / "images", both / "images", dirs_exist_ok=True)
    pl.concat([pl.read_parquet(file / "items.parquet") for file in files]).write_parquet(both / "items.parquet")
    together = append_items(small_run, both, tmp_path / "out")
    for modality, table in together.catalog.tables["MACRec"].items():
        assert np.array_equal(table.codes, appended[2].catalog.tables["MACRec"][modality].codes)


def test_a_folder_is_opened_again_and_recommends_as_it_did(small_run, trained, appended):
    _, _, second, out = appended
    again, samples = open_appended(small_run, out), second.split.test.take(np.arange(20))
    known = trained[0].context.data.num_items
    for name, system in again.systems.items():
        one, other = system.recommend(samples, 40), second.systems[name].recommend(samples, 40)
        assert np.array_equal(one.items, other.items) and np.allclose(one.scores, other.scores)
        everything = system.decoder.exact(samples, known + 5)
        assert all(set(items) == set(range(known + 5)) for items in everything.items)
    assert again.data.items["item_id"].to_list()[known:] == ["one-0", "one-1", "one-2", "two-0", "two-1"]
    assert again.data.items["title"][known] == again.data.items["title"][3]
    for row, old in ((known, 3), (known + 3, 7)):
        if again.data.images.present[old]:
            assert again.data.images.open(row).tobytes() == again.data.images.open(old).convert("RGB").tobytes()


def run(*arguments):
    return CliRunner().invoke(app, ["append", *map(str, arguments)])


def test_the_command_says_what_became_of_the_items(small_run, tmp_path):
    table = tmp_path / "new.csv"
    table.write_text("item_id,title\na,Oak lamp\nb,Oak lamp\nc,Steel mug\nd,Glass lamp\n")
    out = tmp_path / "out"
    done = run(small_run, "--items", table, "--out", out, "--for-users", 2)
    assert done.exit_code == 0, done.output
    assert f"4 new items behind 160, version 2 in {out}" in done.output
    assert "MACRec, text: " in done.output and "4 have no image: their ID says nothing" in done.output
    assert "  Oak lamp: " in done.output and "… and 1 more" in done.output
    assert done.output.count("MACRec, user ") == 2
    assert str(out / "macrec" / "text.v2.parquet") in done.output
    before = contents(out)
    nothing = tmp_path / "none.parquet"
    pl.DataFrame({"item_id": []}, {"item_id": pl.String}).write_parquet(nothing)
    done = run(small_run, "--items", nothing, "--out", out)
    assert done.exit_code == 0 and done.output == f"No new items: {out} stays at version 2.\n"
    assert contents(out) == before


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["two-0,Lamp", "x,Lamp", "x,Mug"], 'the id "x" occurs again'),
        (["two-0,Lamp"], 'row 1, field "item_id": the id "two-0" is in the catalog already'),
        (["new,"], 'the item "new" has no text and no image, and MACRec knows items by nothing else'),
        (["{old},Lamp"], "is in the catalog already"),
    ],
)
def test_items_that_cannot_be_appended_are_refused_and_nothing_is_written(
    small_run, trained, appended, tmp_path, rows, words
):
    out = shutil.copytree(appended[3], tmp_path / "out")
    table, before = tmp_path / "new.csv", contents(out)
    old = trained[0].context.data.items["item_id"][5]
    table.write_text("\n".join(["item_id,title", *rows]).replace("{old}", old) + "\n")
    with pytest.raises(DataError, match="new.csv.*" + words if "MACRec" not in words else words):
        append_items(small_run, table, out)
    assert contents(out) == before


def test_what_does_not_fit_the_run_or_was_changed_is_refused(small_run, appended, tmp_path, files):
    out = shutil.copytree(appended[3], tmp_path / "out")
    table = out / "macrec" / "text.v3.parquet"
    ids = load_semantic_ids(table)
    content = table.read_bytes()
    table.unlink()
    type(ids)(ids.codes[::-1].copy(), ids.codebooks, ids.sizes, ids.item_ids).save(table)
    for refuse in (lambda: open_appended(small_run, out), lambda: append_items(small_run, files[0], out)):
        with pytest.raises(DataError, match=r"text.v3.parquet: the file is not the one that the manifest names"):
            refuse()
    table.write_bytes(content)
    manifest = Manifest.load(out)
    Manifest(manifest.made_from | {"data": "another"}, manifest.versions).save(out)
    with pytest.raises(DataError, match=r"these semantic IDs belong to another run: its data differ"):
        open_appended(small_run, out)
    (out / FILE).write_text(json.dumps({"versions": []}))
    with pytest.raises(DataError, match="the manifest is damaged"):
        append_items(small_run, files[0], out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(DataError, match="the folder holds something else"):
        append_items(small_run, files[0], tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_a_run_without_a_generator_of_this_name_is_refused(small_run, files, tmp_path):
    with pytest.raises(DataError, match='the run holds no "LIGER" that was trained to its end'):
        append_items(small_run, files[0], tmp_path / "out", "LIGER")
    with pytest.raises(DataError, match='the run has no encoder of "sound"'):
        append_items(small_run, files[0], tmp_path / "out", vectors={"sound": "a.npy"})
    assert not (tmp_path / "out").exists()
    done = run(small_run, "--items", files[0], "--out", tmp_path / "out", "--vectors", "text")
    assert isinstance(done.exception, DataError) and "write MODALITY=FILE.npy" in str(done.exception)


def test_a_write_that_fails_leaves_the_folder_as_it_was(small_run, appended, tmp_path, monkeypatch):
    out, table = shutil.copytree(appended[3], tmp_path / "out"), tmp_path / "new.csv"
    before = contents(out)
    table.write_text("item_id,title\nlate,Oak lamp\n")

    def fail(self, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Manifest, "save", fail)
    for folder in (out, tmp_path / "fresh"):
        with pytest.raises(OSError, match="No space left"):
            append_items(small_run, table, folder)
    assert contents(out) == before and not (tmp_path / "fresh").exists()


def test_liger_is_found_beside_the_generator_and_has_every_new_item_among_its_candidates(small_run, files, tmp_path):
    folder = shutil.copytree(small_run, tmp_path / "run")
    context = open_inputs(folder).context
    drain(LIGER(context).fit(context.data, context.split))
    appended = append_items(folder, files[0], tmp_path / "out")
    assert list(appended.systems) == ["MACRec", "LIGER"] and set(appended.catalog.tables["LIGER"]) == {"text"}
    known, samples = context.data.num_items, appended.split.test.take(np.arange(20))
    ranking = appended.systems["LIGER"].recommend(samples, known + 3)
    assert all({known, known + 1, known + 2} <= set(items) for items in ranking.items)
    places = [[list(items).index(known + new) for new in range(3)] for items in ranking.items]
    assert all(one + 1 == two for one, _, two in places)  # two that look alike stand beside each other
    report = append_report(appended, users=1)
    assert "LIGER, text: " in report and "LIGER, user " in report and "3 of " in report.split("LIGER, user ")[1]
    assert list(open_appended(folder, tmp_path / "out").systems) == ["MACRec", "LIGER"]
    with pytest.raises(DataError, match='the run holds no "LIGER"'):
        open_appended(small_run, tmp_path / "out")
