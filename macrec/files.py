"""Writing files so that a run that dies leaves the last good state, and nothing is replaced that is not ours.

Everything is written in a hidden folder beside its place, locked while its writer runs, and then renamed. What a
writer that died has left there goes with the next one that writes in the same folder.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import os
import re
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from macrec.errors import DataError, error_number
from macrec.lock import Lock

MARKER = ".macrec"
"""The file that marks a folder written by macrec, which may be replaced as a whole: it lists its content."""

WORKPLACES = ".macrec-*.tmp"
"""The names of the hidden folders in which files are written."""


LONGEST = 255
"""Bytes that the name of a file may have on the usual file systems."""


@contextmanager
def replacing(
    path: Path, inputs: Iterable[Path] = (), ours: Callable[[Path], bool] = lambda file: True
) -> Iterator[Path]:
    """Yield a temporary path; rename it to `path` when the block ends well, remove it when it fails.

    Works for a file, and for a folder that does not exist yet or is to be replaced as a whole, in one step where the
    system can. Raises DataError for what `check_replaceable` refuses, and OSError that names the file.
    """
    check_replaceable(path, inputs, ours)
    target = path.resolve() if path.is_symlink() or path.name in ("", "..") else path  # a link stays one
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        finish_interrupted(target.parent)
        with _workplace(target.parent) as place:
            temporary = place / "new" / target.name
            yield temporary
            if temporary.is_dir():
                mark(temporary)
            _install(temporary, target, place)
    except Exception as error:
        if (named := _naming(error, path)) is None:
            raise
        raise named from error


def check_replaceable(
    path: Path, inputs: Iterable[Path] = (), ours: Callable[[Path], bool] = lambda file: True
) -> None:
    """Raise DataError unless `path` may be written: it is free, or what lies there was made by macrec.

    A folder is ours when it bears our marker and holds nothing besides what we put there; a file when `ours` says so,
    which looks at its content, or when it is empty. None of `inputs`, nor a folder that holds one, is ever replaced.
    """
    another = "give another name"
    place = path.resolve()  # "new/../ids.json" is there, though "new" is not
    if not place.exists():
        return
    for source in inputs:
        if source.exists() and (place.samefile(source) or place in source.resolve().parents):
            raise DataError("this would replace what it is made from", file=path, fix=another)
    if place.is_dir():
        names = {file.name for file in place.iterdir()} - {".DS_Store", "Thumbs.db", "desktop.ini"}
        if not names:
            return
        with suppress(OSError, ValueError, RecursionError):
            made = json.loads((place / MARKER).read_text(encoding="utf-8"))
            if isinstance(made, list) and names <= {MARKER, *map(str, made)}:
                return
        raise DataError("the folder holds something else", file=path, fix="name a new folder, or empty this one")
    if not place.is_file():
        raise DataError("this is no regular file", file=path, fix=another)
    if place.stat().st_size and not ours(place):
        what = "there is a file of this name already that macrec did not write"
        raise DataError(what, file=path, fix=f"{another}, or remove it")


def mark(folder: Path) -> None:
    """Mark a folder as made by us, with what it holds now."""
    names = sorted(file.name for file in folder.iterdir() if file.name != MARKER)
    (folder / MARKER).write_text(json.dumps(names) + "\n", encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, all or nothing. Raises ValueError for NaN and infinity, which JSON has not."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def finish_interrupted(folder: Path) -> None:
    """Remove what writers that died have left in `folder`; finish a replacement that they did not come to the end of.

    Nothing happens where the folder is not there, or cannot be written in.
    """
    for place in folder.glob(WORKPLACES):
        lock = Lock(place / "lock", "writing")
        with suppress(OSError):
            if not lock.acquire(blocking=False):
                continue
            for old in place.glob("old/*"):  # it stepped aside; what was to take its place is complete
                if not (folder / old.name).exists():
                    new = place / "new" / old.name
                    (new if new.exists() else old).rename(folder / old.name)
            _remove(place, lock)


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder` that is locked while the block runs, with "new" in it; removed at the end."""
    place = folder / WORKPLACES.replace("*", uuid.uuid4().hex[:12])
    place.mkdir()
    lock = Lock(place / "lock", "writing")
    try:
        if lock.acquire(blocking=False):
            (place / "new").mkdir()
            yield place
            return
    finally:
        _remove(place, lock)
    with _workplace(folder) as other:  # taken for a dead one's, just before it was locked
        yield other


def _remove(place: Path, lock: Lock) -> None:
    """Remove a workplace, then release its lock: in this order no other writer can take it in between."""
    shutil.rmtree(place, ignore_errors=True)
    lock.release()
    if os.name == "nt":  # where an open file cannot be removed
        shutil.rmtree(place, ignore_errors=True)


def _naming(error: Exception, path: Path) -> OSError | None:
    """The error of the operating system with the name of the final file; None where it needs no change.

    Python names no file where a write fails, and libraries written in Rust put "(os error 28)" into their own errors.
    """
    if isinstance(error, OSError) and error.errno is not None:
        if error.filename is not None and WORKPLACES.partition("*")[0] not in str(error.filename):
            return None
        return type(error)(error.errno, error.strerror, str(path))
    number = error_number(error)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS):
        return OSError(number, os.strerror(number), str(path))
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(error)):  # NumPy's words
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return None


def _install(temporary: Path, path: Path, place: Path) -> None:
    """Put what was written in its place."""
    if not (temporary.is_dir() and path.is_dir()):
        temporary.replace(path)
    elif not _exchange(temporary, path):
        # A folder cannot be renamed over another: step aside, then go. `finish_interrupted` knows how to go on.
        (place / "old").mkdir()
        path.rename(place / "old" / path.name)
        temporary.rename(path)


def _exchange(one: Path, other: Path) -> bool:
    """Let two names change places in one step; False where the system or the file system cannot."""
    swap = _system_exchange()
    if swap is None:
        return False
    if swap(os.fsencode(one), os.fsencode(other)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
        return False
    raise OSError(number, os.strerror(number), str(other))


@functools.cache
def _system_exchange() -> Callable[[bytes, bytes], int] | None:
    """The system's call that exchanges two names: renameat2 on Linux (glibc 2.28), renamex_np on macOS."""
    if sys.platform not in ("linux", "darwin"):
        return None
    library = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "linux" and hasattr(library, "renameat2"):
        here, flag = -100, ctypes.c_uint(2)  # AT_FDCWD, RENAME_EXCHANGE
        return lambda one, other: int(library.renameat2(here, one, here, other, flag))
    if sys.platform == "darwin" and hasattr(library, "renamex_np"):
        return lambda one, other: int(library.renamex_np(one, other, ctypes.c_uint(2)))  # RENAME_SWAP
    return None
