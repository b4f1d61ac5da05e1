"""Commands that die at random moments, with what they have started or without, and are given again."""

from __future__ import annotations

import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from macrec.errors import DataError
from macrec.files import WORKPLACES
from macrec.lock import Lock
from macrec.workbench.compare_runs import compare_runs
from macrec.workbench.notebooks import was_executed
from macrec.workbench.report import write_report
from macrec.workbench.run import Run
from macrec.workbench.run_record import is_run

MARK = "MACREC_ENDURED"
"""The environment variable that a command hands to all processes that it starts."""
HOW = ("kill", "everything", "terminate")
"""Deaths: of the process group; of all that the command has started, at one moment; and one that is asked for."""
PATIENCE = 120
"""Seconds until what a dead command has started must have ended: that it ends, not how fast."""


class Command:
    """A command of macrec that works in `folder` and is given in `project`: its process, and what it has said."""

    def __init__(self, words: list[str], folder: Path, project: Path) -> None:
        self.folder, self.mark = folder, uuid.uuid4().hex
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._said = folder.with_name(f"{folder.name}-{self.mark[:6]}.txt")
        code = "from macrec.cli import main; main()"
        with self._said.open("wb") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, *words, "--out", str(folder)],
                cwd=project,
                env=os.environ | {MARK: self.mark, "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._said.read_text(encoding="utf-8", errors="replace")

    def end(self, seconds: float | None = None) -> bool:
        """Wait for it, at most so long; whether it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    @property
    def ended_well(self) -> bool:
        """Whether it came to its end, without an error."""
        return self._process.poll() == 0

    def die(self, how: str) -> None:
        """Let it die in one of the ways of `HOW`."""
        if how == "everything":
            for process in self.living():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        else:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL if how == "kill" else signal.SIGTERM)
        self._process.wait(PATIENCE)

    def living(self) -> list[psutil.Process]:
        """The processes that it has started and that still live, itself among them."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def wait_for_all(self) -> None:
        """Wait until nothing that it has started lives; AssertionError for a process that does not end."""
        last = time.monotonic() + PATIENCE
        while living := self.living():
            assert time.monotonic() < last, f"these outlive their command: {[one.cmdline() for one in living]}"
            time.sleep(0.1)


class Whole(NamedTuple):
    """About how long an undisturbed command takes, and the `numbers` it leaves."""

    seconds: float
    numbers: dict[str, Any]


def undisturbed(words: list[str], project: Path, folder: Path) -> Whole:
    """Give a command, and leave it alone."""
    begin, command = time.monotonic(), Command(words, folder, project)
    assert command.end() and command.ended_well, command.said
    return Whole(time.monotonic() - begin, numbers(folder))


def endure_deaths(
    words: list[str], project: Path, place: Path, deaths: int, whole: Whole, seed: int = 0
) -> tuple[int, int]:
    """Let a command die so often at random moments, giving it again after each, anew whenever it came to its end.

    After every death its folder is looked at with `check`; half of the times nothing that it had started is waited for.
    Asserts that what was finished stays, and that in the end the numbers are those of the `whole`. Returns how many
    died and how many came to their end.
    """
    draw, died = random.Random(seed), 0
    for trial in itertools.count(1):
        folder, commands = place / str(trial), []
        while died < deaths:
            commands.append(command := Command(words, folder, project))
            if command.end(moment := draw.uniform(0.02, 0.9) * whole.seconds):
                break
            command.die(how := HOW[died % len(HOW)])
            died += 1
            done = finished(commands)
            print(f"death {died} ({how}) after {moment:.1f} s, finished: {[str(file.name) for file in done]}")
            check(folder, place / "report.html", done)
            if draw.random() < 0.5:
                for command in commands:
                    command.wait_for_all()
                check_locks(folder)
        else:
            commands.append(Command(words, folder, project))
        assert commands[-1].end() and commands[-1].ended_well, commands[-1].said
        for command in commands:
            command.wait_for_all()
        check(folder, place / "report.html", finished(commands))
        check_locks(folder)
        assert numbers(folder) == whole.numbers, f"the numbers differ after a death (seed {seed}, trial {trial})"
        left = [*folder.rglob(".*.unfinished.ipynb"), *folder.rglob(WORKPLACES)]
        assert not left, f"never put away: {left}"
        if died == deaths:
            return died, trial
    raise AssertionError


def finished(commands: list[Command]) -> set[Path]:
    """The executed notebooks that these commands have said they had finished, in a run or in a point of a sweep."""
    said = "\n".join(command.said for command in commands)
    notebooks = {Path(name) for name in re.findall(r"^\S+: [\d.]+ s, (.+\.ipynb)$", said, re.MULTILINE)}
    points = re.findall(r"^(\S+) \(\d+ of \d+\): done in", said, re.MULTILINE)
    folder = commands[0].folder
    return notebooks.union(*([*(folder / point).glob("[0-9]*.ipynb")] or [folder / point] for point in points))


def check(folder: Path, report: Path, done: set[Path]) -> None:
    """Assert that what is in a folder can be read, compared and reported, and that all notebooks in `done` are there.

    A folder in which no notebook has come to its end may say that it holds no run.
    """
    for notebook in done:
        assert was_executed(notebook)
    for run in (folder, *(below for below in folder.glob("*/") if is_run(below))):
        Run(run).metrics(), Run(run).manifest(), Run(run).sweep()
    try:
        compare_runs([folder])
        write_report([folder], report)
    except DataError as error:
        assert "holds no run" in str(error) and not done, error


def check_locks(folder: Path) -> None:
    """Assert that no lock below a folder stays held: a process that is being ended has lost all but its open files."""
    last = time.monotonic() + PATIENCE
    for file in folder.rglob("*.lock"):
        lock = Lock(file, "looking")
        while not lock.acquire(blocking=False):
            assert time.monotonic() < last, f"{file} is held by nobody who lives"
            time.sleep(0.1)
        lock.release()


def numbers(folder: Path) -> dict[str, Any]:
    """The metrics of every run in a folder, but for how long something took."""
    return {
        str(file.relative_to(folder)): timeless(Run(file.parent).metrics())
        for file in sorted(folder.glob("**/metrics.json"))
    }


def timeless(value: Any) -> Any:
    """A JSON value without the entries that tell seconds."""
    if isinstance(value, dict):
        return {name: timeless(part) for name, part in value.items() if "seconds" not in name}
    return [timeless(part) for part in value] if isinstance(value, list) else value
