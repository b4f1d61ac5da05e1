"""The command line as a person meets it: its output, its sentences and its exit codes."""

import errno
import gzip
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import polars as pl
import pytest
from nbclient.exceptions import CellTimeoutError

from macrec.cli import main
from macrec.cli.endings import about_files
from macrec.cli.notebooks import Log
from macrec.workbench.execution import Step


def macrec(*arguments):
    """Run the command in this process, as one of its own takes seconds; returns exit code, stdout and stderr."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["macrec", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
    return left.value.code, out.getvalue(), err.getvalue()


@pytest.mark.slow
def test_a_process_of_its_own_ends_with_one_sentence_and_exit_code_2():
    command = [sys.executable, "-c", "from macrec.cli import main; main()", "datasets", ""]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == macrec("datasets", "") and done.returncode == 2


@pytest.mark.slow
def test_the_card_of_the_built_in_catalog_comes_with_the_oracle():
    code, out, _ = macrec("datasets", "curio:tiny", "--json")
    card = json.loads(out)
    assert code == 0 and card["items"] == 160 and card["fingerprint"]
    assert card["ceiling"]["oracle"]["HR@10"] > card["ceiling"]["popularity"]["HR@10"]
    code, out, _ = macrec("datasets", "curio:tiny")
    assert code == 0 and "HR@10" in out and f"{card['ceiling']['oracle']['NDCG@10']:.4f}" in out


def test_an_empty_name_is_refused():
    code, out, err = macrec("datasets", "")
    assert code == 2 and not out and err.startswith("macrec: The name of the dataset is empty; give a path")


@pytest.mark.parametrize("name", ["curio:huge", "curio:tiny:x", "curio:tiny:1:2"])
def test_an_unknown_built_in_catalog_is_refused(name):
    code, out, err = macrec("datasets", name)
    assert code == 2 and not out and err.startswith(f'macrec: There is no built-in catalog "{name}"; write curio')


def test_the_health_of_semantic_ids_is_printed(tmp_path):
    (tmp_path / "ids.json").write_text('{"0": ["<a_1>", "<b_0>"], "1": ["<a_1>", "<b_0>"], "2": ["<a_0>", "<b_3>"]}')
    code, out, _ = macrec("sids", tmp_path / "ids.json", "--json", "--size", "4")
    health = json.loads(out)
    assert code == 0 and health["distinct"] == 2 and health["levels"][1]["utilization"] == 0.5
    assert health["sizes_from"] == "given"
    code, out, _ = macrec("sids", tmp_path / "ids.json")
    assert code == 0 and "3 items, 2 distinct IDs" in out and "conflict rate 33.3333%" in out
    assert "assumed from the largest code of each; give --size" in out
    for size in (10**20, 0, -4, 3):
        code, out, err = macrec("sids", tmp_path / "ids.json", "--size", size)
        assert code == 2 and not out and "ids.json" in err and "codewords" in err and err.count("\n") == 1
    (tmp_path / "gap.json").write_text('{"0": [1], "2": [2]}')
    code, out, err = macrec("sids", tmp_path / "gap.json")
    assert code == 2 and not out and '"1" is missing' in err
    code, out, err = macrec("sids", tmp_path / "gone.json")
    assert code == 2 and not out and err.endswith("there is no such file; check the path, or fetch the file.\n")


def test_the_page_about_semantic_ids_says_where_it_is(tmp_path):
    (tmp_path / "ids.json").write_text('{"0": ["<a_1>", "<b_0>"], "1": ["<a_1>", "<b_0>"], "2": ["<a_0>", "<b_3>"]}')
    (tmp_path / "items.csv").write_text("id,title\n0,lamp\n1,lamp\n2,mug\n")
    page = tmp_path / "page.html"
    code, out, _ = macrec("explore", tmp_path / "ids.json", "--items", tmp_path / "items.csv", "--out", page)
    assert code == 0 and out.startswith(f"{page}: ") and "MB in" in out and "lamp" in page.read_text()
    assert out.endswith("ids: matched by item id\n")
    code, out, err = macrec("explore", tmp_path / "ids.json", "--items", "curio:tiny", "--out", tmp_path / "none.html")
    assert code == 2 and not out and not (tmp_path / "none.html").exists()
    assert err.startswith(
        f'macrec: {tmp_path / "ids.json"}, field "item_id": the item "0" has a semantic ID and is not'
    )


def test_doctor_reports_every_requirement_as_json():
    code, out, _ = macrec("doctor", "--json")
    report = json.loads(out)
    assert code == 0 and report["device"] and all(entry["fits"] for entry in report["packages"] if not entry["extra"])
    assert report["default_encoders"] == {"text": "tfidf", "image": "hog-color"}
    assert {"tfidf", "hog-color"} <= {entry["spec"].partition("[")[0] for entry in report["encoders"]}


@pytest.fixture
def folder(tmp_path):
    """A sound dataset in the parquet layout, for a test to break."""
    pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}).write_parquet(tmp_path / "items.parquet")
    events = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "a"], "timestamp": [1, 2, 3]}
    pl.DataFrame(events).write_parquet(tmp_path / "interactions.parquet")
    return tmp_path


def test_a_sound_folder_is_described(folder):
    code, out, err = macrec("datasets", folder)
    assert code == 0 and "2 / 2 / 3" in out and not err


def break_column(folder):
    events = pl.read_parquet(folder / "interactions.parquet")
    events.drop("item_id").write_parquet(folder / "interactions.parquet")


def break_item(folder):
    events = pl.read_parquet(folder / "interactions.parquet")
    events.with_columns(item_id=pl.Series(["a", "zzz", "a"])).write_parquet(folder / "interactions.parquet")


def break_ids(folder):
    pl.DataFrame({"item_id": ["a", "a"]}).write_parquet(folder / "items.parquet")


def break_type(folder):
    pl.DataFrame({"item_id": ["a", "b"], "title": [True, False]}).write_parquet(folder / "items.parquet")


def break_picture(folder):
    images = pl.DataFrame({"item_id": ["a"], "image_file": ["a.png"], "bytes": [b"noise"]})
    images.write_parquet(folder / "images.parquet")
    items = pl.DataFrame({"item_id": ["a", "b"], "image_file": ["a.png", None]})
    items.write_parquet(folder / "items.parquet")


def break_path(folder):
    (folder / "images").mkdir()
    items = pl.DataFrame({"item_id": ["a", "b"], "image_file": ["../secret.png", None]})
    items.write_parquet(folder / "items.parquet")


def break_layout(folder):
    for file in folder.iterdir():
        file.unlink()
    (folder / "readme.txt").write_text("hello")


def break_history(folder):
    break_layout(folder)
    (folder / "X.inter.json").write_text('{"0": [0, 1], "1": []}')
    (folder / "X.item.json").write_text('{"0": {"title": "A"}, "1": {"title": "B"}}')


def break_gzip(folder):
    break_layout(folder)
    row = json.dumps({"user_id": "u", "parent_asin": "a", "timestamp": 1000, "rating": 5.0})
    (folder / "X.jsonl.gz").write_bytes(gzip.compress((row + "\n").encode() * 5000)[:-20])
    (folder / "meta_X.jsonl.gz").write_bytes(gzip.compress(b'{"parent_asin": "a", "title": "A"}\n'))


def break_bytes(folder):
    break_layout(folder)
    (folder / "X.inter").write_bytes(b"user_id:token\titem_id:token\ttimestamp:float\nu\t\xff\xfe\t1\n")


def test_a_picture_that_does_not_decode_is_named_on_the_card(folder):
    break_picture(folder)
    code, out, _ = macrec("datasets", folder)
    assert code == 0 and "item a" in out and "do not decode" in out


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_column, ["interactions.parquet", "item_id", "missing"]),
        (break_item, ["interactions.parquet", "row 2", "zzz"]),
        (break_ids, ["items.parquet", "row 2", "occurs again"]),
        (break_type, ["items.parquet", "title"]),
        (break_path, ["item a", "leaves the image folder"]),
        (break_layout, ["no known layout"]),
        (break_history, ["X.inter.json", '"1"', "empty"]),
        (break_gzip, ["X.jsonl.gz", "cut short"]),
        (break_bytes, ["X.inter", "row 2", "UTF-8"]),
        (lambda folder: folder.rename(folder.with_name("gone")), ["no such file or folder"]),
    ],
)
def test_bad_input_gives_one_sentence_and_exit_code_2(folder, damage, words):
    damage(folder)
    before = sorted(folder.parent.rglob("*"))
    code, out, err = macrec("datasets", folder)
    assert code == 2 and not out
    assert err.startswith("macrec: ") and err.count("\n") == 1, err
    assert all(word in err for word in words), err
    assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("place", ["file", "file/run", "x" * 300])
def test_a_run_folder_that_cannot_be_made_gives_one_sentence(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    code, out, err = macrec("run", "01", "--out", tmp_path / place)
    assert code == 2 and not out
    assert err.startswith(f"macrec: {tmp_path / place}: ") and err.count("\n") == 1, err
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_ctrl_c_is_said_in_one_line(monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("macrec.workbench.doctor.examine", stop)
    monkeypatch.setattr(sys, "argv", ["macrec", "doctor"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130 and capsys.readouterr().err.strip().startswith("macrec: stopped")


def test_an_unknown_parameter_is_refused_before_a_folder_is_made(tmp_path):
    code, out, err = macrec("run", "-p", "sed=1", "--out", tmp_path / "run")
    assert code == 2 and not out and 'no notebook has a parameter "sed"' in err.replace("No", "no")
    assert not (tmp_path / "run").exists()


def test_progress_in_a_log_is_one_line_per_notebook_and_heading(capsys):
    log = Log(sections=True)
    for cell, section in enumerate(["", "A", "A", "B"]):
        log(Step("01_x", 1, 2, cell, 9, section))
    log(Step("02_y", 2, 2, 0, 5))
    lines = ["01_x: notebook 1 of 2, 9 cells", "  cell 1 of 9: A", "  cell 3 of 9: B", "02_y: notebook 2 of 2, 5 cells"]
    assert capsys.readouterr().err.splitlines() == lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-p", "sed=1,2"], 'o notebook has a parameter "sed"'),
        (["-p", "seed=1"], "othing varies in this sweep"),
        (["-p", "seed=1,two"], "he parameter seed takes int"),
    ],
)
def test_a_refused_sweep_makes_no_folder(tmp_path, arguments, words):
    code, out, err = macrec("sweep", "01", *arguments, "--out", tmp_path / "sweep")
    assert code == 2 and not out and words in err and err.count("\n") == 1 and not (tmp_path / "sweep").exists()


def test_compare_prints_a_table_and_json_and_refuses_what_is_no_run(tmp_path):
    for name, rate in (("a", 0.25), ("b", 0.5)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text('{"seconds": {}}')
        (tmp_path / name / "metrics.json").write_text(json.dumps({"nb": {"rate": rate}}))
    code, out, _ = macrec("compare", tmp_path / "a", tmp_path / "b")
    assert code == 0 and ["rate", "0.25", "0.5", "+0.25"] in [line.split() for line in out.splitlines()]
    code, out, _ = macrec("compare", tmp_path, "--json", "--metric", "RATE")
    assert code == 0 and [run["metrics"] for run in json.loads(out)["runs"]] == [{"nb.rate": 0.25}, {"nb.rate": 0.5}]
    code, out, err = macrec("compare", tmp_path / "a", tmp_path / "none")
    assert code == 2 and not out and "this folder holds no run" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "ids.json"), "ids.json: Permission denied; check the path"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; check the path"),
        (OSError("No space left on device (os error 28)"), "os error 28"),
        (FileNotFoundError("No such file or directory (os error 2): x.parquet"), "x.parquet; check the path"),
        (
            FileExistsError(errno.EEXIST, "File exists", "t.json"),
            "t.json: this is a file where a folder is needed; give",
        ),
        (CellTimeoutError("Timeout waiting for IOPub output"), None),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), None),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), None),
        (ChildProcessError(errno.ECHILD, "No child processes"), None),
        (OSError("an address that cannot be had"), None),
    ],
)
def test_only_what_is_about_files_sends_people_to_their_disk(error, words):
    said = about_files(error)
    assert said is None if words is None else words in said
