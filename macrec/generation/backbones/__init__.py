"""What generators are built on, one file each: a module of this package that holds a `BACKBONE`.

The name in it is a value of the parameter `backbone`.
"""

from __future__ import annotations

from macrec.discovery import registered
from macrec.errors import DataError
from macrec.generation.backbones.backbone import Backbone, CodeGenerator, Config, GeneratorTask, Recipe

__all__ = [
    "Backbone",
    "CodeGenerator",
    "Config",
    "GeneratorTask",
    "Recipe",
    "backbone_named",
    "backbone_of",
    "backbones",
]


def backbones() -> dict[str, Backbone]:
    """All backbones by name."""
    every: list[Backbone] = registered(__name__, __path__, "BACKBONE")
    return {each.name: each for each in sorted(every, key=lambda each: each.name)}


def backbone_named(name: str) -> Backbone:
    """The backbone of this name. Raises DataError when there is none."""
    known = backbones()
    if name not in known:
        fix = f"choose one of {', '.join(known)}"
        raise DataError(f'there is no backbone "{name}"', field="backbone", fix=fix)
    return known[name]


def backbone_of(config: Config, recipe: Recipe) -> Backbone:
    """The backbone that these settings are of. Raises ValueError where they are not of one."""
    for backbone in backbones().values():
        if type(config) is backbone.config and type(recipe) is backbone.recipe:
            return backbone
    raise ValueError(f"no backbone has a {type(config).__name__} and a {type(recipe).__name__}")
