"""Jobs that die at any moment, are begun again, and must end with the very bytes of a job that was left alone.

A job is a function of a folder in a file of its own, which leaves its result in files below it. A `Server` imports that
file once, in a process of its own, and runs the job in forked children: a death costs milliseconds, not the seconds of
an import. Children die as by SIGKILL: nothing that Python would do at its end is done. A forked process has none of the
threads of its parent: importing the file of jobs must not start any, as computing with Polars or OpenMP does.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

CALLS = ("open", "os.", "shutil.", "fcntl.", "ctypes.")
"""What counts as a call of the system: how the audit events of Python begin that touch files."""


class Server:
    """Runs the job `name` of a file of jobs; a context manager."""

    def __init__(self, jobs: Path, name: str) -> None:
        command = [sys.executable, __file__, str(jobs), name]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}  # a forked process must not need the threads of its parent
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, folder: Path, call: int | None = None, seconds: float | None = None) -> dict[str, Any]:
        """Run the job in `folder`, and kill it before its `call`th call of the system, or after so many seconds.

        Returns "died", and of one that did not the "calls" it made and the "seconds" it took. Raises AssertionError
        for a job that failed by itself.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"folder": str(folder), "call": call, "seconds": seconds}) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        assert not found.get("failed"), f"the job failed by itself in {folder}"
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder but locks, by their path."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def endure_deaths(
    server: Server, place: Path, deaths: int, result: Callable[[Path], Any] = contents, seed: int = 0
) -> tuple[int, int]:
    """Let a job die so often at random moments, beginning it again after each, and anew whenever it came to its end.

    Half of the moments are calls of the system, half are times. Asserts that every job that ends has the `result` of
    the undisturbed one. Returns how many died and how many came to their end.
    """
    whole = server.run(place / "undisturbed")
    expected = result(place / "undisturbed")
    draw, died = random.Random(seed), 0
    for trial in itertools.count():
        folder = place / str(trial)
        while died < deaths:
            moment: dict[str, Any] = (
                {"call": draw.randrange(whole["calls"])} if draw.random() < 0.5
                else {"seconds": draw.uniform(0.001, whole["seconds"])}
            )  # fmt: skip
            if not server.run(folder, **moment)["died"]:
                break
            died += 1
        assert not server.run(folder)["died"]
        assert result(folder) == expected, f"the result differs after a death (seed {seed}, trial {trial})"
        shutil.rmtree(folder)
        if died == deaths:
            return died, trial + 1
    raise AssertionError


def die(call: int | None, seconds: float | None) -> Callable[[], int]:
    """Arrange the death of this process; returns a function that tells how many calls it has made so far."""
    calls = itertools.count()
    made = 0

    def hook(event: str, _: object) -> None:
        nonlocal made
        if event.startswith(CALLS) and event != "os.kill":
            made = next(calls)
            if made == call:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    if seconds is not None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the system ends the process, and Python learns nothing of it
        signal.setitimer(signal.ITIMER_REAL, seconds)
    return lambda: made


def serve(job: Callable[[Path], None]) -> None:
    """Read from stdin what to run, run it in a child, and write what became of it to stdout."""
    for line in sys.stdin:
        order = json.loads(line)
        told, tell = os.pipe()
        if (child := os.fork()) == 0:
            code = 1
            try:
                os.dup2(2, 1)
                folder = Path(order["folder"])
                folder.mkdir(parents=True, exist_ok=True)
                begin = time.perf_counter()
                made = die(order["call"], order["seconds"])
                job(folder)
                about = {"calls": made(), "seconds": time.perf_counter() - begin}
                os.write(tell, json.dumps(about).encode())
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        os.close(tell)
        with os.fdopen(told, "rb") as stream:
            said = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"died": status < 0, "failed": status > 0} | json.loads(said or b"{}")), flush=True)


if __name__ == "__main__":
    specification = importlib.util.spec_from_file_location("jobs", sys.argv[1])
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["jobs"] = module
    specification.loader.exec_module(module)
    serve(getattr(module, sys.argv[2]))
