"""Running notebooks: parameters are checked, results appear whole, failures are named."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait

import nbformat
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from macrec.errors import DataError
from macrec.lock import locked
from macrec.workbench import run as run_module
from macrec.workbench.compare_runs import compare_runs
from macrec.workbench.execution import NotebookError
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import check_parameters, declared_parameters, parse_parameters
from macrec.workbench.report import write_report
from macrec.workbench.run import Run, environment, new_folder, project_root
from macrec.workbench.runner import LOCK, is_finished, run_notebooks


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with a parameters cell and the given code cells; returns its path."""

    def write(*code, name="01_toy.ipynb", parameters='rate = 0.5\nname = "x"\nsteps = 3\nlive = True\nout = ""'):
        cell = new_code_cell(parameters, metadata={"tags": ["parameters"]})
        toy = new_notebook(cells=[new_markdown_cell("# Toy"), cell, *map(new_code_cell, code)])
        toy.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(toy, tmp_path / name)
        return tmp_path / name

    return write


def visible(folder):
    """The names in a folder that people see: no locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


RECORD = "from macrec.workbench import Run\nRun.open(out).record('toy', rate=rate, name=name, live=live)"


def test_values_keep_their_type():
    texts = ["a=1", "b=1e-3", "c=True", "d=none", "e=runs/x", "f='7'", "g=[0, .1]", "h="]
    values = parse_parameters(texts)
    expected = {"a": 1, "b": 0.001, "c": True, "d": None, "e": "runs/x", "f": "7", "g": [0, 0.1], "h": ""}
    assert values == expected and all(type(values[k]) is type(expected[k]) for k in expected)


def test_a_parameter_of_text_stays_text():
    given = ["sweep=0, 0.001", "name=3", "other='x y'", "flag=true", "rate=0.5"]
    values = parse_parameters(given, {"sweep", "name", "other", "flag"})
    assert values == {"sweep": "0, 0.001", "name": "3", "other": "x y", "flag": "true", "rate": 0.5}


@pytest.mark.parametrize("text", ["{[]: 1}", "(" * 10_000 + ")" * 10_000, "1 if", "\0"])
def test_what_is_no_literal_stays_text(text):
    assert parse_parameters([f"x={text}"]) == {"x": text}


def test_a_parameter_that_is_given_twice_is_refused():
    with pytest.raises(DataError, match='The parameter "seed" is given twice; give it once'):
        parse_parameters(["seed=1", "rate=2", "seed=2"])


@pytest.mark.parametrize("text", ["seed", "=3", "two words=1"])
def test_what_is_no_parameter_is_refused(text):
    with pytest.raises(DataError, match="write it as name=value"):
        parse_parameters([text])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratee": 1}, 'no notebook has a parameter "ratee"; choose from live, name, out, rate, steps'),
        ({"steps": "many"}, "the parameter steps takes int, not str"),
        ({"steps": True}, "the parameter steps takes int, not bool"),
        ({"steps": (1, 2)}, "takes int, not tuple .*, or several values to macrec sweep"),
        ({"live": 1}, "the parameter live takes bool, not int"),
        ({"rate": float("inf")}, "the parameter rate cannot be inf; give a finite number"),
        ({"out": "x"}, '"out" is set by the run itself; name the folder with --out'),
        ({"steps": "x" * 999}, "not str .'x{59}.; give a value"),
    ],
)
def test_unknown_and_ill_typed_parameters_are_refused_before_anything_runs(notebook, tmp_path, given, message):
    path = notebook(RECORD)
    with pytest.raises(DataError, match=f"(?i){message}"):
        run_notebooks([path], tmp_path / "run", given, progress=False)
    assert not (tmp_path / "run").exists()


def test_a_whole_number_serves_as_a_float_and_names_are_read_from_the_notebook(notebook):
    declared = declared_parameters(notebook())
    assert declared == {"rate": 0.5, "name": "x", "steps": 3, "live": True, "out": ""}
    check_parameters({"rate": 2}, {notebook(): declared})


@pytest.mark.parametrize("parameters", ["rate = 1 / 3", "rate ="])
def test_a_parameter_without_a_plain_value_is_named_with_its_cell(notebook, parameters):
    with pytest.raises(DataError, match=r"01_toy.ipynb, cell 2: a parameter has no plain value .*; write each as name"):
        declared_parameters(notebook(parameters=parameters))


@pytest.mark.parametrize(("text", "words"), [("{", "no JSON object"), ("{}", "this is no notebook")])
def test_a_damaged_notebook_is_named(tmp_path, text, words):
    (tmp_path / "01_toy.ipynb").write_text(text)
    with pytest.raises(DataError, match=rf"01_toy\.ipynb(, field \S+)?: .*{words}"):
        declared_parameters(tmp_path / "01_toy.ipynb")


@pytest.mark.notebook
def test_a_run_keeps_notebooks_metrics_and_a_manifest(notebook, tmp_path):
    first, second = notebook(RECORD), notebook("1 + 1", name="02_next.ipynb", parameters="steps = 1")
    run = run_notebooks([first, second], tmp_path / "run", {"rate": 2, "steps": 5}, progress=False)
    assert run.metrics() == {"toy": {"rate": 2, "name": "x", "live": False}}
    assert visible(run.folder) == [
        "01_toy.ipynb",
        "02_next.ipynb",
        "metrics.json",
        "parameters.toml",
        "run.json",
    ]
    manifest = json.loads((run.folder / "run.json").read_text())
    assert manifest["parameters"] == {"rate": 2, "steps": 5} and set(manifest["seconds"]) == {"01_toy", "02_next"}
    assert manifest["environment"] == environment()
    run_notebooks([second], tmp_path / "run", {"steps": 6}, progress=False)
    assert set(run.manifest()["seconds"]) == {"01_toy", "02_next"} and run.manifest()["parameters"] == {"steps": 6}


@pytest.mark.notebook
def test_a_failing_cell_is_named_and_its_notebook_kept_under_another_name(notebook, tmp_path):
    path = notebook(RECORD, "1 / 0")
    with pytest.raises(NotebookError, match=r"01_toy.ipynb, cell 5: ZeroDivisionError: division by zero"):
        run_notebooks([path], tmp_path / "run", {}, progress=False)
    assert visible(tmp_path / "run") == [
        "01_toy.failed.ipynb",
        "metrics.json",
        "parameters.toml",
        "run.json",
    ]


@pytest.mark.notebook
def test_a_stopped_run_leaves_nothing_that_looks_finished(notebook, tmp_path, monkeypatch):
    path = notebook("1 + 1")
    execute = papermill.execute_notebook

    def stopped(*arguments, **options):
        execute(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(papermill, "execute_notebook", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_notebooks([path], tmp_path / "run", {}, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.notebook
def test_what_the_data_do_not_allow_is_skipped_and_what_fails_does_not_stop_the_others(notebook, tmp_path):
    lacks = notebook("from macrec.errors import NotApplicable\nraise NotApplicable('no pictures', fix='add some')")
    fails = notebook("1 / 0", name="02_fails.ipynb")
    works = notebook(RECORD, name="03_works.ipynb")
    said: list[str] = []
    with pytest.raises(NotebookError, match=r"^02_fails.ipynb, cell 4: ZeroDivisionError: .*\(kept: .*failed.ipynb\)$"):
        run_notebooks([lacks, fails, works], tmp_path / "run", {"rate": 2}, said.append, progress=False)
    assert visible(tmp_path / "run") == [
        "02_fails.failed.ipynb",
        "03_works.ipynb",
        "metrics.json",
        "parameters.toml",
        "run.json",
    ]
    assert said[:2] == [
        "01_toy: skipped: No pictures; add some.",
        "02_fails: failed, the others are run all the same",
    ]
    run = Run(tmp_path / "run")
    assert run.manifest()["skipped"] == {"01_toy": "No pictures; add some."} and set(run.manifest()["seconds"]) == {
        "03_works"
    }
    assert is_finished(run.folder, lacks, {"rate": 2}) and not is_finished(run.folder, lacks, {"rate": 3})
    lacks = notebook("1 + 1")  # the data, or what lacks them, have changed
    assert "01_toy" in run_notebooks([lacks], run.folder, {}, progress=False).manifest()["seconds"]
    assert run.manifest()["skipped"] == {}


@pytest.mark.notebook
def test_a_kernel_that_falls_silent_is_told_from_a_file_that_cannot_be_read(notebook, tmp_path, monkeypatch):
    def silent(*arguments, **options):
        assert options["iopub_timeout"] >= 600 and options["start_timeout"] >= 600
        shutil.copy(arguments[0], arguments[1])
        options["on_cell_start"](new_code_cell("1 + 1"), 2)
        raise CellTimeoutError("Timeout waiting for IOPub output")

    monkeypatch.setattr(papermill, "execute_notebook", silent)
    with pytest.raises(
        NotebookError, match=r"cell 3: the kernel was silent for 600 seconds, as on a machine that is busy"
    ):
        run_notebooks([notebook("1 + 1")], tmp_path / "run", {}, progress=False)
    assert (tmp_path / "run" / "01_toy.failed.ipynb").exists()


@pytest.mark.notebook
def test_bad_input_inside_a_notebook_leaves_one_sentence_and_nothing_else(notebook, tmp_path):
    path = notebook("from macrec.data.load import load_dataset\nload_dataset('no/such/place')")
    with pytest.raises(DataError, match=r"^01_toy.ipynb: no/such/place: there is no such file or folder"):
        run_notebooks([path], tmp_path / "run", {}, progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.notebook
@pytest.mark.parametrize("kept", [False, True])
def test_folders_that_a_refused_notebook_made_are_removed_unless_a_file_lies_in_them(notebook, tmp_path, kept):
    make = (
        "from macrec.workbench import Run\nplace = Run.open(out).path('systems/codebooks')\nplace.mkdir(parents=True)"
    )
    write = "(place / 'a').touch()" if kept else "pass"
    refuse = "from macrec.errors import DataError\nraise DataError('there is no system', fix='choose one')"
    with pytest.raises(DataError, match="There is no system"):
        run_notebooks([notebook(f"{make}\n{write}\n{refuse}")], tmp_path / "run", {}, progress=False)
    assert (tmp_path / "run").exists() == kept


def test_notebooks_are_found_in_order_and_by_the_beginning_of_their_name():
    names = [path.name for path in find_notebooks()]
    assert names == sorted(names) and {"01_data.ipynb", "02_embeddings.ipynb"} < {*names}
    assert [path.name for path in find_notebooks(["02"])] == ["02_embeddings.ipynb"]
    for name in ("xx", "", "/"):
        with pytest.raises(DataError, match=f'no notebook is called "{name}"'):
            find_notebooks([name])


def test_a_notebook_elsewhere_is_not_taken_for_one_of_the_project(tmp_path, monkeypatch):
    known = find_notebooks(["01"])
    assert find_notebooks([str(known[0])]) == known == find_notebooks(["01_data.ipynb"])
    (tmp_path / "01_data.ipynb").write_text("{}")
    for name in (str(tmp_path / "01_data.ipynb"), "gone/01_data.ipynb"):
        with pytest.raises(DataError, match=r"01_data\.ipynb: this is none of the project's notebooks; put it into"):
            find_notebooks([name])


def test_records_of_several_notebooks_live_side_by_side(tmp_path):
    run = Run.open(str(tmp_path / "r"))
    run.record("a", hits=1)
    run.record("b", hits=2)
    run.record("a", hits=3)
    assert run.metrics() == {"a": {"hits": 3}, "b": {"hits": 2}}
    assert visible(run.folder) == ["metrics.json"]


def test_the_project_root_is_found_from_inside_it(monkeypatch):
    root = project_root()
    monkeypatch.chdir(root / "notebooks")
    assert project_root() == root


@pytest.fixture
def executed(notebook, tmp_path):
    """The toy notebook and its executed copy in a run folder, without the execution."""

    def write(**given):
        path, folder = notebook(RECORD), tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text('{"seconds": {"01_toy": 1.5}}')
        given = {"live": False, "out": "elsewhere", **given}
        papermill.execute_notebook(str(path), str(folder / path.name), given, prepare_only=True, kernel_name="python3")
        return path, folder

    return write


def test_a_notebook_is_finished_for_the_parameters_and_cells_it_ran_with(executed, notebook):
    path, folder = executed(rate=2)
    assert is_finished(folder, path, {"rate": 2}) and is_finished(folder, path, {"rate": 2, "of_another": 1})
    assert not is_finished(folder, path, {}) and not is_finished(folder, path, {"rate": 3})
    assert not is_finished(folder.with_name("other"), path, {"rate": 2})
    notebook(RECORD, "1 + 1")
    assert not is_finished(folder, path, {"rate": 2})


def test_a_notebook_that_the_manifest_does_not_name_yet_is_not_finished(executed):
    path, folder = executed(rate=2)
    (folder / "run.json").unlink()  # the process was killed between the two files
    assert not is_finished(folder, path, {"rate": 2})


def test_a_run_never_overwrites_the_notebooks_it_executes(notebook):
    path = notebook(RECORD)
    before = path.read_bytes()
    with pytest.raises(DataError, match="the notebooks themselves lie in this folder; name another with --out"):
        run_notebooks([path], path.parent / "x" / "..", {}, progress=False)
    assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.notebook
def test_a_run_never_overwrites_a_notebook_that_was_written_by_hand(notebook, tmp_path):
    (tmp_path / "run").mkdir()
    mine = tmp_path / "run" / "01_toy.ipynb"
    mine.write_bytes(notebook("1").read_bytes())
    with pytest.raises(DataError, match=r"run/01_toy\.ipynb: there is a file of this name already"):
        run_notebooks([notebook("2")], tmp_path / "run", {}, progress=False)
    assert "papermill" not in mine.read_text() and not (tmp_path / "run" / "run.json").exists()


def test_a_run_tells_which_notebook_and_which_of_its_cells_begin(notebook, tmp_path):
    path, steps = notebook("1 + 1", ""), []
    run_notebooks([path], tmp_path / "run", {}, progress=False, watch=steps.append)
    count = len(json.loads((tmp_path / "run" / path.name).read_text())["cells"])
    assert [(step.cell, step.section) for step in steps] == [(0, ""), (2, "Toy"), (3, "Toy"), (4, "Toy")]
    assert {step.cells for step in steps} == {count} and (steps[0].number, steps[0].notebooks) == (1, 1)


@pytest.mark.notebook
def test_a_kernel_that_dies_is_named_with_its_cell_and_the_notebook_kept(notebook, tmp_path):
    path = notebook("import os\nos._exit(9)")
    with pytest.raises(NotebookError, match=r"01_toy.ipynb, cell 4: the kernel died"):
        run_notebooks([path], tmp_path / "run", {}, progress=False)
    assert visible(tmp_path / "run") == ["01_toy.failed.ipynb", "parameters.toml", "run.json"]


@pytest.mark.notebook
@pytest.mark.parametrize("deaths", [2, 3])
def test_a_kernel_that_does_not_start_is_started_again(notebook, tmp_path, monkeypatch, deaths):
    really, tried = papermill.execute_notebook, []

    def unlucky(*args, **given):
        tried.append(args)
        if len(tried) <= deaths:
            raise RuntimeError("Kernel died before replying to kernel_info")
        return really(*args, **given)

    monkeypatch.setattr(papermill, "execute_notebook", unlucky)
    path = notebook(RECORD)
    if deaths < 3:
        assert run_notebooks([path], tmp_path / "run", {}, progress=False).metrics()
    else:
        with pytest.raises(RuntimeError, match="Kernel died"):
            run_notebooks([path], tmp_path / "run", {}, progress=False)
        assert not (tmp_path / "run" / path.name).exists()
    assert len(tried) == min(deaths + 1, 3)


def test_a_run_waits_for_the_one_that_works_in_its_folder_and_says_so(tmp_path):
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool, locked(tmp_path / LOCK, "a run"):
        waiting = pool.submit(run_notebooks, [], tmp_path, {}, said.append, progress=False)
        wait([waiting], timeout=0.3)
        assert not waiting.done()
        (tmp_path / "metrics.json").write_text("{")  # what the other makes meanwhile is what this one finds
    with pytest.raises(DataError, match=r"metrics\.json: the file holds no JSON object"):
        waiting.result(10)
    assert said == [said[0]] and said[0].startswith(f"waiting for a run (process {os.getpid()} on ")
    assert f"which holds {tmp_path}" in said[0]


def test_runs_that_begin_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "project_root", lambda: tmp_path)
    monkeypatch.setattr(run_module.time, "strftime", lambda pattern: "20260101-000000")
    names = [new_folder().name for _ in range(3)]
    assert names == ["20260101-000000", "20260101-000000-2", "20260101-000000-3"]


def test_records_that_are_made_at_once_are_all_kept(tmp_path):
    run = Run.open(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: run.record(f"n{number}", value=number), range(40)))
    assert run.metrics() == {f"n{number}": {"value": number} for number in range(40)}


@pytest.mark.notebook
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_run_that_is_told_to_end_leaves_nothing_behind(notebook, tmp_path):
    path = notebook("import os, pathlib, time\npathlib.Path('kernel').write_text(str(os.getpid()))\ntime.sleep(600)")
    code = (
        "from pathlib import Path\nfrom macrec.cli.endings import stoppable\n"
        "from macrec.workbench.runner import run_notebooks\nstoppable()\n"
        f"run_notebooks([Path({str(path)!r})], Path({str(tmp_path / 'run')!r}), {{}}, progress=False)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    kernel = tmp_path / "kernel"
    while not (kernel.exists() and kernel.read_text()):
        assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 143
    assert not (tmp_path / "run").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(kernel.read_text()), 0)


WRONG = {
    "run.json": [
        '{"seconds": {"01_toy": "long"}}', '{"seconds": {"01_toy": -1}}', '{"seconds": {"01_toy": true}}',
        '{"seconds": []}', '{"parameters": [1]}', '{"parameters": {"x": NaN}}', '{"skipped": {"01_toy": 3}}',
        '{"environment": {}}', '{"environment": {"python": 3, "system": "", "packages": {}, "commit": null}}',
        '{"seconds": {"01_toy": 1e999}}', '{"seconds": {"01_toy": NaN}}', '{"seconds": {}, "seconds": {}}', "[]",
        "\xff", '{"ended": -1}',
    ],
    "metrics.json": [
        '{"a": 1}', '{"a": [1]}', '{"a": {"b": NaN}}', f'{{"a": {{"b": 1{"0" * 400}}}}}',
        '{"a": {"b": ' + "[" * 60 + "]" * 60 + "}}", "null", "[" * 100_000,
    ],
    "sweep.json": [
        '{"points": {}}', '{"points": [{"name": "x"}]}', '{"points": [{"name": 1, "state": "done"}]}',
        '{"points": ["x"]}', '{"points": [{"name": "x", "state": "failed", "error": 3}]}',
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "content"), [(name, content) for name, found in WRONG.items() for content in found])
def test_a_damaged_file_of_a_run_is_one_sentence_in_every_command(tmp_path, name, content):
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / name).write_text(content, encoding="latin-1")
    if name == "sweep.json":
        (tmp_path / "run.json").unlink()
    for command in (compare_runs, lambda folders: write_report(folders, tmp_path / "report.html")):
        with pytest.raises(DataError, match=rf"^\S*{name}(, field \S+)?: (the file holds no|this is not what)"):
            command([tmp_path])


@pytest.mark.parametrize(
    "content",
    [
        '{"cells": [], "metadata": []}', '{"cells": {}}', '{"cells": [3], "metadata": {}}',
        '{"cells": [{"metadata": {}}], "metadata": {}}', '{"cells": [{"source": 3, "metadata": {}}], "metadata": {}}',
        '{"cells": [], "metadata": {"papermill": {"parameters": [1]}}}',
        '{"cells": [{"source": "", "metadata": {"tags": 3}}], "metadata": {}}',
    ],
)  # fmt: skip
def test_a_damaged_notebook_of_a_run_is_one_sentence(tmp_path, content):
    (tmp_path / "run.json").write_text('{"seconds": {"01_toy": 1.5}}')
    (tmp_path / "01_toy.ipynb").write_text(content)
    with pytest.raises(DataError, match=r"01_toy.ipynb, field \S+: this is no notebook; remove it"):
        compare_runs([tmp_path])


def test_what_is_no_parameter_of_codebooks_names_no_metric(tmp_path):
    (tmp_path / "run.json").write_text('{"parameters": {"lambda_con": "much"}}')
    assert compare_runs([tmp_path]).runs[0].settings == {"lambda_con": "much"}
