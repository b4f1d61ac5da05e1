"""The outputs that are kept in git are what the notebooks print today: nbval runs them and compares."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from macrec.workbench.notebooks import find_notebooks

KEPT, CHECKED = "keep_output", "nbval-check-output"
QUICK = find_notebooks(["01", "05"])
CHANGED = "changed.ipynb"

Outcomes = dict[int, bool]
"""Whether a code cell, counted from 0, came out as stored."""


def code(path: Path) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def checked(path: Path) -> set[int]:
    return {place for place, cell in enumerate(code(path)) if CHECKED in cell.metadata.get("tags", [])}


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_what_is_stored_is_checked_and_text(path):
    for cell in code(path):
        tags = cell.metadata.get("tags", [])
        assert (KEPT in tags) == (CHECKED in tags) == bool(cell.outputs), f"cell {cell.id}"
        assert all(output.output_type in ("stream", "execute_result") for output in cell.outputs)
        assert all(set(output.get("data", ["text/plain"])) == {"text/plain"} for output in cell.outputs)
        assert not re.search(r"/\w+/|metrics\.json", str(cell.outputs))  # no folder, of a run or of a machine
    if any(CHECKED in cell.metadata.get("tags", []) for cell in code(path)):
        assert path in QUICK, "nothing below would run it"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, Outcomes]:
    """What nbval says of the quick notebooks, and of one ("changed") whose stored text is another catalog's.

    05 runs on the smallest catalog: what it stores are toy examples, the same on all.
    """
    project = tmp_path_factory.mktemp("project")
    (project / "pyproject.toml").touch()  # with notebooks/ beside it, this is a project: runs/ stays in here
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "notebooks").mkdir()
    data, audit = QUICK
    for name, path, profile in ((data.name, data, "demo"), (audit.name, audit, "smoke"), (CHANGED, data, "smoke")):
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            cell.source = cell.source.replace('profile = "demo"', f'profile = "{profile}"')
            if cell.get("outputs"):
                cell.execution_count = 1  # git keeps no counts, and without one nbval says that the cell was never run
        nbformat.write(notebook, project / "notebooks" / name)
    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", "--junit-xml=said.xml"]
    command += ["--nbval-lax", "--nbval-current-env", f"--nbval-sanitize-with={Path(__file__).parent / 'stable.cfg'}"]
    done = subprocess.run([*command, "notebooks"], cwd=project, stdout=subprocess.PIPE, text=True)
    print(done.stdout)  # pytest shows it where a test fails
    found: dict[str, Outcomes] = {}
    for case in ElementTree.parse(project / "said.xml").iter("testcase"):
        notebook = case.attrib["classname"].removeprefix("notebooks.")
        found.setdefault(notebook, {})[int(case.attrib["name"].removeprefix("Cell "))] = not len(case)
    return found


@pytest.mark.notebook
@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.stem)
def test_the_stored_outputs_come_out_again(outcomes, path):
    assert len(outcomes[path.name]) == len(code(path)) and checked(path)
    assert all(outcomes[path.name].values())


@pytest.mark.notebook
def test_every_stored_output_that_no_longer_fits_is_noticed(outcomes):
    assert {cell for cell, same in outcomes[CHANGED].items() if not same} == checked(QUICK[0])
