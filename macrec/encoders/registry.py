"""The encoders that can be named, one file each: a module of this package that holds an `ENCODER`.

A new encoder is one new file here, or one file anywhere: its path ("mine.py") may be given in place of a name.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from macrec.discovery import OWN_FILE, of_file, registered
from macrec.encoders.encoder import Encoder, GivenVectors
from macrec.encoders.kind import EncoderKind
from macrec.encoders.paths import existing_path
from macrec.errors import DataError


class Available(NamedTuple):
    """One way to name an encoder: whether its packages are installed, and what to install where they are not."""

    spec: str
    modality: str
    installed: bool
    missing: str
    remark: str


def kinds() -> dict[str, EncoderKind]:
    """The encoders of all modules of this package, by name: those of texts first, those of pictures next."""
    package, order = sys.modules[__package__], ("text", "image")
    known: list[EncoderKind] = registered(package.__name__, package.__path__, "ENCODER")
    place = {kind.name: order.index(kind.modality) if kind.modality in order else len(order) for kind in known}
    return {kind.name: kind for kind in sorted(known, key=lambda kind: (place[kind.name], kind.name))}


def available() -> list[Available]:
    """Every kind of encoder and whether it can be used here; nothing heavy is imported to find out."""
    result = []
    for kind in kinds().values():
        missing = [package for module, package in kind.needs.items() if find_spec(module) is None]
        result.append(Available(kind.form, kind.modality, not missing, ", ".join(missing), kind.remark))
    return result


def located_spec(spec: str, parameter: str) -> str:
    """`spec`, the value of a `parameter`, with its paths made absolute; DataError where nothing lies at one."""
    if own := OWN_FILE.fullmatch(spec):
        file = existing_path(own["file"], parameter)
        return file if own["rest"] is None else f"{file}:{own['rest']}"
    name, colon, rest = spec.partition(":")
    kind = kinds().get(name)
    return f"{name}:{kind.located(rest, parameter)}" if kind and colon else spec


def make_encoder(spec: str, **settings: Any) -> Encoder | GivenVectors:
    """The encoder that `spec` names, with its `settings` (see the classes); `macrec encoders` lists the names.

    "FILE.py" or "FILE.py:REST" is the `ENCODER` of a file of your own. "npy:<file>" needs a `modality`. Raises
    DataError for a spec that names no encoder.

    >>> make_encoder("tfidf", dim=64).name
    'tfidf'
    """
    if own := OWN_FILE.fullmatch(spec):
        kind, rest = of_file(Path(own["file"]), "ENCODER"), own["rest"] or ""
    else:
        name, _, rest = spec.partition(":")
        kind = kinds().get(name)
    encoder: Encoder | GivenVectors | None = kind.make(rest, **settings) if kind else None
    if encoder is None:
        forms = ", ".join(kind.form for kind in kinds().values())
        raise DataError(f'there is no encoder "{spec}"', fix=f"choose one of {forms} (npy with a modality)")
    return encoder
