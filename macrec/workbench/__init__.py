"""Running notebooks and keeping their runs."""

from macrec.workbench.run import Run

__all__ = ["Run"]
