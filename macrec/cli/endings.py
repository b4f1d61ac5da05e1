"""How a command ends: with one sentence and an exit code, whatever ended it."""

from __future__ import annotations

import errno
import signal
import sys

import typer

from macrec.errors import error_number, printable


def about_files(error: OSError) -> str | None:
    """A sentence for errors such as no permission, no room or a name that is too long, which need no traceback.

    None for an error that is not about a file: a time-out or a lost connection is an OSError, too.
    """
    files = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
    if isinstance(error, TimeoutError | ConnectionError | InterruptedError | ChildProcessError) or not (
        error.filename is not None or isinstance(error, files) or error_number(error) in FULL
    ):
        return None
    place = f"{error.filename}: " if error.filename is not None else ""
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"{place}this is a file where a folder is needed; give another name, or move the file away."
    return f"{place}{error.strerror or error}; check the path, its permissions and the room on the disk."


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.EIO)
"""Errors that are about files, though the system names none: no room, read-only, too many open ones, a broken disk."""


def stoppable() -> None:
    """Let a request to end (SIGTERM, or a terminal that closes) put things away, as Ctrl-C does."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(143))


def fail(sentence: str, code: int) -> None:
    """Print the error on stderr, several on a line each, and exit."""
    first, *others = map(printable, sentence.splitlines())
    typer.echo("\n  ".join([f"macrec: {first}", *others]), err=True)
    sys.exit(code)
