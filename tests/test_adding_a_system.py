"""The guide to adding a system, followed literally: its files are written, its commands run, its Python executed."""

import json
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from macrec import cli
from macrec.systems import registry

PAGE = Path(__file__).resolve().parent.parent / "docs" / "adding_a_system.md"


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """Where the page was followed, what its commands printed, and what its Python left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "_own", {})
    printed, names = [], {}
    for kind, block in re.findall(r"```(python|bash)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        file = re.match(r"# (\w+\.py)\n", block)
        if file:
            Path(file[1]).write_text(block, encoding="utf-8")
        elif kind == "python":
            exec(compile(block, PAGE.name, "exec"), names)
        for command in block.splitlines() if kind == "bash" else ():
            program, *arguments = shlex.split(command)
            result = CliRunner().invoke(cli.app, arguments)
            assert program == "macrec" and result.exit_code == 0, result.output
            printed.append(result.output)
    return tmp_path, printed, names


@pytest.mark.notebook
def test_the_guide_ends_with_tables_that_show_both_systems(followed):
    folder, printed, names = followed
    assert "what follows the items of a history" in printed[0] and "terms: transitions, popularity" in printed[0]
    found = json.loads((folder / "run" / "metrics.json").read_text())["08_evaluation"]
    assert found["reference"] == "Decay" and {"popularity", "Markov-1", "Decay"} < set(found["systems"])
    ablated = ["Decay", "Decay w/o transitions", "Decay w/o popularity", "Decay w/o any term"]
    assert [row["system"] for row in found["ablation"]] == ablated
    popularity, alone = (found["systems"]["popularity"], found["ablation"][1])
    assert alone["NDCG@10"] == popularity["NDCG@10"] and found["ablation"][0]["NDCG@10"] > popularity["NDCG@10"]
    assert [*names["results"].evaluations] == ["Decay", "Crossing"] and names["results"].reference == "Crossing"
    assert [row["system"] for row in names["ablation"].rows] == ["Crossing", "Crossing w/o items"]
