"""The parameters of notebooks: what they declare, what is given for them, and whether it fits."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.workbench.notebooks import read_cells, source_of

Parameters = dict[str, Any]
HOW = ("live", "out")
"""Parameters of how a notebook runs, which do not change its results."""


def parse_parameters(texts: Sequence[str], as_text: Collection[str] = ()) -> Parameters:
    """Read `name=value` pairs; a value that is a Python or JSON literal becomes one, anything else stays text.

    The values of the names in `as_text` always stay as they are written (but for quotes around them). Raises DataError
    for what is no such pair, and for a parameter that is given twice.

    >>> parse_parameters(["seed=3", "live=false", "rate=1e-3", "dataset=curio:tiny"])
    {'seed': 3, 'live': False, 'rate': 0.001, 'dataset': 'curio:tiny'}
    """
    words = {"true": True, "false": False, "none": None, "null": None}
    parameters: Parameters = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise DataError(f'"{text}" is not a parameter', fix="write it as name=value, without spaces")
        if name in parameters:
            raise DataError(f'the parameter "{name}" is given twice', fix="give it once")
        if name not in as_text and value.lower() in words:
            parameters[name] = words[value.lower()]
            continue
        try:
            parameters[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):  # all that literal_eval may raise
            parameters[name] = value
        if name in as_text and not isinstance(parameters[name], str):
            parameters[name] = value
    return parameters


def declared_parameters(notebook: Path) -> Parameters:
    """Names and default values of a notebook's cell tagged `parameters` (flat literals); none without such a cell.

    Raises DataError for a cell that assigns anything else.
    """
    for number, cell in enumerate(read_cells(notebook), 1):
        if "parameters" in cell["metadata"].get("tags", ()):
            try:
                return {
                    target.id: ast.literal_eval(line.value)
                    for line in ast.parse(source_of(cell)).body
                    if isinstance(line, ast.Assign)
                    for target in line.targets
                    if isinstance(target, ast.Name)
                }
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
                what, fix = (
                    f"a parameter has no plain value ({error})",
                    "write each as name = number, text, True or False",
                )
                raise DataError(what, file=notebook, row=f"cell {number}", fix=fix) from error
    return {}


def text_parameters(notebooks: Sequence[Path]) -> set[str]:
    """The names of the parameters of these notebooks whose default is text."""
    defaults = (declared_parameters(notebook) for notebook in notebooks)
    return {name for declared in defaults for name, default in declared.items() if isinstance(default, str)}


def given_parameters(parameters: Parameters, declared: Parameters, folder: Path) -> Parameters:
    """What is handed to a notebook that declares `declared` when it is run headless into `folder`."""
    values = {"live": False, **parameters, "out": str(folder)}
    return {name: value for name, value in values.items() if name in declared}


def check_parameters(parameters: Parameters, declared: dict[Path, Parameters]) -> None:
    """Raise DataError for a parameter that no notebook declares, or whose type is not that of its default."""
    known = {name: default for defaults in declared.values() for name, default in defaults.items()}
    for name, value in parameters.items():
        if name == "out":
            raise DataError('"out" is set by the run itself', fix="name the folder with --out")
        if name not in known:
            raise DataError(f'no notebook has a parameter "{name}"', fix=f"choose from {', '.join(sorted(known))}")
        wanted = type(known[name])
        fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
        if not (fits or (wanted is float and isinstance(value, int) and not isinstance(value, bool))):
            several = ", or several values to macrec sweep" if isinstance(value, tuple) else ""
            raise DataError(
                f"the parameter {name} takes {wanted.__name__}, not {type(value).__name__} ({value!r:.60})",
                fix=f"give a value like the default {known[name]!r}{several}",
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"the parameter {name} cannot be {value}", fix="give a finite number")
