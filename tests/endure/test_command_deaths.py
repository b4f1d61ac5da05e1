"""A run and a sweep that die at random moments lose nothing, leave nothing behind, and end alike when given again.

`--endure N`: up to 50 deaths of each, with notebooks 01 and 03 of the project in the place of two small ones.
"""

import sys
import zlib
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from macrec.data.curio import curio
from tests.endure.commands import Whole, endure_deaths, undisturbed
from tests.endure.jobs import codebooks

ROOT = Path(__file__).resolve().parents[2]
SHORT, LONG = 1, 50
GIVEN = ["-p", "profile=smoke", "-p", "dataset=curio:tiny"]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")

PARAMETERS = "profile = 'demo'\ndataset = 'curio'\nseed = 0\nout = ''"
LOOK = """
from macrec.workbench import Run
from macrec.experiments import open_dataset
data = open_dataset(dataset, profile)
Run.open(out).record("01_look", items=data.num_items, events=data.num_events)
"""
LEARN = f"""
import sys, zlib
from macrec.workbench import Run
sys.path.insert(0, {str(ROOT)!r})
from tests.endure.jobs import codebooks
run = Run.open(out)
codebooks(run.path("job/result").parent)
run.record("02_learn", seed=seed, learned=zlib.crc32(run.path("job/result").read_bytes()))
"""


@pytest.fixture
def project(tmp_path):
    """A checkout with two small notebooks, one of which keeps its training."""
    folder = tmp_path / "project"
    (folder / "notebooks").mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    for name, code in (("01_look", LOOK), ("02_learn", LEARN)):
        cells = [new_markdown_cell("# Small"), new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})]
        small = new_notebook(cells=[*cells, new_code_cell(code)])
        small.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(small, folder / "notebooks" / f"{name}.ipynb")
    return folder


SHORT_SECONDS = 6.0
"""About what the small notebooks take on an idle machine: a death comes before."""


@pytest.fixture
def known(tmp_path):
    """What the small notebooks record, computed here."""
    codebooks(tmp_path)
    data = curio("tiny")
    look = {"items": data.num_items, "events": data.num_events}
    return look, {"learned": zlib.crc32((tmp_path / "result").read_bytes())}


def test_a_run_that_dies_and_is_given_again_ends_as_if_nothing_had_been(tmp_path, project, known, endure):
    words, place, deaths = ["run", *GIVEN], project, SHORT
    whole = Whole(SHORT_SECONDS, {"metrics.json": {"01_look": known[0], "02_learn": known[1] | {"seed": 0}}})
    if endure:
        words, place, deaths = ["run", "01", "03", *GIVEN], ROOT, min(endure, LONG)
        whole = undisturbed(words, place, tmp_path / "undisturbed")
    died, ended = endure_deaths(words, place, tmp_path, deaths, whole)
    assert died == deaths and ended >= 1


def test_a_sweep_that_dies_and_is_given_again_ends_as_if_nothing_had_been(tmp_path, project, known, endure):
    more = [*GIVEN, "-p", "seed=1,2", "--jobs", "2"]
    words, place, deaths = ["sweep", "02", *more], project, SHORT
    points = {f"seed={seed}/metrics.json": {"02_learn": known[1] | {"seed": seed}} for seed in (1, 2)}
    whole = Whole(SHORT_SECONDS, points)
    if endure:
        words, place, deaths = ["sweep", "03", *more], ROOT, min(endure, LONG)
        whole = undisturbed(words, place, tmp_path / "undisturbed")
    died, ended = endure_deaths(words, place, tmp_path, deaths, whole, seed=6)
    assert died == deaths and ended >= 1
