"""JSON values as what an item or an event needs: an id, a text, texts, a whole number, pictures.

Every function raises ValueError, with the problem, for a value that cannot be converted.
"""

from __future__ import annotations

import json
import math
from itertools import chain, zip_longest
from typing import Any

from macrec.data.reading.text_files import without_surrogates

PICTURE_SIZES = ("hi_res", "large", "thumb")
"""The addresses of one picture in Amazon's metadata of 2023, the best first."""


def is_absent(value: Any) -> bool:
    """Whether a value is missing: null or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_id(value: Any) -> str:
    """An id: a text that is not empty, or a whole number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"the value {brief(value)} is not text")
    if value == "":
        raise ValueError("the field is empty")
    if value != without_surrogates(value) or "\0" in value:
        raise ValueError(f"the id {brief(value)} holds a character that cannot be written")
    return value


def as_texts(value: Any) -> list[str]:
    """Texts, however they are nested: one text or number, lists of such, objects with one text in them."""
    if is_absent(value):
        return []
    if isinstance(value, str):
        return [without_surrogates(value)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list):
        return list(chain.from_iterable(map(as_texts, value)))
    if isinstance(value, dict) and len(texts := [part for part in value.values() if isinstance(part, str)]) == 1:
        return as_texts(texts[0])
    raise ValueError(f"the value {brief(value)} is not a text or a list of texts")


def as_text(value: Any) -> str:
    """One text: texts joined with spaces."""
    if isinstance(value, bool | dict):
        raise ValueError(f"the value {brief(value)} is not text")
    return " ".join(as_texts(value))


def as_whole(value: Any) -> int:
    """A whole number of 64 bits; 5.0 is one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"the value {brief(value)} is not a whole number")
    return value


def as_pictures(value: Any) -> list[str]:
    """Addresses of pictures, the best first: texts, objects of `PICTURE_SIZES`, or one object of lists of these."""
    if is_absent(value):
        return []
    if isinstance(value, str):
        return [without_surrogates(value)]
    if isinstance(value, list):
        return list(chain.from_iterable(map(as_pictures, value)))
    if isinstance(value, dict):
        sizes = [part if isinstance(part, list) else [part] for part in map(value.get, PICTURE_SIZES)]
        return as_pictures([address for picture in zip_longest(*sizes) for address in picture])
    raise ValueError(f"the value {brief(value)} is not a list of pictures")


def brief(value: Any) -> str:
    """A value as JSON, cut to a length that a sentence can hold."""
    text = json.dumps(value, ensure_ascii=False)
    return without_surrogates(text if len(text) <= 40 else text[:37] + "...")
