"""One run: a folder with the executed notebooks, what they made, and one metrics.json."""

from __future__ import annotations

import itertools
import platform
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.files import write_json
from macrec.lock import locked
from macrec.workbench.run_files import METRICS, RUN, SWEEP, count, read_object

PACKAGES = (
    "macrec",
    "numpy",
    "polars",
    "torch",
    "scikit-learn",
    "scikit-image",
    "sentence-transformers",
    "open_clip_torch",
)


PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of macrec itself. It holds the notebooks that `pip install` brings; in a checkout, a link to them."""


def holds_notebooks(folder: Path) -> bool:
    """Whether notebooks of ours lie in a folder, as `01_data.ipynb` does: they are numbered."""
    return any(folder.glob("[0-9][0-9]_*.ipynb"))


def project_root() -> Path:
    """The folder of `notebooks` and `runs`: the nearest from here upwards that holds the notebooks, else the checkout
    that macrec was imported from, else the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, PACKAGE.parent):
        if holds_notebooks(folder / "notebooks") and folder.resolve() != PACKAGE:
            return folder
    return here


def new_folder() -> Path:
    """A folder in runs/ that is named by the time and made now; of runs that begin in one second each has its own."""
    name = time.strftime("%Y%m%d-%H%M%S")
    for number in itertools.count(1):
        folder = project_root() / "runs" / (name if number == 1 else f"{name}-{number}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return folder


@dataclass(frozen=True)
class Run:
    """A run folder. Notebooks write their files to `path(name)` and their numbers with `record`."""

    folder: Path

    @classmethod
    def open(cls, out: str = "") -> Run:
        """Open or start the run in `out`; a relative path is meant from the project's root. Default: runs/lab."""
        folder = project_root() / (out or "runs/lab")
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)

    def path(self, name: str) -> Path:
        """Where the artifact `name` belongs; its folder is made."""
        path = self.folder / "artifacts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def metrics(self) -> dict[str, Any]:
        """All that was recorded so far: notebook → metrics."""
        return self.read("metrics.json", METRICS)

    def manifest(self) -> dict[str, Any]:
        """How the run came about: parameters and environment of its last execution, seconds of every
        notebook, and why notebooks were skipped."""
        return self.read("run.json", RUN)

    def sweep(self) -> dict[str, Any]:
        """What is written of the sweep in this folder: the notebooks, the grid, and the state of every point."""
        return self.read("sweep.json", SWEEP)

    def read(self, name: str, shape: Any) -> dict[str, Any]:
        """One JSON file of the run; empty when it is not there yet. Raises DataError when it is damaged."""
        file = self.folder / name
        return read_object(file, shape) if file.exists() else {}

    def record(self, notebook: str, **metrics: Any) -> None:
        """Keep the numbers of one notebook in metrics.json, replacing those of an earlier execution.

        Several notebooks may be open on one run: they record one after the other.
        """
        with locked(self.folder / ".metrics.lock", "recording", lambda holder: None):
            write_json(self.folder / "metrics.json", self.metrics() | {notebook: metrics})

    def forget(self, notebook: str) -> None:
        """Take the numbers of one notebook out of metrics.json."""
        with locked(self.folder / ".metrics.lock", "recording", lambda holder: None):
            if notebook in (metrics := self.metrics()):
                del metrics[notebook]
                write_json(self.folder / "metrics.json", metrics)


def runs_in(folder: Path) -> list[Path]:
    """The run.json and sweep.json of all runs and sweeps in a folder, that which ended last at the end.

    Their own number "ended" decides; where none bears one, as in those of older versions, the time of the file, which
    a clock that is set back or a copy can make wrong.
    """
    return sorted(_books(folder), key=lambda file: (_ended(file), file.stat().st_mtime))


def next_end_number(folder: Path) -> int:
    """The number "ended" of what ends in the folder of a run now: above those of all runs beside it."""
    return 1 + max((_ended(file) for file in _books(folder.resolve().parent)), default=0)


def _books(folder: Path) -> list[Path]:
    return [*folder.glob("*/run.json"), *folder.glob("*/sweep.json")]


def _ended(file: Path) -> int:
    with suppress(DataError, OSError):
        return int(read_object(file, {"ended?": count}).get("ended", 0))
    return 0  # damaged: reading that run raises the error


def environment() -> dict[str, Any]:
    """What a result depends on besides code and parameters: versions, machine, commit."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in PACKAGES},
        "commit": commit(),
    }


def commit() -> str | None:
    """The commit of macrec's checkout, marked when files differ from it; None where macrec was installed elsewhere."""
    if not (PACKAGE.parent / "pyproject.toml").is_file():
        return None
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
