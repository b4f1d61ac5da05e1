from __future__ import annotations

import importlib
import subprocess
import sys
from types import ModuleType

import pytest

from macrec.encoders import torchvision_compat
from macrec.encoders.torchvision_compat import NMS_MISSING, import_torchvision


def run_python(code: str) -> str:
    """Run `code` in a fresh interpreter and return what it prints."""
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


@pytest.mark.slow
def test_torchvision_and_what_needs_it_can_be_imported_together() -> None:
    code = """
from macrec.encoders.torchvision_compat import import_torchvision
first = import_torchvision()
assert import_torchvision() is first
import torch, torchvision, torchvision.transforms, open_clip, sentence_transformers
assert torchvision is first
print(tuple(torchvision.transforms.CenterCrop(2)(torch.zeros(3, 5, 5)).shape))
"""
    assert run_python(code) == "(3, 2, 2)"


@pytest.mark.slow
def test_importing_the_encoders_imports_nothing_heavy() -> None:
    code = """
import sys
import macrec.encoders as encoders
encoders.make_encoder("clip:ViT-B-32/random")
encoders.make_encoder("minilm")
encoders.available()
heavy = {"torch", "torchvision", "transformers", "sentence_transformers", "open_clip", "sklearn", "skimage", "scipy"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run_python(code) == "[]"


class Imports:
    """Stands in for importlib.import_module: fails with `errors` one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.module = ModuleType("torchvision")
        self.seen: list[set[str]] = []

    def __call__(self, name: str) -> ModuleType:
        assert name == "torchvision"
        self.seen.append({module for module in sys.modules if module.startswith("torchvision.half")})
        if self.errors:
            raise self.errors.pop(0)
        return self.module


@pytest.fixture
def declared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    monkeypatch.setattr(torchvision_compat, "declare_operators", lambda: calls.append("declared"))
    monkeypatch.setattr(torchvision_compat, "_declared", [])
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    return calls


def test_the_missing_operators_are_declared_and_half_imported_modules_dropped(
    monkeypatch: pytest.MonkeyPatch, declared: list[str]
) -> None:
    imports = Imports(RuntimeError(NMS_MISSING))
    monkeypatch.setattr(importlib, "import_module", imports)
    monkeypatch.setitem(sys.modules, "torchvision.half", ModuleType("torchvision.half"))
    assert import_torchvision() is imports.module
    assert declared == ["declared"]
    assert imports.seen == [{"torchvision.half"}, set()]


@pytest.mark.parametrize("error", [RuntimeError("operator torchvision::roi_align does not exist"), ImportError("no")])
def test_other_errors_pass_and_nothing_is_declared(
    monkeypatch: pytest.MonkeyPatch, declared: list[str], error: Exception
) -> None:
    monkeypatch.setattr(importlib, "import_module", Imports(error))
    with pytest.raises(type(error), match=str(error)):
        import_torchvision()
    assert declared == []


def test_a_torchvision_that_imports_is_left_alone(monkeypatch: pytest.MonkeyPatch, declared: list[str]) -> None:
    imports = Imports()
    monkeypatch.setattr(importlib, "import_module", imports)
    assert import_torchvision() is imports.module
    assert declared == []


def test_an_error_that_the_cure_did_not_cure_passes(monkeypatch: pytest.MonkeyPatch, declared: list[str]) -> None:
    monkeypatch.setattr(importlib, "import_module", Imports(RuntimeError(NMS_MISSING), RuntimeError(NMS_MISSING)))
    with pytest.raises(RuntimeError, match="nms"):
        import_torchvision()
    assert declared == ["declared"]
