"""Files and folders in the name of an encoder, made absolute: a notebook runs elsewhere than the command is typed."""

from __future__ import annotations

from pathlib import Path

from macrec.errors import DataError

WEIGHTS = (".pt", ".pth", ".bin", ".safetensors")


def existing_path(text: str, parameter: str, folder: bool = False) -> str:
    """The absolute path of the file, or `folder`, that a `parameter` gives as `text`; DataError where it is not."""
    path = Path(text).expanduser()
    if not text.strip() or not (path.is_dir() if folder else path.is_file()):
        what = f"there is no such {'folder' if folder else 'file'}"
        fix = f"check the path, which is meant from {Path.cwd()}"
        raise DataError(what, file=text or '""', field=parameter, fix=fix)
    return str(path.resolve())


def looks_like_path(text: str) -> bool:
    """Whether a name can only be that of a file or folder: no model or tag of weights begins or ends so."""
    return text.startswith(("/", "./", "../", "~", ".\\", "..\\")) or text.lower().endswith(WEIGHTS)
