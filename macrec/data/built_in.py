"""The name of the built-in catalog, with its size, its seed and its settings: `curio:tiny:7(hidden=2, cold=0.08)`."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

from macrec.data.dataset import Dataset
from macrec.errors import DataError

GRAMMAR = "curio[:SIZE[:SEED]][(SETTING=VALUE, …)]"
NAME = re.compile(r"curio(?P<place>(:[^()]*)?)(\((?P<settings>.*)\))?\s*", re.DOTALL)


def is_built_in(name: str) -> bool:
    """Whether a dataset's name is meant as that of the built-in catalog, also where it is misspelled after "curio"."""
    return re.match(r"curio(?![^:(])", name) is not None


def with_size(name: str, size: str) -> str:
    """The same name with this size where it is that of the built-in catalog and says none.

    >>> with_size("curio(hidden=2)", "demo"), with_size("curio:tiny", "demo")
    ('curio:demo(hidden=2)', 'curio:tiny')
    """
    return re.sub(r"^curio(?=\(|$)", f"curio:{size}", name)


def built_in(name: str, options: dict[str, Any]) -> Dataset:
    """The built-in catalog that a name after `GRAMMAR` means; the settings are fields of `curio.Settings`.

    Raises DataError for another name, an unknown size or setting, and a value that a setting cannot have.
    """
    from macrec.data.curio import SIZES, curio

    matched = NAME.fullmatch(name)
    _, size, seed = (matched["place"].split(":") + ["", ""])[:3] if matched and matched["place"] else ("", "", "")
    if not matched or matched["place"].count(":") > 2 or size not in (*SIZES, "") or not (seed.isdecimal() or not seed):
        fix = f"write {GRAMMAR} with SIZE one of {', '.join(SIZES)} and a whole number as SEED"
        raise DataError(f'there is no built-in catalog "{name}"', fix=fix)
    settings = settings_of(matched["settings"] or "", name)
    try:
        data = curio(size or "demo", **({"seed": int(seed)} if seed else {}), **settings, **options)
    except ValueError as error:
        if not settings:
            raise
        raise DataError(f'there is no built-in catalog "{name}": {error}', fix="give another value") from error
    said = ", ".join(f"{setting}={value:g}" for setting, value in settings.items())
    return dataclasses.replace(data, name=f"{data.name}({said})") if said else data


def settings_of(text: str, name: str) -> dict[str, Any]:
    """The settings written as "hidden=2, cold=0.08" in the `name` of a dataset."""
    from macrec.data.curio import Settings

    # Seed and size have their own places in the name.
    kinds = {field.name: field.type for field in dataclasses.fields(Settings) if field.name != "seed"}
    settings: dict[str, Any] = {}
    for part in text.split(",") if text.strip() else []:
        setting, equals, value = (each.strip() for each in part.partition("="))
        if not equals or setting not in kinds:
            what = f'the built-in catalog has no setting "{setting}"'
            raise DataError(what, field=name, fix=f"write {GRAMMAR} with settings from {', '.join(kinds)}")
        if setting in settings:
            raise DataError(f"{setting} is given twice", field=name, fix="give it once")
        whole = kinds[setting] == "int"
        try:
            settings[setting] = int(value) if whole else float(value)
            finite = math.isfinite(settings[setting])
        except ValueError:
            finite = False
        if not finite:
            kind = "a whole number" if whole else "a number"
            raise DataError(f'{setting} cannot be "{value}"', field=name, fix=f"give {kind}")
    return settings
