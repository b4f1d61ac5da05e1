"""Running notebooks and keeping their runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from macrec.workbench.run import Run

__all__ = ["Run"]


def __getattr__(name: str) -> Any:
    """Import `Run` when it is first asked for: the command line needs parts of this package that load nothing heavy."""
    if name == "Run":
        from macrec.workbench.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
