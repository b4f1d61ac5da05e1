"""A file that shares an experiment: which notebooks, with which parameters.

A TOML file with the parameters at its top level and, optionally, the notebooks:

    notebooks = ["03", "08"]
    dataset = "curio:tiny"
    lambda_con = 0.003

For `macrec sweep` a list holds the values of a grid. Relative paths are meant from the folder of the file.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from macrec import __version__
from macrec.errors import DataError
from macrec.files import replacing
from macrec.workbench.file_parameters import locate
from macrec.workbench.notebooks import find_notebooks
from macrec.workbench.parameters import check_parameters, declared_parameters

NAME = "parameters.toml"
"""The file of this kind that every run writes into its folder, and every sweep."""


@dataclass(frozen=True)
class Experiment:
    """The content of a file: its notebooks (all, where it names none), and the values of every parameter.

    A parameter has one value, or those of a list in the order of the file.
    """

    file: Path
    notebooks: list[Path]
    values: dict[str, list[Any]]

    def grid(self, notebooks: Sequence[Path], given: Collection[str] = ()) -> dict[str, list[Any]]:
        """The values of the parameters that these notebooks declare, paths made absolute, without those of `given`.

        Raises DataError where nothing lies at a path.
        """
        declared = {name for notebook in notebooks for name in declared_parameters(notebook)}
        chosen = {name: values for name, values in self.values.items() if name in declared and name not in given}
        with chdir(self.file.resolve().parent):
            return {name: [locate(name, value) for value in values] for name, values in chosen.items()}

    def parameters(self, notebooks: Sequence[Path], given: Collection[str] = ()) -> dict[str, Any]:
        """The same for a single run. Raises DataError for a list: a run has one value of each parameter."""
        for name, values in self.values.items():
            if len(values) != 1 and name not in given:
                what = f"a run takes one value of a parameter, not {len(values)}"
                raise DataError(what, file=self.file, field=name, fix="keep one, or give the file to macrec sweep")
        return {name: value for name, [value] in self.grid(notebooks, given).items()}


def read_experiment(file: Path) -> Experiment:
    """Read a file of parameters. Raises DataError, naming file and key, for what no notebook would take."""
    content = _read(file)
    names = content.pop("notebooks", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        fix = 'write a list of numbers or names as text, as in ["03", "08_evaluation"]'
        raise DataError("the notebooks are no list of names", file=file, field="notebooks", fix=fix)
    try:
        notebooks = find_notebooks(names)
    except DataError as error:
        raise DataError(error.what, file=file, field="notebooks", fix=error.fix) from error
    declared = {notebook: declared_parameters(notebook) for notebook in notebooks}
    values = {name: value if isinstance(value, list) else [value] for name, value in content.items()}
    for name, several in values.items():
        if not several:
            raise DataError("the list of values is empty", file=file, field=name, fix="give values, or remove it")
        for place, value in enumerate(several):
            try:
                check_parameters({name: value}, declared)
            except DataError as error:
                raise DataError(error.what, file=file, field=name, fix=error.fix) from error
            if value in several[:place]:
                raise DataError(f"the value {value!r} occurs twice", file=file, field=name, fix="give it once")
    return Experiment(file, notebooks, values)


def _read(file: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises DataError where it is none, and OSError where it cannot be opened."""
    if not file.is_file():
        raise DataError("there is no such file", file=file, fix="check the path of --params: it must be a .toml file")
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError("the file is not UTF-8", file=file, fix="save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        what = f"this is no TOML: {str(error)[:1].lower()}{str(error)[1:]}"
        raise DataError(what, file=file, fix='write each parameter as name = value, text in "quotes"') from error
    except RecursionError as error:
        raise DataError("the values are nested too deeply", file=file, fix="give plain values") from error


def write_experiment(file: Path, notebooks: Collection[str], parameters: Mapping[str, Any], command: str) -> None:
    """Write notebooks and parameters as `read_experiment` reads them; a list holds several values of a parameter."""
    lines = [
        f"# What macrec {__version__} ran here; what is not named had the default of that version.",
        f"# To run it again: macrec {command} --params THIS_FILE",
        f"notebooks = {toml_value(sorted(notebooks))}",
        *(f"{toml_key(name)} = {toml_value(value)}" for name, value in parameters.items()),
    ]
    with replacing(file) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def toml_key(name: str) -> str:
    """The name of a parameter as a TOML key; one with letters beyond ASCII needs quotes."""
    return name if name.isascii() else toml_value(name)


def toml_value(value: Any) -> str:
    r"""Text, a number, True, False or a list of these as TOML.

    >>> print(toml_value(["a\\b", 0.5, True]))
    ["a\\b", 0.5, true]
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
