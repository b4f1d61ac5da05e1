"""What an encoder is to a parameter: how it is named, what it needs, and how it is made from its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from macrec.encoders.encoder import Encoder, GivenVectors


@dataclass(frozen=True)
class EncoderKind:
    """One way to name an encoder.

    `name` begins its specs and `form` shows people a whole one; `modality` is what it encodes, "any" for vectors that
    are there already. `make(rest, **settings)` gets what stands behind the colon ("" for nothing) and returns the
    encoder, or None where it makes none of that. `needs`: the modules it imports, with what installs each. `remark`:
    what it is good for, and what it costs. `located(rest, parameter)`: the rest with its paths made absolute; raises
    DataError, which names the parameter, where nothing lies at one.
    """

    name: str
    form: str
    modality: str
    make: Callable[..., Encoder | GivenVectors | None]
    needs: Mapping[str, str] = field(default_factory=dict[str, str])
    remark: str = ""
    located: Callable[[str, str], str] = lambda rest, parameter: rest


def without_rest(make: Callable[..., Encoder | GivenVectors]) -> Callable[..., Encoder | GivenVectors | None]:
    """`make` for an encoder whose name is its whole spec."""

    def made(rest: str, **settings: Any) -> Encoder | GivenVectors | None:
        return None if rest else make(**settings)

    return made
