"""Modalities by name: which encoder each has, as the parameters of a notebook say it."""

from __future__ import annotations

import re

from macrec.errors import DataError
from macrec.terms import codebook_prefix

NAME = re.compile(r"[a-z][a-z0-9-]*(/[a-z][a-z0-9-]*)?")
"""What a modality may be called: "acoustic", or "text/title" for one view of a text."""

TAKEN = frozenset({"fused", "item", "loss", "implicit", "generation"})
"""Names that figures and trainings give to something else."""


def modality_specs(text: str = "", image: str = "", further: str = "") -> dict[str, str]:
    """Modality → name of its encoder, text and image first; one whose encoder is "" is left out.

    `further`: "NAME=ENCODER, NAME=ENCODER", as in "acoustic=npy:FILE, text/title=tfidf:title". Raises DataError for
    what does not read so, and for a name that cannot be used or that equals another but for punctuation.

    >>> modality_specs("tfidf", "hog-color", "text/title=tfidf:title")
    {'text': 'tfidf', 'image': 'hog-color', 'text/title': 'tfidf:title'}
    """
    specs = {"text": text, "image": image}
    for entry in filter(None, map(str.strip, further.split(","))):
        name, equals, spec = (part.strip() for part in entry.partition("="))
        if not equals or not spec:
            raise refused(f'"{entry}" does not say which encoder', "write NAME=ENCODER, as in acoustic=npy:FILE")
        if name in ("text", "image"):
            raise refused(f"the encoder of {name} has a parameter of its own", f"give it as {name}_encoder")
        if not NAME.fullmatch(name) or name in TAKEN:
            fix = "use small letters, digits and hyphens, and at most one slash, as in text/title"
            raise refused(f'a modality cannot be called "{name}"', fix)
        if alike := [other for other in specs if codebook_prefix(other) == codebook_prefix(name)]:
            raise refused(f'the modalities "{alike[0]}" and "{name}" have one name', "let them differ in a letter")
        specs[name] = spec
    return {name: spec for name, spec in specs.items() if spec}


def content_of(modality: str) -> str:
    """What a modality is a view of: "text" for "text/title"; else its own name."""
    return modality.partition("/")[0]


def refused(what: str, fix: str) -> DataError:
    """The error for modalities that cannot be used."""
    return DataError(what, field="modalities", fix=fix)
