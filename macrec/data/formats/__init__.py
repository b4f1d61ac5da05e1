"""The layouts of files that are recognized, one file each: a module of this package that holds a `FORMAT`.

A new layout is one new file here: recognition, loader, and its row in the README (`readme_rows`). Modules without a
`FORMAT` are what several layouts share, and what saves a dataset.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from macrec.data.formats.format import Format

__all__ = ["FORMATS", "Format", "discovered", "readme_rows"]


def discovered() -> dict[str, Format]:
    """The formats of all modules of this package, by name, in the order of their titles."""
    modules = [import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)]
    formats: list[Format] = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {each.name: each for each in sorted(formats, key=lambda each: each.title.casefold())}


def readme_rows(formats: Mapping[str, Format]) -> str:
    """The table of layouts in the README."""
    rows = [f"| {each.title} | `{each.name}` | {each.files} |" for each in formats.values()]
    return "\n".join(["| layout | name | files |", "|---|---|---|", *rows])


FORMATS: Mapping[str, Format] = discovered()
