"""The layouts of files that are recognized, one file each: a module of this package that holds a `FORMAT`.

A new layout is one new file here: recognition, loader, and its row in the README (`readme_rows`); or a file anywhere,
named before the path of the data ("mine.py:PATH"). Modules without a `FORMAT` are what several layouts share, and what
saves a dataset.
"""

from __future__ import annotations

from collections.abc import Mapping

from macrec.data.formats.format import Format
from macrec.discovery import registered

__all__ = ["Format", "known_formats", "readme_rows"]


def known_formats() -> dict[str, Format]:
    """The formats of all modules of this package, by name, in the order of their titles."""
    formats: list[Format] = registered(__name__, __path__, "FORMAT")
    return {each.name: each for each in sorted(formats, key=lambda each: each.title.casefold())}


def readme_rows(formats: Mapping[str, Format]) -> str:
    """The table of layouts in the README."""
    rows = [f"| {each.title} | `{each.name}` | {each.files} |" for each in formats.values()]
    return "\n".join(["| layout | name | files |", "|---|---|---|", *rows])
