"""The process of one point of a sweep: its start, its messages, and its end with the sweep.

It reads its job from a pipe and lives as long as the pipe is open, however the sweep ends; its kernel lives as long as
the process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from macrec.errors import DataError
from macrec.workbench.execution import NotebookError
from macrec.workbench.runner import run_notebooks

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
GRACE = 10.0
"""Seconds a process may take to stop its kernel and to put away what is unfinished."""


def threads(jobs: int, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of one of `jobs` processes: each computes on its share of the cores, unless it says otherwise."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = dict.fromkeys(THREADS, str(max(1, cores // jobs))) if jobs > 1 else {}
    return {**share, **environment}


def start(job: dict[str, Any], environment: dict[str, str], complaints: IO[str]) -> subprocess.Popen[str]:
    """Start the process of a point; a terminal's Ctrl-C does not reach it, the sweep alone decides."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from macrec.workbench.sweep_worker import run_point; run_point()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=complaints,
        env=environment,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it died at once: its return code will say so
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
    return process


def listen(process: subprocess.Popen[str], say: Callable[[str], None]) -> str | None:
    """Pass on the messages of a point's process until it ends, and return its error."""
    error = None
    assert process.stdout is not None
    for line in process.stdout:
        with suppress(ValueError):  # a kernel may write to the same stream
            said = json.loads(line)
            if isinstance(said, dict):
                error = said.get("error", error)
                if "say" in said:
                    say(said["say"])
    process.wait()
    release(process)
    process.stdout.close()
    return error


def release(process: subprocess.Popen[str]) -> None:
    """Let go of the pipe that keeps the process of a point alive."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()


def run_point() -> None:
    """The main function of a point's process: read the job from stdin, run it, and write JSON lines."""

    def speak(**said: str) -> None:
        print(json.dumps(said), flush=True)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have turned it off
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=leave_with_the_sweep, daemon=True).start()
    notebooks = [Path(path) for path in job["notebooks"]]
    try:
        run_notebooks(
            notebooks, Path(job["out"]), job["parameters"], lambda line: speak(say=line.partition(", ")[0]),
            progress=False,
        )  # fmt: skip
    except (DataError, NotebookError, OSError) as error:
        speak(error=str(error))
        sys.exit(1)


def leave_with_the_sweep() -> None:
    """Wait until the pipe closes, then interrupt this process as Ctrl-C would, and end it when that does not help."""
    sys.stdin.read()
    if os.name == "posix":
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # the thread that waits for the kernel
    else:
        signal.raise_signal(signal.SIGINT)
    time.sleep(GRACE)
    os._exit(130)
