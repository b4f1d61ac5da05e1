"""The command line: `macrec COMMAND`, each command in the file of its theme.

A command imports what it needs when it is called, so that `macrec --help` loads neither torch nor polars nor plotly.
"""

from __future__ import annotations

import io
import sys

from macrec.cli import notebooks, results, append, settings, examine  # isort: skip (`macrec --help` lists the commands in this order)
from macrec.cli.app import app
from macrec.cli.endings import about_files, fail
from macrec.errors import DataError

__all__ = ["app", "append", "examine", "main", "notebooks", "results", "settings"]


def main() -> None:
    """Run the command line. Bad input ends with one sentence and exit code 2, a failing notebook with 1."""
    from macrec.workbench.execution import NotebookError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a letter gets its code
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except DataError as error:
        fail(str(error), 2)
    except NotebookError as error:
        fail(str(error), 1)
    except OSError as error:
        if (sentence := about_files(error)) is None:
            raise
        fail(sentence, 2)
    except SystemExit as leaving:  # what typer makes of Ctrl-C, and `stoppable` of a signal
        if leaving.code not in (130, 143):
            raise
        fail("stopped; what was finished is kept", int(leaving.code))
