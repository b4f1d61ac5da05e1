"""Executing one notebook headless with papermill: what ends well, what is skipped, and what fails, each by its name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from macrec.errors import DataError, NotApplicable


class NotebookError(RuntimeError):
    """A cell of a notebook raised; the notebook as far as it came is kept beside the run."""


@dataclass(frozen=True)
class Step:
    """Where a run has come to: cell `cell` of `cells`, counted from 1 as errors count them; 0 when a notebook begins.

    `notebook` is the `number`th of `notebooks`; `section` is the heading that the cell stands under.
    """

    notebook: str
    number: int
    notebooks: int
    cell: int
    cells: int
    section: str = ""


class NotebookDataError(DataError):
    """The DataError that a cell raised: the notebook, and the sentence it carried."""

    def __init__(self, sentence: str) -> None:
        ValueError.__init__(self, sentence)


class Skipped(Exception):
    """A cell raised NotApplicable; the text is its sentence."""


STARTS = 3
"""How often a kernel may fail to start: of processes that start kernels at once, two may choose the same port."""


SILENCE = 600
"""Seconds that a kernel may take to start, and to hand over the last output of a cell: a busy machine is slow."""


def execute(notebook: Path, out: Path, given: dict[str, Any], watched: Watched, progress: bool) -> None:
    """Execute one notebook into the file `out` with papermill, and again where its kernel has died before any cell.

    Raises Skipped, NotebookDataError for a cell that raised DataError, and NotebookError, naming the cell, for any
    other failure of it or of the kernel.
    """
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill import PapermillExecutionError

    try:
        start_and_execute(notebook, out, given, watched, progress)
    except PapermillExecutionError as error:
        if error.ename == NotApplicable.__name__:
            raise Skipped(error.evalue) from error
        if error.ename == DataError.__name__:  # bad input is no result
            raise NotebookDataError(f"{notebook.name}: {error.evalue}") from error
        place = f"{notebook.name}, cell {error.cell_index + 1}"
        raise NotebookError(f"{place}: {error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        place = f"{notebook.name}, cell {watched.cell}"
        raise NotebookError(f"{place}: the kernel died, most often for want of memory") from error
    except CellTimeoutError as error:
        place = f"{notebook.name}, cell {watched.cell}"
        why = f"the kernel was silent for {SILENCE} seconds, as on a machine that is busy with something else"
        raise NotebookError(f"{place}: {why}; run it again") from error


def start_and_execute(notebook: Path, out: Path, given: dict[str, Any], watched: Watched, progress: bool) -> None:
    """Let papermill execute a notebook; begin again where the kernel did not start."""
    import papermill

    watched.begins()
    for left in reversed(range(STARTS)):
        try:
            papermill.execute_notebook(
                str(notebook),
                str(out),
                parameters=given,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar={"desc": notebook.stem, "leave": False} if progress else False,
                store_widget_state=False,
                on_cell_start=watched,
                start_timeout=SILENCE,
                iopub_timeout=SILENCE,
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # it warns of loopback and interrupts
            )
            return
        except RuntimeError as error:
            if watched.cell:
                raise
            if not left:
                raise NotebookError(f"{notebook.name}: its kernel did not start: {error}") from error


class Watched:
    """Papermill's hook at the start of a cell: tells `watch` of every code cell, and what heading it stands under."""

    def __init__(self, begin: Step, watch: Callable[[Step], None]) -> None:
        self.begin, self.watch = begin, watch
        self.cell, self.section = 0, ""

    def begins(self) -> None:
        """The notebook begins."""
        self.watch(self.begin)

    def __call__(self, cell: Any, cell_index: int) -> None:
        """Cell number `cell_index`, counted from 0, is next."""
        self.cell = cell_index + 1
        if cell.cell_type == "markdown":
            self.section = next(reversed(re.findall(r"^#+ +(.+)", cell.source, re.MULTILINE)), self.section)
        elif cell.cell_type == "code" and cell.source.strip():
            self.watch(replace(self.begin, cell=self.cell, section=self.section))


def trust(notebook: Path) -> None:
    """Sign an executed notebook: JupyterLab then runs the scripts in its outputs (hover pictures) as if run there."""
    import nbformat
    from nbformat.sign import NotebookNotary

    NotebookNotary().sign(nbformat.read(notebook, as_version=4))
