"""Parameters that name files: which they are, where they are meant from, and whether something is there.

A relative path is meant from the folder in which the command is typed. In a notebook that is run by hand it is meant
from the folder of the notebook, where its kernel runs, as every path there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from macrec.data.built_in import is_built_in
from macrec.data.load import layout_and_path, recognized
from macrec.discovery import OWN_FILE
from macrec.encoders.paths import existing_path
from macrec.encoders.registry import located_spec
from macrec.errors import DataError

IDS = ("text_ids", "image_ids", "sids_file")
ENCODERS = ("text_encoder", "image_encoder")
SYSTEMS = ("system", "against", "reference", "systems")


def located(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The same parameters with every path of a file made absolute. Raises DataError where nothing lies at one."""
    return {name: locate(name, value) for name, value in parameters.items()}


def locate(name: str, value: Any) -> Any:
    """One parameter as `located` gives it; what names no file stays as it is."""
    if not isinstance(value, str) or not value.strip():
        return value
    if name == "dataset" and not is_built_in(value):
        return dataset_path(value)
    if name in IDS:
        return existing_path(value, name)
    if name == "modalities":
        entries = (entry.partition("=") for entry in value.split(","))
        return ", ".join(f"{key.strip()}{sign}{located_spec(spec.strip(), name)}" for key, sign, spec in entries)
    if name in ENCODERS:
        return located_spec(value, name)
    if name in SYSTEMS:
        names = [part.strip() for part in value.split(",")]
        return ", ".join(existing_path(part, name) if OWN_FILE.fullmatch(part) else part for part in names)
    return value


def dataset_path(value: str) -> str:
    """Where a dataset lies: a folder, a file, or the beginning of the names of several; after its layout, if given."""
    layout, place = layout_and_path(value)
    path = Path(place).expanduser()
    if not path.exists() and not recognized(path):
        fix = 'check the path, or use the built-in catalog "curio"'
        raise DataError("there is no such file or folder", file=place, field="dataset", fix=fix)
    if layout and OWN_FILE.fullmatch(layout):
        layout = existing_path(layout, "dataset")
    return f"{layout}:{path.resolve()}" if layout else str(path.resolve())
