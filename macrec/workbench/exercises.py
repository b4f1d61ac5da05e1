"""Exercises: copies of the notebooks in which learners write the cells themselves.

Words, parameters, set-up (the cells that import) and the record cell stay. Every other code cell becomes one comment
that names what the cell has to define for the cells below, and which of the imported names the original used.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.files import replacing
from macrec.workbench.executed import UNREADABLE
from macrec.workbench.runner import check_folder

KEPT = {"parameters", "record"}
TAG = "exercise"


def write_exercises(notebooks: Sequence[Path], folder: Path, force: bool = False) -> list[Path]:
    """Write an exercise of every notebook into `folder` and return their paths; the same notebooks give the same files.

    Raises DataError, before anything is written, for the folder of the notebooks themselves, and when an exercise there
    was changed by hand, unless `force` is set.
    """
    import nbformat

    check_folder(folder, notebooks)
    made = {folder / source.name: exercise(source) for source in notebooks}
    for path in made:
        if path.exists() and not force and not _untouched(path):
            fix = "give another folder with --out, or --force to begin it anew"
            raise DataError("this notebook has been edited", file=path, fix=fix)
    for path, notebook in made.items():
        with replacing(path) as temporary:
            temporary.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return list(made)


def exercise(source: Path) -> Any:
    """The exercise of a notebook. Emptied cells keep their ids and are tagged; a digest shows whether it changed."""
    import nbformat

    notebook = nbformat.read(source, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    trees = [ast.parse(cell.source) for cell in code]
    imported = {name for tree in trees for name in _imported(tree)}
    for place, (cell, tree) in enumerate(zip(code, trees, strict=True)):
        cell.outputs, cell.execution_count = [], None
        if KEPT.isdisjoint(cell.metadata.get("tags", [])) and not _imported(tree):
            cell.source = _task(tree, _needed(trees[place + 1 :]), imported)
            cell.metadata.tags = [*cell.metadata.get("tags", []), TAG]
    notebook.metadata.macrec = {"exercise": _digest(notebook)}
    return notebook


def _task(tree: ast.Module, needed: set[str], imported: set[str]) -> str:
    """The comment in place of a cell, below which `needed` names are used."""
    wanted = [name for name in _assigned(tree) if name in needed]
    at_hand = [name for name in _names(tree, ast.Load) if name in imported]
    words = [f"define {', '.join(wanted)}, for the cells below" if wanted else "do what the text around it describes"]
    words += [f"the original used {', '.join(at_hand)}"] if at_hand else []
    return f"# Your turn: {'; '.join(words)}."


def _needed(trees: Sequence[ast.Module]) -> set[str]:
    """The names that these cells use before they assign them."""
    needed: set[str] = set()
    own: set[str] = set()
    for statement in (statement for tree in trees for statement in tree.body):
        needed |= set(_names(statement, ast.Load)) - own
        own |= set(_assigned(statement))
    return needed


def _assigned(tree: ast.AST) -> list[str]:
    """The names that a piece of code leaves behind; those of comprehensions are gone when it is done."""
    local = {name for node in ast.walk(tree) if isinstance(node, ast.comprehension) for name in _names(node.target)}
    return [name for name in _names(tree) if name not in local]


def _names(tree: ast.AST, context: type[ast.expr_context] = ast.Store) -> list[str]:
    """The names that a piece of code assigns (`ast.Store`) or uses (`ast.Load`), in order of appearance."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, context)]
    return list(dict.fromkeys(node.id for node in sorted(names, key=lambda node: (node.lineno, node.col_offset))))


def _imported(tree: ast.Module) -> set[str]:
    """The names that a cell imports."""
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for node in statements for alias in node.names}


def _digest(notebook: Any) -> str:
    """A digest of the text and code of a notebook, unchanged by executing it or saving it in another editor."""
    written = "\0".join(f"{cell.cell_type}\0{cell.source}" for cell in notebook.cells)
    return hashlib.blake2b(written.encode(), digest_size=8).hexdigest()


def _untouched(path: Path) -> bool:
    """Whether a file is an exercise as it was made."""
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
    except (*UNREADABLE, nbformat.ValidationError):
        return False
    return bool(notebook.metadata.get("macrec", {}).get("exercise") == _digest(notebook))
