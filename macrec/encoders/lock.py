"""A lock between processes that the operating system lifts when its holder dies, however it dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path, wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait for whoever holds it now, and call `wait` before that.

    The file stays: removing it would let two processes hold locks on two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        if not try_acquire(file):
            wait()
            acquire(file)
        try:
            yield
        finally:
            release(file)


if sys.platform == "win32":
    import msvcrt

    def try_acquire(file: IO[bytes]) -> bool:
        """Take the lock of an open file if nobody holds it, and say whether that went well."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def acquire(file: IO[bytes]) -> None:
        """Wait for the lock of an open file."""
        while not try_acquire(file):
            time.sleep(0.1)

    def release(file: IO[bytes]) -> None:
        """Let the next one have it."""
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def try_acquire(file: IO[bytes]) -> bool:
        """Take the lock of an open file if nobody holds it, and say whether that went well."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def acquire(file: IO[bytes]) -> None:
        """Wait for the lock of an open file."""
        fcntl.flock(file, fcntl.LOCK_EX)

    def release(file: IO[bytes]) -> None:
        """Let the next one have it."""
        fcntl.flock(file, fcntl.LOCK_UN)
