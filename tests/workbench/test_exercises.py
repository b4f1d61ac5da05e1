"""Exercises: the notebooks with empty cells, and nobody's work overwritten."""

import ast
import builtins
import re

import nbformat
import pytest
from typer.testing import CliRunner

from macrec.cli import app
from macrec.errors import DataError
from macrec.workbench.exercises import KEPT, TAG, exercise, write_exercises
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import declared_parameters

NOTEBOOKS = find_notebooks()
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def notebook(tmp_path, *cells):
    """A notebook of code cells; ("record", source) is a tagged one."""
    made = nbformat.v4.new_notebook()
    for cell in cells:
        tag, source = cell if isinstance(cell, tuple) else (None, cell)
        made.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": [tag]} if tag else {}))
    path = tmp_path / "01_made.ipynb"
    nbformat.write(made, path)
    return path


def tasks(path):
    return [cell.source for cell in exercise(path).cells if TAG in cell.metadata.get("tags", [])]


@each
def test_the_original_comes_back_when_its_code_is_filled_in(path):
    original, emptied = nbformat.read(path, as_version=4), exercise(path)
    solutions = {cell.id: cell.source for cell in original.cells}
    for cell in emptied.cells:
        if TAG in cell.metadata.get("tags", []):
            cell.source = solutions[cell.id]
            cell.metadata.tags.remove(TAG)
            if not cell.metadata.tags and not original.cells[emptied.cells.index(cell)].metadata.get("tags"):
                del cell.metadata["tags"]
    for cell in original.cells:
        if cell.cell_type == "code":
            cell.outputs = []  # git keeps a few, exercises none
    del emptied.metadata["macrec"]
    assert emptied == original


@each
def test_an_exercise_is_a_valid_notebook_with_words_parameters_imports_and_record(path, tmp_path):
    [made] = write_exercises([path], tmp_path)
    nbformat.validate(nbformat.read(made, as_version=4))
    assert declared_parameters(made) == declared_parameters(path)
    original, emptied = (nbformat.read(file, as_version=4) for file in (path, made))
    for before, after in zip(original.cells, emptied.cells, strict=True):
        imports = before.cell_type == "code" and "import " in before.source
        kept = before.cell_type == "markdown" or KEPT & set(before.metadata.get("tags", [])) or imports
        assert (before.source == after.source) == bool(kept)
        if not kept:
            assert after.source.startswith("# Your turn: ") and len(after.source.splitlines()) == 1


@each
def test_every_name_that_is_left_without_a_value_is_asked_for(path):
    code = [cell for cell in exercise(path).cells if cell.cell_type == "code"]
    asked = {
        name
        for cell in code
        if "define " in cell.source and TAG in cell.metadata.get("tags", [])
        for name in cell.source.split("define ")[1].split(", for the")[0].split(", ")
    }
    left = ast.parse("\n".join(cell.source for cell in code))
    stored = {node.id for node in ast.walk(left) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    imported = {(name.asname or name.name) for node in ast.walk(left) if hasattr(node, "names") for name in node.names}
    used = {node.id for node in ast.walk(left) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert used - stored - imported - set(dir(builtins)) <= asked


def test_a_task_names_what_to_define_and_with_what(tmp_path):
    path = notebook(
        tmp_path,
        "from math import pi, sin",
        "a = [sin(i) for i in range(3)]\nb = 1",
        "c = pi\nprint(a)",
        "c = 2\nprint(c)",
        ("record", "print(b)"),
    )
    assert tasks(path) == [
        "# Your turn: define a, b, for the cells below; the original used sin.",
        "# Your turn: do what the text around it describes; the original used pi.",  # the c below is another
        "# Your turn: do what the text around it describes.",
    ]


def test_the_same_notebooks_give_the_same_files(tmp_path):
    first = [path.read_bytes() for path in write_exercises(NOTEBOOKS, tmp_path / "one")]
    assert first == [path.read_bytes() for path in write_exercises(NOTEBOOKS, tmp_path / "two")]
    assert first == [path.read_bytes() for path in write_exercises(NOTEBOOKS, tmp_path / "one")]


def test_work_in_an_exercise_is_kept_unless_forced(tmp_path):
    made = write_exercises(NOTEBOOKS[:2], tmp_path)
    worked = nbformat.read(made[1], as_version=4)
    worked.cells[-2].source += "\nmy_answer = 1"
    nbformat.write(worked, made[1])
    made[0].unlink()
    with pytest.raises(DataError, match=rf"{re.escape(made[1].name)}: this notebook has been edited; give .*\.$"):
        write_exercises(NOTEBOOKS[:2], tmp_path)
    assert "my_answer" in made[1].read_text(encoding="utf-8") and not made[0].exists()
    write_exercises(NOTEBOOKS[:2], tmp_path, force=True)
    assert "my_answer" not in made[1].read_text(encoding="utf-8") and made[0].exists()


def test_exercises_never_replace_the_notebooks_they_are_made_from(tmp_path):
    path = notebook(tmp_path, "a = 1")
    before = path.read_bytes()
    with pytest.raises(DataError, match="the notebooks themselves lie in this folder"):
        write_exercises([path], tmp_path, force=True)
    assert path.read_bytes() == before


def test_an_exercise_that_was_only_executed_or_saved_again_is_not_work(tmp_path):
    [made] = write_exercises(NOTEBOOKS[:1], tmp_path)
    executed = nbformat.read(made, as_version=4)
    executed.metadata.kernelspec.display_name = "renamed kernel"
    executed.cells[1].execution_count = 1
    nbformat.write(executed, made)
    write_exercises(NOTEBOOKS[:1], tmp_path)
    assert "renamed kernel" not in made.read_text(encoding="utf-8")


def test_a_file_that_is_no_notebook_is_kept(tmp_path):
    (tmp_path / NOTEBOOKS[0].name).write_text("mine")
    with pytest.raises(DataError, match="has been edited"):
        write_exercises(NOTEBOOKS[:1], tmp_path)


def test_the_command_writes_an_exercise_of_every_notebook(tmp_path):
    said = CliRunner().invoke(app, ["exercises", "--out", str(tmp_path)])
    assert said.exit_code == 0
    assert said.output.splitlines() == [str(tmp_path / path.name) for path in NOTEBOOKS]
