"""The one training loop: a generator of events."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import nullcontext

from macrec.checkpoint import Checkpoint
from macrec.lock import Lock
from macrec.threads import computing
from macrec.training.events import Event
from macrec.training.plan import Plan
from macrec.training.resumption import kept, restore
from macrec.training.state import Loop
from macrec.training.task import Task
from macrec.training.whole_steps import flushing_denormals, whole_steps


def train(
    task: Task, plan: Plan, checkpoint: Checkpoint | None = None, checkpoint_seconds: float = 30.0
) -> Generator[Event, None, None]:
    """Train `task.module` in place, yielding an event every `plan.report_every` steps.

    With a `checkpoint` the state is kept every `checkpoint_seconds`, at an interrupt and at the end. A training that
    has one goes on from there: the events so far are yielded again, at once, then come the new ones; a finished
    training only yields its events. Ctrl-C (a kernel interrupt) waits for the step to be whole, so the module, and
    the checkpoint, are always those of a step. A training that is cut short leaves the best weights so far in the
    module, as a finished one does; its checkpoint goes on from the newest.

    Of two trainings with one checkpoint, also in two processes, the second waits and says so in a warning.

    Raises FloatingPointError, naming the term, when a loss is not finite, what `Checkpoint.load` raises, and DataError
    for a checkpoint whose state this training cannot be in.
    """
    loop = Loop(task, plan)
    # What is finished is only read, as it may lie in a read-only place.
    with nullcontext() if checkpoint is None or checkpoint.finished() else checkpoint.held() as lock:
        yield from _train(loop, checkpoint, checkpoint_seconds, lock)


def _train(
    loop: Loop, checkpoint: Checkpoint | None, checkpoint_seconds: float, lock: Lock | None
) -> Generator[Event, None, None]:
    """Train under the lock of the checkpoint, where there is one that is to be written."""
    if checkpoint is not None and (stored := checkpoint.load()) is not None:
        restore(loop, *stored, checkpoint.folder)
    saved, last_save = loop.step, time.monotonic()
    try:
        yield from list(loop.events)
        while not loop.finished:
            with whole_steps(), flushing_denormals(), computing(loop.weights):
                event = loop.advance()
            due = loop.finished or time.monotonic() - last_save >= checkpoint_seconds
            if checkpoint is not None and event is not None and due:
                if lock is not None and not lock.held:
                    raise RuntimeError("this training was begun again in the meantime, and goes on there")
                with whole_steps():
                    checkpoint.save(loop.step, *kept(loop))
                saved, last_save = loop.step, time.monotonic()
            if event is not None:
                yield event
    except (KeyboardInterrupt, GeneratorExit):
        if checkpoint is not None and lock is not None and lock.held and loop.step > saved:
            with whole_steps():
                checkpoint.save(loop.step, *kept(loop))
        loop.take_best()
        raise
