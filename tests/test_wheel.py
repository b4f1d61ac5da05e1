"""The wheel: what `pip install` brings works without the checkout that it was built from."""

import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.version import Version

from macrec.workbench import notebooks, run
from macrec.workbench.notebooks import copy_notebooks, find_notebooks
from macrec.workbench.run import project_root

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("macrec", "notebooks", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.slow
@pytest.mark.skipif(Version(version("setuptools")) < Version("77"), reason="building needs setuptools 77 or newer")
def test_the_wheel_holds_every_file_of_the_package_and_the_notebooks(tmp_path):
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name, **({"symlinks": True} if copy is shutil.copytree else {}))
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, tmp_path]
    subprocess.run([sys.executable, "-m", *command], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("macrec/")}
    files = (file for file in (ROOT / "macrec").rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    wanted = {file.relative_to(ROOT).as_posix() for file in files if not file.name.startswith(".")}
    wanted |= {f"macrec/notebooks/{file.name}" for file in (ROOT / "notebooks").glob("*.ipynb")}
    assert len(wanted) > 200 and held == wanted


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Make it seem that macrec lies in a folder without a checkout, and that the command is typed in another one."""
    package = tmp_path / "site-packages" / "macrec"
    shutil.copytree(ROOT / "notebooks", package / "notebooks")
    (tmp_path / "work").mkdir()
    for module in (run, notebooks):
        monkeypatch.setattr(module, "PACKAGE", package)
    monkeypatch.chdir(tmp_path / "work")
    return package


def test_without_a_checkout_the_notebooks_are_those_of_the_package_and_runs_go_here(installed, tmp_path, monkeypatch):
    assert project_root() == tmp_path / "work"
    assert find_notebooks(["03"]) == [installed / "notebooks" / "03_codebooks.ipynb"]
    monkeypatch.chdir(installed / "notebooks")  # where kernels run: the package is no project, for all its notebooks
    assert project_root() == installed / "notebooks"
    assert run.commit() is None


def test_lab_copies_the_notebooks_once_and_keeps_what_was_changed(installed, tmp_path):
    own = tmp_path / "work" / "notebooks"
    own.mkdir()
    (own / "demo_page.ipynb").write_text("mine")
    assert copy_notebooks() == own
    assert (own / "demo_page.ipynb").read_text() == "mine" and project_root() == tmp_path / "work"
    assert [path.parent for path in find_notebooks(["00"])] == [own] and copy_notebooks() is None
