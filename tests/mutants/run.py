"""Does any test notice? `make mutants` breaks one line of the library at a time and runs the tests that should fail.

It works on a copy of the checkout. At most `ALLOWED` mutants may survive, each with its reason in the list. Options:
`python tests/mutants/run.py [part of a file name …]` runs some of them.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = 2
LIMIT = 600
"""Seconds for the tests of one mutant; a mutant that hangs them is noticed, too."""


def load_mutants():
    """The list, from the file beside this one."""
    spec = importlib.util.spec_from_file_location("mutants_list", Path(__file__).with_name("mutants.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module.MUTANTS


def mutated(mutant, root=ROOT):
    """The text of the mutant's file with its one change; ValueError when the text to change is not there once."""
    text = (root / mutant.file).read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file}: {mutant.old!r} occurs {text.count(mutant.old)} times, not once")
    return text.replace(mutant.old, mutant.new)


def passes(tests, copy):
    """Whether these tests pass in the copy; tests that hang do not."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1, 2):  # 2: what is tested does not even import
        sys.exit(f"pytest failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.returncode == 0


def survives(mutant, copy):
    """Whether the tests of this mutant pass in spite of it."""
    file = copy / mutant.file
    before = file.read_text(encoding="utf-8")
    file.write_text(mutated(mutant, copy), encoding="utf-8")
    try:
        return passes(mutant.tests, copy)
    finally:
        file.write_text(before, encoding="utf-8")


def copied(folder):
    """A copy of what git tracks or would track, without its history."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            target = Path(folder) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return Path(folder)


def main(parts):
    """Run all, or those whose file has one of `parts` in its name; exit code 1 when too many survive."""
    chosen = [mutant for mutant in load_mutants() if not parts or any(part in mutant.file for part in parts)]
    survivors, begin = [], time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = copied(folder)
        for tests in dict.fromkeys(mutant.tests for mutant in chosen):
            if not passes(tests, copy):
                sys.exit(f"these tests fail without any mutant: {' '.join(tests)}")
        for number, mutant in enumerate(chosen, 1):
            alive = survives(mutant, copy)
            survivors += [mutant] * alive
            said = "SURVIVED" if alive else "killed"
            print(f"{number} of {len(chosen)} {said}: {mutant.file}: {mutant.old!r} → {mutant.new!r}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} killed in {time.monotonic() - begin:.0f} s")
    for mutant in survivors:
        print(f"survived: {mutant.file}: {mutant.old!r} → {mutant.new!r}: {mutant.reason or 'no reason is given'}")
    unexplained = [mutant for mutant in survivors if not mutant.reason]
    return 1 if len(survivors) > ALLOWED or unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
