"""Time and peak memory of one function, each call in a fresh Python process so that two sides never mix.

Run as `python -m benchmarks.measure module:function '{"rows": 1000}'` it is the child; `peak` starts that child.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Measured(NamedTuple):
    """What the function returned, its seconds and the highest memory of its process in MB (10^6 bytes)."""

    result: Any
    seconds: float
    peak_mb: float


def peak(function_path: str, **kwargs: Any) -> Measured:
    """Call `module:function` (or `module.function`) with `kwargs` in a child process and measure it.

    Arguments and result travel as JSON. Imports are done before the clock starts, but they count in the memory: the
    peak is that of the whole process (a module that imports polars starts near 70 MB). Raises RuntimeError with the
    child's own message when it fails.
    """
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.measure", function_path, json.dumps(kwargs)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    if child.returncode != 0:
        raise RuntimeError(f"{function_path} failed in its process:\n{child.stderr.strip()}")
    return Measured(*json.loads(child.stdout.splitlines()[-1]))


def highest_memory_mb() -> float:
    """The largest resident memory this process ever had, in MB.

    Linux hands the parent's `ru_maxrss` down through exec, which would count the memory of whoever started us; the
    high-water mark in /proc begins at zero with the new program. Elsewhere `ru_maxrss` has to do (macOS: in bytes).
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


def main() -> None:
    """Be the child: call the function named on the command line and print what was measured as the last line."""
    module, _, name = sys.argv[1].replace(":", ".").rpartition(".")
    function = getattr(importlib.import_module(module), name)
    kwargs = json.loads(sys.argv[2])
    begin = time.perf_counter()
    result = function(**kwargs)
    seconds = time.perf_counter() - begin
    print("\n" + json.dumps([result, seconds, highest_memory_mb()]))


if __name__ == "__main__":
    main()
