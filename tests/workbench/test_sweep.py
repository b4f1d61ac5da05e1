"""Sweeps: the grid, the names of its points, what is skipped, what is shared, and how processes end."""

import io
import itertools
import json
import os
import re
import string
from concurrent.futures import ThreadPoolExecutor

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_notebook

from macrec.errors import DataError
from macrec.lock import Lock
from macrec.workbench.execution import NotebookError
from macrec.workbench.sweep import (
    Point,
    Sweep,
    default_name,
    grid_points,
    parse_grid,
    reuse_checkpoints,
    run_sweep,
    split_values,
    value_names,
)
from macrec.workbench.sweep_worker import listen, release, start, threads

TOY = "import json, pathlib\n(pathlib.Path(out) / 'metrics.json').write_text(json.dumps({'toy': {'y': 1 / (x - 2)}}))"


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with the parameters x and out and one cell; returns its path."""

    def write(code=TOY):
        cell = new_code_cell("x = 0\nout = ''", metadata={"tags": ["parameters"]})
        toy = new_notebook(cells=[cell, new_code_cell(code)])
        toy.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(toy, tmp_path / "01_toy.ipynb")
        return tmp_path / "01_toy.ipynb"

    return write


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", ["1"]),
        ("", [""]),
        (",paper", ["", "paper"]),
        ("[1, 2],[3]", ["[1, 2]", "[3]"]),
        ("'a, b',c", ["'a, b'", "c"]),
        ("[(1, 2), ','],x", ["[(1, 2), ',']", "x"]),
        ("men's,x", ["men's", "x"]),
        ("f(1,x", ["f(1", "x"]),
        ("curio(hidden=1, cold=.1),curio:tiny", ["curio(hidden=1, cold=.1)", "curio:tiny"]),
    ],
)
def test_commas_divide_values_outside_quotes_and_brackets(text, values):
    assert split_values(text) == values


@pytest.mark.parametrize("text", ["[1,2", "'a,b", "1,(2"])
def test_what_is_opened_must_be_closed(text):
    with pytest.raises(DataError, match="is missing in"):
        split_values(text)


def test_values_keep_their_type_and_text_stays_text():
    grid = parse_grid(["rate=0,1e-3", "name=3,x", 'sweep="0, 0.1",1'], {"name", "sweep"})
    assert grid == {"rate": [0, 0.001], "name": ["3", "x"], "sweep": ["0, 0.1", "1"]}


@pytest.mark.parametrize(
    ("texts", "words"),
    [(["x=1", "x=2"], "given twice"), (["x=0,0.0"], "occurs twice"), (["x"], "not a parameter")],
)
def test_ambiguous_grids_are_refused(texts, words):
    with pytest.raises(DataError, match=words):
        parse_grid(texts)


def test_a_sweep_in_which_nothing_varies_is_refused():
    with pytest.raises(DataError, match="Nothing varies in this sweep"):
        grid_points({"x": [1]})


def test_the_points_are_the_product_and_are_named_by_what_varies():
    points = grid_points({"lambda_con": [0, 0.001], "profile": ["smoke"], "seed": [1, 2]})
    assert [point.name for point in points] == [
        f"lambda_con={a},seed={b}" for a, b in itertools.product(["0", "0.001"], "12")
    ]
    assert points[1].parameters == {"lambda_con": 0, "profile": "smoke", "seed": 2}


@settings(max_examples=60)
@given(
    st.lists(st.text(max_size=300) | st.integers() | st.floats(allow_nan=False), min_size=2, max_size=5, unique=True)
)
def test_names_of_points_are_distinct_and_safe_on_every_file_system(values):
    names = [point.name for point in grid_points({"x": values, "y": [1, 2]})]
    assert len({name.lower() for name in names}) == len(names)
    safe = {*string.ascii_letters, *string.digits, *"_.+-=,"}
    assert all(set(name) <= safe and len(name) < 160 for name in names)


def test_the_default_folder_stays_when_values_are_added_and_changes_with_a_constant(tmp_path):
    def name(**grid):
        return default_name([tmp_path / "03_x.ipynb"], grid)

    assert name(seed=[1, 2], profile=["demo"]) == name(seed=[1, 2, 3], profile=["demo"])
    assert name(seed=[1, 2], profile=["demo"]) != name(seed=[1, 2], profile=["smoke"])


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"y": [1, 2]}, 'no notebook has a parameter "y"'),
        ({"x": [1, "z"]}, "takes int"),
        ({"out": ["a", "b"]}, "--out"),
    ],
)
def test_a_refused_parameter_stops_the_sweep_before_anything_is_written(notebook, tmp_path, grid, words):
    with pytest.raises(DataError, match=f"(?i){words}"):
        run_sweep([notebook()], grid, tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_points_are_named_by_the_ends_of_paths():
    values = [
        "/somewhere/long/beauty",
        "npy:/somewhere/t.npy",
        "clip:ViT-B-32//weights/open.pt",
        "st:owner/model",
        "/a/x",
        "/b/x",
    ]
    *names, first, second = value_names(values)
    assert names == ["beauty", "npy_t.npy", "clip_ViT-B-32_open.pt", "st_owner_model"]
    assert first.startswith("x-") and second.startswith("x-") and first != second


@pytest.mark.notebook
def test_a_failing_point_is_named_the_others_finish_and_the_next_sweep_runs_only_what_is_left(notebook, tmp_path):
    out, said = tmp_path / "sweep", []
    with pytest.raises(NotebookError, match=r"^1 of 3 points failed.*\n  x=2: 01_toy.ipynb, cell 3: ZeroDivisionError"):
        run_sweep([notebook()], {"x": [1, 2, 3]}, out, jobs=3)
    book = json.loads((out / "sweep.json").read_text())
    assert [point["state"] for point in book["points"]] == ["done", "failed", "done"] and book["grid"] == {
        "x": [1, 2, 3]
    }
    assert json.loads((out / "x=3" / "metrics.json").read_text()) == {"toy": {"y": 1.0}}
    shown = [path.name for path in (out / "x=1").iterdir() if not path.name.startswith(".")]
    assert sorted(shown) == ["01_toy.ipynb", "metrics.json", "parameters.toml", "run.json"]
    before = (out / "x=1" / "01_toy.ipynb").stat().st_mtime_ns

    points = run_sweep([notebook()], {"x": [1, 3]}, out, say=said.append)
    assert [point.state for point in points] == ["done", "done"] and all(point.seconds for point in points)
    assert said == ["x=1: skipped, finished before", "x=3: skipped, finished before"]
    assert (out / "x=1" / "01_toy.ipynb").stat().st_mtime_ns == before
    assert not Sweep([notebook()], {}, out, [], 1, said.append).left(Point("x=1", {"x": 1}))
    assert Sweep([notebook()], {}, out, [], 1, said.append).left(Point("x=1", {"x": 4}))
    assert Sweep([notebook(TOY + "  # new")], {}, out, [], 1, said.append).left(Point("x=1", {"x": 1}))


@pytest.mark.notebook
def test_the_process_of_a_point_ends_with_its_pipe_and_leaves_nothing_that_looks_finished(notebook, tmp_path):
    path = notebook("import threading\nthreading.Event().wait()")
    job = {"notebooks": [str(path)], "out": str(tmp_path / "run"), "parameters": {}}
    with (tmp_path / "complaints").open("w") as complaints:
        process = start(job, dict(os.environ), complaints)
        release(process)  # as the end of the sweep does, by Ctrl-C or by a kill
        assert listen(process, lambda line: None) is None
    left = [path.name for path in (tmp_path / "run").glob("*") if not path.name.startswith(".")]
    assert process.returncode != 0 and not left


def test_a_process_that_dies_says_so_with_its_last_words(notebook, tmp_path, monkeypatch):
    from macrec.workbench import sweep

    class Dead:
        returncode = -9

        def __init__(self):
            self.stdin, self.stdout = io.StringIO(), io.StringIO("noise\n")

        def wait(self):
            return self.returncode

    def die(job, environment, complaints):
        complaints.write("some words\nlast words\n")
        return Dead()

    monkeypatch.setattr(sweep, "start", die)
    with pytest.raises(NotebookError, match="x=1: its process ended with -9: last words"):
        run_sweep([notebook()], {"x": [1, 2]}, tmp_path / "sweep")


def test_what_a_kernel_writes_to_the_stream_is_passed_over():
    class Talking:
        def __init__(self):
            self.stdin, self.stdout = io.StringIO(), io.StringIO('3\nwords\n"say"\n{"say": "one"}\n{"error": "no"}\n')

        def wait(self):
            return 1

    said = []
    assert listen(Talking(), said.append) == "no" and said == ["one"]


def test_a_second_sweep_in_a_folder_says_that_it_waits(notebook, tmp_path, monkeypatch):
    monkeypatch.setattr(Sweep, "run", lambda self: self.say("runs"))
    said = []
    first = Lock(tmp_path / "sweep" / "sweep.lock", "a sweep")
    with ThreadPoolExecutor(1) as elsewhere:
        assert elsewhere.submit(first.acquire).result()

        def say(line):
            said.append(line)
            first.release()  # the first sweep ends once the second waits

        run_sweep([notebook()], {"x": [1, 2]}, tmp_path / "sweep", say=say)
    run_sweep([notebook()], {"x": [1, 2]}, tmp_path / "sweep", say=said.append)
    assert re.fullmatch(rf"waiting for a sweep \(process {os.getpid()} on .+, since .+\), which runs in .*", said[0])
    assert said[1:] == ["runs", "runs"]


def training(folder, name, text="weights"):
    (folder / "artifacts" / "systems" / name).mkdir(parents=True)
    (folder / "artifacts" / "systems" / name / "step.safetensors").write_text(text)
    (folder / "artifacts" / "systems" / name / "checkpoint.json").write_text("{}")


def test_trainings_are_handed_on_and_what_either_run_replaces_stays_its_own(tmp_path):
    training(tmp_path / "a", "one")
    training(tmp_path / "a", "two")
    training(tmp_path / "b", "two", "mine")
    (tmp_path / "a" / "artifacts" / "text.sids.json").write_text("a result, no training")
    reuse_checkpoints(tmp_path / "a" / "artifacts", tmp_path / "b" / "artifacts")
    held = tmp_path / "b" / "artifacts" / "systems"
    assert (held / "one" / "step.safetensors").read_text() == "weights"
    assert (held / "two" / "step.safetensors").read_text() == "mine"
    assert sorted(path.name for path in (tmp_path / "b" / "artifacts").iterdir()) == ["systems"]
    (held / "one" / "step.safetensors").unlink()
    (held / "one" / "checkpoint.json").with_suffix(".new").write_text("[]")
    (held / "one" / "checkpoint.new").replace(held / "one" / "checkpoint.json")
    assert (tmp_path / "a" / "artifacts" / "systems" / "one" / "step.safetensors").exists()
    assert (tmp_path / "a" / "artifacts" / "systems" / "one" / "checkpoint.json").read_text() == "{}"


def test_reused_points_differ_in_one_parameter_and_are_finished(tmp_path):
    grid = {"a": [1, 2], "b": [1, 2], "c": [5]}
    points = grid_points(grid)
    sweep = Sweep([], grid, tmp_path, points, 1, str)
    assert sweep.finished_before(points[3]) == []
    for point in points[:3]:
        point.state = "done"
    assert sweep.finished_before(points[3]) == [points[1], points[2]]


def test_jobs_share_the_cores_unless_the_environment_says_otherwise():
    assert threads(1, {"A": "b"}) == {"A": "b"}
    shared = threads(10_000, {"OMP_NUM_THREADS": "7"})
    assert shared["OMP_NUM_THREADS"] == "7" and shared["MKL_NUM_THREADS"] == "1"


def test_no_jobs_is_refused(notebook, tmp_path):
    with pytest.raises(DataError, match=r"jobs.*: 0 cannot be used"):
        run_sweep([notebook()], {"x": [1, 2]}, tmp_path / "sweep", jobs=0)
