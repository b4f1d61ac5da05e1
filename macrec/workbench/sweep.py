"""A sweep: one run for every point of a grid of parameters, several at once, each in a process of its own.

A point is a run folder as `macrec run` makes it, so what is finished is seen in the folder itself and never in a book
kept beside it: `sweep.json` is written for people and pages.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from macrec.errors import DataError
from macrec.files import replacing, write_json
from macrec.lock import locked
from macrec.workbench.execution import NotebookError
from macrec.workbench.experiment_file import NAME, write_experiment
from macrec.workbench.file_parameters import locate
from macrec.workbench.parameters import Parameters, check_parameters, declared_parameters, parse_parameters
from macrec.workbench.run import Run, next_end_number
from macrec.workbench.runner import is_finished
from macrec.workbench.sweep_worker import listen, release, start, threads

Grid = dict[str, list[Any]]


@dataclass
class Point:
    """One point of the grid and how far it is: waiting, running, done or failed with an `error`."""

    name: str
    parameters: Parameters
    state: str = "waiting"
    seconds: float | None = None
    error: str | None = None


def split_values(text: str) -> list[str]:
    """Split at the commas that stand neither in brackets nor in quotes; both count where a value begins, or inside one.

    A parenthesis that is closed counts everywhere.

    >>> split_values('0, .001,[1, 2],"a, b"'), split_values("curio(hidden=1, cold=.1),curio")
    (['0', '.001', '[1, 2]', '"a, b"'], ['curio(hidden=1, cold=.1)', 'curio'])
    """
    values, closing = [""], ""  # `closing`: what is still open needs these, the innermost first
    for place, letter in enumerate(text):
        opens = not values[-1].strip() or (letter == "(" and ")" in text[place:])
        if closing and letter == closing[0]:
            closing = closing[1:]
        elif closing[:1] not in ("'", '"') and (closing or opens) and letter in "'\"([{":
            closing = {"(": ")", "[": "]", "{": "}"}.get(letter, letter) + closing
        elif letter == "," and not closing:
            values.append("")
            continue
        values[-1] += letter
    if closing:
        raise DataError(f"a {closing[0]} is missing in {text}", fix="close what is open, or quote the whole value")
    return [value.strip() for value in values]


def parse_grid(texts: Sequence[str], as_text: Collection[str] = ()) -> Grid:
    """Read `name=value,value` texts into the values of every parameter, each as `parse_parameters` reads it.

    Raises DataError for a parameter or a value that occurs twice.

    >>> parse_grid(["lambda_con=0,.001", "profile=smoke"])
    {'lambda_con': [0, 0.001], 'profile': ['smoke']}
    """
    grid: Grid = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if name in grid:
            raise DataError(f'the parameter "{name}" is given twice', fix="write all its values with commas")
        parts = split_values(values)
        grid[name] = [parse_parameters([f"{name}{equals}{part}"], as_text)[name] for part in parts]
        for place, value in enumerate(grid[name]):
            if value in grid[name][:place]:
                raise DataError(f'the value "{parts[place]}" of {name} occurs twice', fix="give it once")
    return grid


def grid_points(grid: Grid) -> list[Point]:
    """All points, the last parameter varying fastest, named by what varies: "lambda_con=0.001,seed=2".

    Names are safe on every file system. Raises DataError when nothing varies.
    """
    varied = {name: dict(enumerate(value_names(values))) for name, values in grid.items() if len(values) > 1}
    if not varied:
        raise DataError("nothing varies in this sweep", fix="give a parameter several values, as in seed=1,2,3")
    points = []
    for places in itertools.product(*(range(len(values)) for values in grid.values())):
        at = dict(zip(grid, places, strict=True))
        name = ",".join(f"{parameter}={varied[parameter][at[parameter]]}" for parameter in varied)
        if len(name) > 150:
            name = f"{name[:140]}-{digest(name)}"
        points.append(Point(name, {parameter: grid[parameter][place] for parameter, place in at.items()}))
    return points


def value_names(values: Sequence[Any]) -> list[str]:
    """The values as parts of file names, all different, also where a file system takes A for a."""
    texts = [str(value).removesuffix(".0") if isinstance(value, float) else str(value) for value in values]
    short = [re.sub(r"(^|:|/)/.*/(?=.)", r"\1", text) for text in texts]  # of an absolute path its end
    names = [re.sub(r"[^\w.+-]+", "_", text, flags=re.ASCII).strip("_.")[:40] for text in short]
    lower = [name.lower() for name in names]
    return [
        name if name and lower.count(name.lower()) == 1 else f"{name}-{digest(text)}".lstrip("-")
        for name, text in zip(names, texts, strict=True)
    ]


def default_name(notebooks: Sequence[Path], grid: Grid) -> str:
    """The folder of a sweep that was given none: the same for the same notebooks, constants and varied parameters."""
    constant = {name: values for name, values in grid.items() if len(values) == 1}
    varied = [name for name in grid if name not in constant]
    named = json.dumps([[path.stem for path in notebooks], constant, varied], sort_keys=True)
    return f"sweep-{'-'.join(varied)}"[:80] + f"-{digest(named)}"


def digest(text: str) -> str:
    """Six letters of a digest, different for different texts."""
    return hashlib.blake2b(text.encode(), digest_size=3).hexdigest()


def run_sweep(
    notebooks: Sequence[Path], grid: Grid, out: Path, jobs: int = 1, say: Callable[[str], None] = lambda line: None
) -> list[Point]:
    """Run every point of the grid into `out`, `jobs` at once, and return the points.

    A notebook that a point holds already, from the same cells and parameters, is not run again. A failing point does
    not stop the others. A sweep that runs in the same folder is waited for, and `say` is called with the holder. Raises
    DataError before anything runs for parameters that no notebook takes, and NotebookError at the end when points
    failed, naming each.
    """
    if jobs < 1:
        raise DataError(f"{jobs} cannot be used", field="jobs", fix="give a number of 1 or more")
    grid = {name: [locate(name, value) for value in values] for name, values in grid.items()}
    points = grid_points(grid)
    declared = {path: declared_parameters(path) for path in notebooks}
    for point in points:
        check_parameters(point.parameters, declared)
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with locked(out / "sweep.lock", "a sweep", lambda who: say(f"waiting for {who}, which runs in the same folder")):
        sweep = Sweep(notebooks, grid, out, points, jobs, say)
        sweep.run()
    failed = [point for point in points if point.state == "failed"]
    if failed:
        errors = "".join(f"\n  {point.name}: {point.error}" for point in failed)
        raise NotebookError(f"{len(failed)} of {len(points)} points failed; the same command repeats them:{errors}")
    return points


@dataclass
class Sweep:
    """The work of `run_sweep`: one thread per job, each waiting for the process of a point."""

    notebooks: Sequence[Path]
    grid: Grid
    out: Path
    points: list[Point]
    jobs: int
    say: Callable[[str], None]
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopping: bool = False
    processes: set[subprocess.Popen[str]] = field(default_factory=set)

    def run(self) -> None:
        """Run what is left of every point; an interrupt stops all processes and goes on up."""
        for point in self.points:
            if not self.left(point):
                point.state = "done"
                point.seconds = round(sum(Run(self.out / point.name).manifest().get("seconds", {}).values()), 1)
                self.say(f"{point.name}: skipped, finished before")
        waiting = [point for point in self.points if point.state == "waiting"]
        self.write()
        shared = {name: values if len(values) > 1 else values[0] for name, values in self.grid.items()}
        write_experiment(self.out / NAME, [path.stem for path in self.notebooks], shared, "sweep")
        pool = ThreadPoolExecutor(self.jobs)
        try:
            running = {pool.submit(self.work, point) for point in waiting}
            while running:  # with a time limit, as not every system interrupts a wait without one
                finished, running = wait(running, timeout=0.5, return_when=FIRST_EXCEPTION)
                for future in finished:
                    future.result()
        finally:
            with self.lock:
                self.stopping = True
                for process in self.processes:
                    release(process)
            pool.shutdown(cancel_futures=True)
            for process in self.processes:  # of threads that failed
                listen(process, lambda line: None)
            self.write()

    def left(self, point: Point) -> list[Path]:
        """The notebooks that the point does not hold yet."""
        folder = self.out / point.name
        return [path for path in self.notebooks if not is_finished(folder, path, point.parameters)]

    def work(self, point: Point) -> None:
        """Run one point to its end, good or bad."""
        folder = self.out / point.name
        for source in self.finished_before(point):
            reuse_checkpoints(self.out / source.name / "artifacts", folder / "artifacts")
        left = [str(path) for path in self.left(point)]
        job = {"notebooks": left, "out": str(folder), "parameters": point.parameters}
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
            with self.lock:
                if self.stopping:
                    return
                process = start(job, threads(self.jobs, os.environ), complaints)
                self.processes.add(process)
            self.change(point, "running")
            begin = time.perf_counter()
            several = len(left) > 1  # of a single notebook the end of the point tells enough
            error = listen(process, lambda line: self.tell(f"{point.name}: {line}") if several else None)
            with self.lock:
                self.processes.remove(process)
                if self.stopping:
                    point.state = "waiting"
                    return
            point.seconds = round(time.perf_counter() - begin, 1)
            if process.returncode and error is None:
                complaints.seek(0)
                last = next((line.strip() for line in reversed(complaints.readlines()) if line.strip()), "no word why")
                error = f"its process ended with {process.returncode}: {last}"
        point.error = error
        self.change(point, "done" if error is None else "failed")

    def finished_before(self, point: Point) -> list[Point]:
        """For every parameter a finished point that differs in nothing else.

        It has made all trainings that do not depend on that parameter: among them are all that can be shared.
        """
        done = [other for other in self.points if other.state == "done"]
        lines = ([other for other in done if only_differs_in(name, other, point)] for name in self.grid)
        return [line[0] for line in lines if line]

    def change(self, point: Point, state: str) -> None:
        """Record and print that a point begins or ends."""
        with self.lock:
            point.state = state
            self.write()
            place = f"{self.points.index(point) + 1} of {len(self.points)}"
            about = {"running": "started", "done": f"done in {point.seconds} s", "failed": f"failed: {point.error}"}
            self.say(f"{point.name} ({place}): {about[state]}")

    def tell(self, line: str) -> None:
        """Print a line of a point; lines of several points do not mix."""
        with self.lock:
            self.say(line)

    def write(self) -> None:
        """Write sweep.json."""
        names = [path.stem for path in self.notebooks]
        points = [asdict(point) for point in self.points]
        about = {"notebooks": names, "grid": self.grid, "points": points, "ended": next_end_number(self.out)}
        write_json(self.out / "sweep.json", about)


def only_differs_in(name: str, one: Point, other: Point) -> bool:
    """Whether two points differ at most in this parameter."""
    return one.parameters | {name: None} == other.parameters | {name: None}


def reuse_checkpoints(source: Path, target: Path) -> None:
    """Give one run's trainings to another that lacks them, as hard links where the file system has them.

    Two processes never train in one folder; and as every file of a training is replaced by renaming, never written
    into, a training that resumes in one leaves the other's copy unchanged.
    """
    for checkpoint in source.rglob("checkpoint.json"):
        place = checkpoint.parent.relative_to(source)
        training = target / place
        if not training.exists() and not any(part.startswith(".") for part in place.parts):  # what a dead writer left
            with replacing(training) as temporary:
                shutil.copytree(checkpoint.parent, temporary, copy_function=link)


def link(source: str, target: str) -> None:
    """One more name for a file, or a copy of it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
