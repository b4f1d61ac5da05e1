"""What a layout of files is to the workbench: how it is recognized, and what reads it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from macrec.data.dataset import Dataset
from macrec.errors import DataError


@dataclass(frozen=True)
class Format:
    """One layout of files.

    `name`: what `--layout` and `dataset=NAME:PATH` call it; `title` and `files`: its row in the README (Markdown).
    `find` looks at a folder, a file or the beginning of the names of several files, and returns what `load` is to be
    given, or None where that is not this layout. It reads names, and no more of a file than it needs to.
    """

    name: str
    title: str
    files: str
    find: Callable[[Path], Path | None]
    load: Callable[..., Dataset]


def existing(folder: Path, *names: str) -> Path | None:
    """The first of these files, plain or gzipped, that is in `folder`."""
    files = (folder / f"{name}{packed}" for name in names for packed in ("", ".gz"))
    return next((file for file in files if file.is_file()), None)


def unpacked(path: Path) -> str:
    """The name of a file without .gz."""
    return path.name.removesuffix(".gz")


def only(names: Sequence[str], path: Path, what: str) -> str:
    """The one name there is. Raises DataError, which says how to name one of several."""
    if len(names) == 1:
        return names[0]
    fix = f"name one, as in {path / names[0]}" if names else "check the path"
    raise DataError(f"one {what} is needed in the folder (found: {', '.join(names) or 'none'})", file=path, fix=fix)
