"""A lock between processes that the operating system lifts when its holder dies, however it dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` while the block runs; wait for whoever holds it now.

    The file stays: removing it would let two processes hold locks on two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        acquire(file)
        try:
            yield
        finally:
            release(file)


if sys.platform == "win32":
    import msvcrt

    def acquire(file: IO[bytes]) -> None:
        """Wait for the lock of an open file."""
        while True:
            try:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return
            except OSError:
                time.sleep(0.1)

    def release(file: IO[bytes]) -> None:
        """Let the next one have it."""
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def acquire(file: IO[bytes]) -> None:
        """Wait for the lock of an open file."""
        fcntl.flock(file, fcntl.LOCK_EX)

    def release(file: IO[bytes]) -> None:
        """Let the next one have it."""
        fcntl.flock(file, fcntl.LOCK_UN)
