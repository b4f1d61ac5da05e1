"""One file is enough: what the modules of a package register, and what a file of a user's own does."""

from __future__ import annotations

import pkgutil
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from macrec.errors import DataError

OWN_FILE = re.compile(r"(?P<file>.+\.py)(?::(?P<rest>.*))?")
"""A user's own file in place of a registered name: "FILE.py", or "FILE.py:REST"."""


def registered(package: str, path: Iterable[str], attribute: str) -> list[Any]:
    """What the modules of `package`, whose folders are `path`, call `attribute`; modules without it are passed over."""
    modules = [import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(path)]
    return [getattr(module, attribute) for module in modules if hasattr(module, attribute)]


def of_file(file: Path, attribute: str) -> Any:
    """What the Python file calls `attribute`. It is run once as long as it does not change.

    Raises DataError when there is no such file, when it does not run, and when it holds no such name.
    """
    if not file.is_file():
        raise DataError("there is no such file", file=file, fix="check the path")
    name = f"macrec_own_{abs(hash((file.resolve(), file.stat().st_mtime_ns)))}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, file)
        assert spec is not None
        module = module_from_spec(spec)
        sys.modules[name] = module  # where dataclasses look for the module of their class
        try:
            # Not by the loader, which would take bytecode that is as old to the second and of a source as long.
            exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            what = f"the file does not run ({type(error).__name__}: {error})"
            raise DataError(what, file=file, fix="correct it") from error
    if not hasattr(sys.modules[name], attribute):
        raise DataError(f"the file does not define {attribute}", file=file, fix=f"write {attribute} = … at its end")
    return getattr(sys.modules[name], attribute)
