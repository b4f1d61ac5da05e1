"""The quantizers of an autoencoder, one file each: a module of this package that holds a `QUANTIZER`.

A new quantizer is one new file here; its name is the value of the parameter `quantizer`. Its class takes
`(sizes, dim, *, residual_grad, seed)` and options of its own, which stand after the name: "gumbel:temperature=0.5".
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Sequence
from functools import partial
from importlib import import_module

from macrec.errors import DataError
from macrec.quantization.quantizer import Quantizer, ResidualGrad
from macrec.quantization.specs import check_options, number, split_spec

GIVEN = ("sizes", "dim", "residual_grad", "seed")
"""What every quantizer is made with; further arguments are options."""


def quantizer_names() -> list[str]:
    """The names of all quantizers."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def quantizers() -> dict[str, str]:
    """Name → what the quantizer is: the first line of its file."""
    modules = {name: import_module(f"{__name__}.{name}") for name in quantizer_names()}
    return {name: (module.__doc__ or "").partition("\n")[0] for name, module in modules.items()}


def check_quantizer(spec: str) -> None:
    """Raise DataError unless `spec` names a quantizer, with options that it has and values that it takes."""
    kind, options = _class_and_options(spec)
    try:
        partial(kind, (1,), 1)(**options)
    except ValueError as error:
        what = f'the quantizer "{spec}" cannot be made ({error})'
        raise DataError(what, field="quantizer", fix="give a number that it takes") from error


def make_quantizer(
    spec: str, sizes: Sequence[int], dim: int, *, residual_grad: ResidualGrad = "encoder", seed: int = 0
) -> Quantizer:
    """A quantizer by name and options, such as "ste" or "ema:decay=0.95", for vectors `[B, dim]`.

    Raises DataError for an unknown name or option, and ValueError for values that the quantizer refuses.
    """
    kind, options = _class_and_options(spec)
    return partial(kind, sizes, dim, residual_grad=residual_grad, seed=seed)(**options)


def _class_and_options(spec: str) -> tuple[type[Quantizer], dict[str, float]]:
    name, options = split_spec(spec, "quantizer")
    if name not in quantizer_names():
        fix = f"choose one of {', '.join(quantizer_names())}"
        raise DataError(f'there is no quantizer "{name}"', field="quantizer", fix=fix)
    kind: type[Quantizer] = import_module(f"{__name__}.{name}").QUANTIZER
    known = [option for option in inspect.signature(kind).parameters if option not in GIVEN]
    check_options(name, options, known, "quantizer")
    return kind, {option: number(options, option, 0.0, "quantizer") for option in options}
