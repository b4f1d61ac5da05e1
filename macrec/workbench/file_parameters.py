"""Parameters that name files: which they are, where they are meant from, and whether something is there.

A relative path is meant from the folder in which the command is typed. In a notebook that is run by hand it is meant
from the folder of the notebook, where its kernel runs, as every path there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from macrec.data.load import layout_and_path, recognized
from macrec.errors import DataError

IDS = ("text_ids", "image_ids", "sids_file")
ENCODERS = ("text_encoder", "image_encoder")


def located(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters with every path of a file made absolute. Raises DataError where nothing lies at one."""
    return {name: locate(name, value) for name, value in parameters.items()}


def locate(name: str, value: Any) -> Any:
    """One parameter as `located` gives it; what names no file stays as it is."""
    if not isinstance(value, str) or not value.strip():
        return value
    if name == "dataset" and value.partition(":")[0] != "curio":
        return dataset_path(value)
    if name in IDS:
        return there(name, value)
    if name in ENCODERS:
        kind, _, rest = value.partition(":")
        if kind == "npy":
            return f"npy:{there(name, rest)}"
        if kind == "clip":
            return f"clip:{clip_path(name, rest)}"
        if kind == "st" and (looks_like_path(rest) or Path(rest).exists()):
            return f"st:{there(name, rest, folder=True)}"
    return value


def dataset_path(value: str) -> str:
    """Where a dataset lies: a folder, a file, or the beginning of the names of several; after its layout, if given."""
    layout, place = layout_and_path(value)
    path = Path(place).expanduser()
    if not path.exists() and not recognized(path):
        fix = 'check the path, or use the built-in catalog "curio"'
        raise DataError("there is no such file or folder", file=place, field="dataset", fix=fix)
    return f"{layout}:{path.resolve()}" if layout else str(path.resolve())


def clip_path(name: str, rest: str) -> str:
    """What follows "clip:": a model and its weights, of which these may be a file; or a folder that holds both."""
    if rest.startswith("local-dir:"):
        return f"local-dir:{there(name, rest.removeprefix('local-dir:'), folder=True)}"
    model, slash, weights = rest.partition("/")
    if rest.startswith("hf-hub:") or not (looks_like_path(weights) or Path(weights).is_file()):
        return rest
    return f"{model}{slash}{there(name, weights)}"


def looks_like_path(text: str) -> bool:
    """Whether a name can only be that of a file or folder: no model or tag of weights begins or ends so."""
    ends = (".pt", ".pth", ".bin", ".safetensors")
    return text.startswith(("/", "./", "../", "~", ".\\", "..\\")) or text.lower().endswith(ends)


def there(name: str, text: str, folder: bool = False) -> str:
    """The absolute path of the file, or `folder`, that the parameter `name` gives as `text`."""
    path = Path(text).expanduser()
    if not text.strip() or not (path.is_dir() if folder else path.is_file()):
        what = f"there is no such {'folder' if folder else 'file'}"
        fix = f"check the path, which is meant from {Path.cwd()}"
        raise DataError(what, file=text or '""', field=name, fix=fix)
    return str(path.resolve())
