"""The entry to all loaders: `load_dataset` recognizes the layout of the files at a path and loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macrec.data.built_in import built_in, is_built_in
from macrec.data.dataset import Dataset
from macrec.data.formats import Format, known_formats
from macrec.discovery import OWN_FILE, of_file
from macrec.errors import DataError
from macrec.files import finish_interrupted

ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".7z", ".rar", ".bz2", ".xz", ".zst")


def load_dataset(path_or_name: Path | str, layout: str | None = None, **options: Any) -> Dataset:
    """Load the built-in catalog ("curio", "curio:tiny", "curio:demo:7": size and seed) or whatever lies at a path.

    Settings of the catalog follow in parentheses: "curio(hidden=2)", "curio:tiny(hidden=1, cold=0.08)".

    A path is a folder, a file, or the beginning of the names of several files (`folder/<D>`), and is recognized by the
    names of the files: see `known_formats`. `layout` names one of them instead, as does `"LAYOUT:PATH"`; it may be a
    Python file that holds a `FORMAT` ("mine.py:PATH"). `options` go to the loader. Raises DataError when nothing is
    there, nothing is recognized, or several layouts are.
    """
    if isinstance(path_or_name, str) and is_built_in(path_or_name):
        return built_in(path_or_name, options)
    named, place = layout_and_path(str(path_or_name))
    layout = layout or named
    if not place.strip():
        raise DataError("the name of the dataset is empty", fix='give a path, or "curio" for the built-in catalog')
    path = Path(place)
    if layout:
        chosen = format_named(layout)
        return chosen.load(chosen.find(path) or path, **options)
    if not path.exists():
        finish_interrupted(path.parent)  # a folder whose replacement died on a system that cannot exchange two
    candidates = recognized(path)
    if not candidates:
        raise unknown(path)
    if len(candidates) > 1:
        titles = " and ".join(f"{chosen.title} ({chosen.name})" for chosen, _ in candidates)
        fix = f'name one, as in "{candidates[0][0].name}:{path}" or --layout {candidates[0][0].name}'
        raise DataError(f"the files are of more than one layout: {titles}", file=path, fix=fix)
    chosen, target = candidates[0]
    return chosen.load(target, **options)


def recognized(path: Path) -> list[tuple[Format, Path]]:
    """Every format of which there are files at `path`, and what its loader is to be given."""
    return [(layout, target) for layout in known_formats().values() if (target := layout.find(path)) is not None]


def layout_and_path(name: str) -> tuple[str | None, str]:
    """The two parts of "LAYOUT:PATH"; no layout where the part before the colon is none."""
    if (own := OWN_FILE.fullmatch(name)) and own["rest"] is not None:
        return own["file"], own["rest"]
    layout, colon, path = name.partition(":")
    return (layout, path) if colon and layout in known_formats() else (None, name)


def format_named(name: str) -> Format:
    """The format of this name, or of the Python file; raises DataError when there is none."""
    if OWN_FILE.fullmatch(name):
        own: Format = of_file(Path(name), "FORMAT")
        return own
    if name not in known_formats():
        raise DataError(
            f'there is no layout "{name}"', field="layout", fix=f"choose one of {', '.join(known_formats())}"
        )
    return known_formats()[name]


def unknown(path: Path) -> DataError:
    """The error for a path at which no layout is recognized."""
    if not path.exists():
        return DataError(
            "there is no such file or folder", file=path, fix='check the path, or use the built-in catalog "curio"'
        )
    if path.is_file() and path.name.lower().endswith(ARCHIVES):
        folder = path.with_name(path.name.partition(".")[0] or "folder")
        return DataError(
            "the file is an archive", file=path, fix=f"unpack it, then give the folder, for example {folder}"
        )
    looked = "; ".join(f"{layout.name}: {layout.files}".replace("`", "") for layout in known_formats().values())
    fix = f'rename the files, or name the layout, as in "recbole:{path}" or --layout recbole'
    return DataError(f"no known layout (looked for {looked})", file=path, fix=fix)
