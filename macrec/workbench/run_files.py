"""The JSON files of runs and sweeps, read as strictly as files from elsewhere: they may be damaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from macrec.data.reading.text_files import parse_json
from macrec.errors import DataError

DEEPEST = 40
"""How deeply the values of such a file may be nested."""


class Every(NamedTuple):
    """The shape of an object whose keys are free: that of each of its values."""

    of: Any


def text(value: Any) -> bool:
    """Whether this is text."""
    return isinstance(value, str)


def text_or_none(value: Any) -> bool:
    """Whether this is text or null."""
    return value is None or isinstance(value, str)


def duration(value: Any) -> bool:
    """Whether this is a number of seconds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def count(value: Any) -> bool:
    """Whether this is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def number(value: Any) -> bool:
    """Whether this is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number_or_none(value: Any) -> bool:
    """Whether this is a number or null."""
    return value is None or number(value)


def anything(value: Any) -> bool:
    """Always."""
    return True


def source(value: Any) -> bool:
    """Whether this is the text of a cell: one text, or a list of lines."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(line, str) for line in value))


RUN = {
    "parameters?": Every(anything),
    "seconds?": Every(duration),
    "skipped?": Every(text),
    "ended?": count,
    "environment?": {"python": text, "system": text, "packages": Every(text_or_none), "commit": text_or_none},
}
METRICS = Every(Every(anything))
SWEEP = {"ended?": count, "points?": [{"name": text, "state": text, "error?": text_or_none}]}
NOTEBOOK = {
    "cells": [{"source": source, "metadata": {"tags?": [text]}}],
    "metadata": {"papermill?": {"parameters?": Every(anything)}},
}
"""Shapes: a test, a list of one shape, `Every`, or an object with the shape of each key; "?" marks what may lack."""


def read_object(
    file: Path,
    shape: Any,
    what: str = "this is not what macrec writes there",
    fix: str = "remove it and run the notebooks again",
) -> dict[str, Any]:
    """The JSON object in `file`. Raises DataError, naming the place, unless it has this shape and sound values."""
    try:
        content = parse_json(file.read_bytes())
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DataError("the file holds no JSON object", file=file, fix=fix)
    place = misfit(content, shape)
    if place is None and shape is not NOTEBOOK:
        place = unsound(content)
    if place is not None:
        raise DataError(what, file=file, field=place or None, fix=fix)
    return content


def misfit(value: Any, shape: Any, place: str = "") -> str | None:
    """Where `value` has not this shape, as a dotted name; None where it has."""
    inner: list[tuple[str, Any, Any]]
    match shape:
        case Every():
            if not isinstance(value, dict):
                return place
            inner = [(str(key), part, shape.of) for key, part in value.items()]
        case list():
            if not isinstance(value, list):
                return place
            inner = [(str(number), part, shape[0]) for number, part in enumerate(value, 1)]
        case dict():
            if not isinstance(value, dict):
                return place
            names = {name.removesuffix("?"): name for name in shape}
            lacking = [name for name, given in names.items() if name == given and name not in value]
            if lacking:
                return _inside(place, lacking[0])
            inner = [(name, value[name], shape[given]) for name, given in names.items() if name in value]
        case _:
            test: Callable[[Any], bool] = shape
            return None if test(value) else place
    misfits = (misfit(part, wanted, _inside(place, name)) for name, part, wanted in inner)
    return next((where for where in misfits if where is not None), None)


def unsound(value: Any, place: str = "", left: int = DEEPEST) -> str | None:
    """Where `value` holds a number that is not finite, or is nested too deeply; None where all is well."""
    if isinstance(value, int | float):
        return None if abs(value) <= 1e300 and not math.isnan(value) else place
    if not isinstance(value, dict | list):
        return None
    if not left:
        return place
    parts = value.items() if isinstance(value, dict) else enumerate(value, 1)
    places = (unsound(part, _inside(place, str(name)), left - 1) for name, part in parts)
    return next((where for where in places if where is not None), None)


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name
