"""Scripts and styles are files that a linter reads, and that go into a page as they are."""

import re
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from macrec.viz.assets import script, script_tag

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "macrec").rglob("*.js"))
SHEETS = sorted((ROOT / "macrec").rglob("*.css"))


def test_a_script_stands_after_what_it_imports_and_everything_once(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "a.js").write_text("// A.\nexport const a = 1;\n")
    (tmp_path / "b.js").write_text('import { a } from "./a.js";\nexport function b() { return a; }\n')
    main = tmp_path / "below" / "main.js"
    main.write_text('import { a } from "../a.js";\nimport { b } from "../b.js";\nexport default { a, b };\n')
    assert script(main) == "// A.\nconst a = 1;\nfunction b() { return a; }\nexport default { a, b };"
    assert script_tag("b();", tmp_path / "b.js").endswith("function b() { return a; }\nb();\n})();</script>")


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_a_script_can_stand_between_script_tags_and_its_names_do_not_collide(file):
    text = script(file)
    assert "</script" not in text and not re.search("^import ", text, re.MULTILINE)
    names = re.findall(r"^(?:const|let|function|class) (\w+)", text, re.MULTILINE)
    assert [name for name, times in Counter(names).items() if times > 1] == []


@pytest.mark.parametrize("file", SHEETS, ids=lambda file: file.name)
def test_a_style_sheet_can_stand_between_style_tags(file):
    assert "</style" not in file.read_text(encoding="utf-8")


def test_no_module_holds_a_script_or_a_style_sheet():
    inside = re.compile(r"=> \{$|addEventListener|^\s*\.[\w-]+ ?\{.*\}$", re.MULTILINE)
    assert [file.name for file in (ROOT / "macrec").rglob("*.py") if inside.search(file.read_text())] == []


def test_all_of_them_are_in_the_package_data():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["macrec"]
    packed = {file for pattern in patterns for file in (ROOT / "macrec").glob(pattern)}
    assert SCRIPTS and SHEETS and {*SCRIPTS, *SHEETS} <= packed


def test_biome_has_nothing_to_say():
    local = ROOT / "node_modules" / ".bin" / "biome"
    biome = str(local) if local.exists() else shutil.which("biome")
    if biome is None:
        pytest.skip("biome is not installed: make lint-pages")
    checked = subprocess.run([biome, "ci", "--colors=off"], cwd=ROOT, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
