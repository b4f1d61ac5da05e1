"""Run all benchmarks, or those named, and write benchmarks/results.json: `python -m benchmarks [loaders encoders …]`.

One record per comparison: `ours` and `theirs` in `unit`, `ratio` (above 1: ours is faster), `limit` (what bounds it),
`peak_memory_mb` of our process, and a note. Both sides run in one go on the same machine; quote ratios, not seconds.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from macrec.files import write_json
from macrec.workbench.doctor import device
from macrec.workbench.run import environment

MODULES = (
    "loaders",
    "encoders",
    "curio",
    "quantization",
    "codebook_training",
    "generation",
    "causal",
    "busy",
    "browser",
)
RESULTS = Path(__file__).with_name("results.json")


def main() -> None:
    """Run, print a line per record, and replace these modules' records in the results."""
    wanted = sys.argv[1:] or list(MODULES)
    if unknown := set(wanted) - set(MODULES):
        sys.exit(f"there is no benchmark {', '.join(sorted(unknown))}; choose from {', '.join(MODULES)}")
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for module in wanted:
        begin = time.perf_counter()
        records = import_module(f"benchmarks.{module}").records()
        for record in records:
            print(
                f"{record['name']:20} {record['ours']:>12,} against {record['theirs']:>12,} {record['unit']:8} "
                f"ratio {record['ratio']:>6} {record['peak_memory_mb']:>6,} MB   {record['limit']}",
                flush=True,
            )
        results[module] = {
            "records": records,
            "seconds": round(time.perf_counter() - begin, 1),
            "device": device(),
            "environment": environment(),
        }
        write_json(RESULTS, results)
    print(f"written: {RESULTS.relative_to(RESULTS.parent.parent)}")


if __name__ == "__main__":
    main()
