"""A lock between processes that the operating system lifts when its holder dies, however it dies."""

from __future__ import annotations

import json
import os
import platform
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

_MINE: dict[Path, Lock] = {}
"""The locks that this process holds."""


def warn(holder: str) -> None:
    """Name the holder that is waited for, in a warning: it shows in notebooks and terminals and can be turned off."""
    warnings.warn(f"waiting for {holder}", stacklevel=4)


@contextmanager
def locked(path: Path, what: str, wait: Callable[[str], None] = warn, take_over: bool = False) -> Iterator[Lock]:
    """Hold the lock file `path` while the block runs; wait for the process or thread that holds it now.

    `what` names what is done under it, for others. Before waiting `wait` is called with the holder: "a training
    (process 12 on host, since 2026-05-01 12:00:00)"; it may raise in order not to wait. With `take_over` a lock that
    this very thread holds already changes hands: the block that held it was left without an end, as a cell that is run
    again does, and finds `Lock.held` to be False. Without it that is a RuntimeError, as one would wait for oneself.

    The file stays: removing it would let two processes hold locks on two files of one name.
    """
    lock = Lock(path, what)
    before = _MINE.get(lock.path)
    if before is not None and before.would_wait_for_itself():
        if not take_over:
            raise RuntimeError(f"this thread holds {path} already")
        before.release()
    if not lock.acquire(blocking=False):
        wait(holder(path))
        lock.acquire()
    try:
        yield lock
    finally:
        lock.release()


class Lock:
    """The hold of one thread on the lock file `path`."""

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path.resolve(), what
        self._process = self._thread = 0
        self._file: IO[bytes] | None = None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def would_wait_for_itself(self) -> bool:
        """Whether this thread would wait in vain: it has the lock itself, or a thread that has ended."""
        others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        return self.held and self._process == os.getpid() and self._thread not in others

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock, and return whether that succeeded. Raises OSError where the file cannot be made."""
        while self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.fdopen(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
            try:
                if not self._take(file, blocking):
                    return False
                # Who has removed the file meanwhile, or made another of its name, is not kept out by this one.
                with suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                        self._file = file
            finally:
                if self._file is None:
                    file.close()
        self._process, self._thread = os.getpid(), threading.get_ident()
        about = {"what": self.what, "process": os.getpid(), "host": platform.node(), "since": int(time.time())}
        with suppress(OSError):  # a full disk: others will not learn who holds the lock, and it holds all the same
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(json.dumps(about).encode())
        _MINE[self.path] = self
        return True

    def _take(self, file: IO[bytes], blocking: bool) -> bool:
        """Without a lock where the file system, as that of some clusters, has none: that is said, once per place."""
        try:
            return _take(file, blocking)
        except CannotLock as error:
            why = f"the file system of {self.path.parent} cannot lock files ({error.strerror})"
            warnings.warn(f"{why}: let only one process at a time write there", stacklevel=4)
            return True

    def release(self) -> None:
        """Let the next one have it; nothing happens when it is not ours."""
        if self._file is not None:
            if _MINE.get(self.path) is self:
                del _MINE[self.path]
            if self._process == os.getpid():  # a forked process shares the lock, and must not lift it
                _give(self._file)
            self._file.close()
            self._file = None


def holder(path: Path) -> str:
    """Who holds, or held last, the lock file `path`, in words."""
    try:
        about = json.loads(path.read_bytes()[:2000])
        what, host = (str(about[name])[:100] for name in ("what", "host"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(int(about["since"])))
        return f"{what} (process {int(about['process'])} on {host}, since {since})"
    except (OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError):  # half-written, or damaged
        return "another process"


class CannotLock(OSError):
    """The file system has no locks."""


if sys.platform == "win32":
    import msvcrt

    _PLACE = 1 << 30
    """Beyond the end of the file: a locked byte cannot be read, and others shall read who holds the lock."""

    def _take(file: IO[bytes], blocking: bool) -> bool:
        while True:
            file.seek(_PLACE)
            with suppress(OSError):
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
                return True
            if not blocking:
                return False
            time.sleep(0.1)

    def _give(file: IO[bytes]) -> None:
        file.seek(_PLACE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import errno
    import fcntl

    def _take(file: IO[bytes], blocking: bool) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL):
                raise
            raise CannotLock(*error.args) from error
        return True

    def _give(file: IO[bytes]) -> None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
