"""The project's notebooks: which there are, and what their files hold."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.workbench.run import PACKAGE, holds_notebooks, project_root
from macrec.workbench.run_files import NOTEBOOK, read_object


def notebook_folder() -> Path:
    """Where the notebooks lie: in the project, or, outside of any, those that came with the package."""
    own = project_root() / "notebooks"
    return own if holds_notebooks(own) else PACKAGE / "notebooks"


def copy_notebooks() -> Path | None:
    """Outside of any project, copy the notebooks to ./notebooks, where they can be changed; files there are kept.

    Returns the folder, or None where the notebooks lie in a project already.
    """
    if notebook_folder() != PACKAGE / "notebooks":
        return None
    folder = project_root() / "notebooks"
    folder.mkdir(exist_ok=True)
    for source in sorted((PACKAGE / "notebooks").glob("*.ipynb")):
        if not (folder / source.name).exists():
            shutil.copyfile(source, folder / source.name)
    return folder


def find_notebooks(names: Sequence[str] = ()) -> list[Path]:
    """The project's notebooks in order, or those whose name begins with one of `names` ("01", "02_embeddings").

    Raises DataError for a name that fits none, and for a notebook file that lies elsewhere.
    """
    folder = notebook_folder()
    every = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise DataError("there are no notebooks", file=folder, fix="install macrec again")
    for name in names:
        elsewhere = Path(name).resolve().parent != folder.resolve()
        if name.endswith(".ipynb") and elsewhere and (Path(name).exists() or Path(name).name != name):
            raise DataError("this is none of the project's notebooks", file=name, fix=f"put it into {folder}")
        if not Path(name).name or not any(path.name.startswith(Path(name).name) for path in every):
            known = ", ".join(path.stem for path in every)
            raise DataError(f'no notebook is called "{name}"', file=folder, fix=f"choose from {known}")
    return [path for path in every if not names or any(path.name.startswith(Path(name).name) for name in names)]


def read_cells(notebook: Path) -> list[dict[str, Any]]:
    """The cells of a notebook file. Raises DataError for a file that is none."""
    cells: list[dict[str, Any]] = read_notebook(notebook)["cells"]
    return cells


def read_notebook(file: Path) -> dict[str, Any]:
    """The content of a notebook file. Raises DataError for a file that is none."""
    return read_object(file, NOTEBOOK, "this is no notebook", "remove it")


def source_of(cell: dict[str, Any]) -> str:
    """The text of a cell, which files keep as one text or as a list of lines."""
    return "".join(cell["source"])


def was_executed(notebook: Path) -> bool:
    """Whether a notebook file was written by an execution, as those of a run are, and not by hand."""
    return bool(read_notebook(notebook)["metadata"].get("papermill"))
