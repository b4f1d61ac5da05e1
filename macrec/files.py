"""Writing files so that a run that dies leaves the last good state: a temporary name, then a rename."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well, remove it when it fails.

    Works for a file, and for a folder that does not exist yet or is to be replaced as a whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = f"{os.getpid()}-{threading.get_ident()}"
    temporary, before = path.with_name(f".{path.name}.{mine}.tmp"), path.with_name(f".{path.name}.{mine}.old")
    try:
        yield temporary
        if temporary.is_dir() and path.is_dir():  # a folder cannot be renamed over another: step aside, then go
            path.rename(before)
            temporary.rename(path)
            shutil.rmtree(before)
        else:
            temporary.replace(path)
    except OSError as error:
        if error.filename == str(temporary):
            error.filename = str(path)  # the name that people know
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, all or nothing. Raises ValueError for NaN and infinity, which JSON has not."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
