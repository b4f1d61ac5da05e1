"""How the library is put together: imports run one way, nothing runs in circles, files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[1] / "macrec"
ORDER = (
    "errors", "threads", "lock", "files", "discovery", "terms", "checkpoint", "training", "data", "evaluation",
    "quantization", "models", "encoders", "tokenizers", "generation", "published", "systems", "experiments", "viz",
    "workbench", "demo", "cli",
)  # fmt: skip
"""A package imports from those before it."""


def modules() -> dict[str, Path]:
    """Dotted name below `macrec` → file."""
    files = sorted(ROOT.rglob("*.py"))
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file: Path, *, runtime: bool = False) -> Iterator[str]:
    """The modules of `macrec` that a file names; with `runtime` only those that it needs to be imported itself."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    nodes = tree.body if runtime else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("macrec."):
            base = node.module.removeprefix("macrec.")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (a.name.removeprefix("macrec.") for a in node.names if a.name.startswith("macrec."))


def test_packages_import_only_from_those_before_them() -> None:
    backward = [
        f"{name} imports {other}"
        for name, file in modules().items()
        if name != "__init__"
        for other in imported(file)
        if ORDER.index(other.split(".")[0]) > ORDER.index(name.split(".")[0])
    ]
    assert backward == []


def test_no_module_needs_itself() -> None:
    """Following imports from any module never leads back to it."""
    known = modules()
    needs = {name: {other for other in imported(file, runtime=True) if other in known} for name, file in known.items()}
    state: dict[str, int] = {}

    def visit(name: str, path: list[str]) -> None:
        assert state.get(name) != 1, " → ".join([*path[path.index(name) :], name])
        if name in state:
            return
        state[name] = 1
        for other in sorted(needs[name] - {name}):
            visit(other, [*path, name])
        state[name] = 2

    for name in known:
        visit(name, [])


def test_files_are_short() -> None:
    lengths = {
        file.relative_to(ROOT): len(file.read_text(encoding="utf-8").splitlines())
        for kind in ("py", "js", "css")
        for file in ROOT.rglob(f"*.{kind}")
    }
    assert {file: length for file, length in lengths.items() if length > 350} == {}
    assert median(length for file, length in lengths.items() if file.suffix == ".py") <= 150
