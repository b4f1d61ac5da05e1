"""pyproject.toml is the one list: constraints, environment.yml and the code agree with it."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import macrec

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [Requirement(line) for line in [*PROJECT["dependencies"], *(r for e in EXTRAS.values() for r in e)]]
PINS = {
    re.sub(r"[-_.]+", "-", name).lower(): version
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if not line.startswith("#")
    for name, _, version in [line.partition("==")]
}


@pytest.mark.parametrize("requirement", [r for r in REQUIREMENTS if r.name != "macrec"], ids=lambda r: r.name)
def test_every_requirement_is_pinned_to_a_version_it_allows(requirement):
    pin = PINS[re.sub(r"[-_.]+", "-", requirement.name).lower()]
    assert re.fullmatch(r"[0-9][0-9a-z.]*", pin), "a pin is a plain version, without a local build label"
    assert requirement.specifier.contains(pin)


def test_conda_environment_installs_this_project_with_these_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip == ["--constraint constraints.txt", "--editable .[dev]"], "every package comes from pyproject.toml"
    python = next(entry for entry in conda if entry.startswith("python="))
    assert SpecifierSet(PROJECT["requires-python"]).contains(Version(python.partition("=")[2]))
    assert {"pip", "make"} <= set(conda) and environment["channels"] == ["conda-forge"]


def test_make_and_conda_install_the_same_extras():
    assert '".[dev]"' in (ROOT / "Makefile").read_text()


HEAVY = {"torch", "transformers", "open_clip", "umap", "numba", "skimage", "sklearn", "papermill"}
LIGHT = {
    "macrec.data.load, macrec.encoders, macrec.workbench.run": HEAVY,
    "macrec.cli": HEAVY | {"plotly", "polars", "numpy", "scipy", "IPython", "nbformat", "jupyterlab"},
}
"""What is imported, and what must not be imported with it: heavy packages wait until they are first used."""


@pytest.mark.parametrize("modules", LIGHT)
def test_an_import_loads_nothing_heavy(modules):
    code = f"import sys, {modules}; print({LIGHT[modules]} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_nothing_heavy(option):
    code = (
        "import sys\nfrom macrec.cli import main\n"
        f"sys.argv = ['macrec', {option!r}]\n"
        "try: main()\n"
        f"finally: print({LIGHT['macrec.cli']} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "set()"


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert macrec.__version__ == PROJECT["version"] == citation["version"]


def test_public_names_are_those_that_type_checkers_see_and_each_is_there():
    nodes = ast.walk(ast.parse((ROOT / "macrec" / "__init__.py").read_text()))
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.col_offset]
    assert {name.name: node.module for node in found for name in node.names} == macrec.PUBLIC
    assert set(macrec.__all__) == {*macrec.PUBLIC, "__version__"}
    for name in macrec.__all__:
        assert getattr(macrec, name) is not None and name in dir(macrec)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = macrec.nothing


def test_importing_macrec_loads_none_of_its_public_names():
    code = f"import sys, macrec; print({{*{macrec.PUBLIC}.values()}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_files_that_the_page_on_the_architecture_names_exist_and_it_names_every_package():
    named = set(re.findall(r"`((?:macrec|tests|docs)/[\w/.]*)`", (ROOT / "docs" / "architecture.md").read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "macrec").glob("*/__init__.py")}
    assert packages <= named


def test_hooks_before_a_commit_run_what_set_up_installs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    tools = {Path(hook["entry"].split()[0]).name for hook in hooks}
    assert tools == {"ruff", "nbstripout", "mypy"} <= {requirement.name for requirement in REQUIREMENTS}
    assert all(hook["entry"].startswith(".venv/bin/") and hook["language"] == "system" for hook in hooks)


def test_no_property_is_given_a_deadline():
    """A busy machine makes an example slow, never wrong."""
    assert settings().deadline is None
