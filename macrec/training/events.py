"""The events of a training, and running one to its end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Usage = dict[str, tuple[NDArray[np.int64], ...]]


@dataclass(frozen=True)
class Event:
    """The state of a training after `step` of `steps` steps.

    `seconds` spent training so far, over all resumptions; `losses` the named terms, each the mean since the event
    before, "loss" being their weighted sum; `measured` what is costly and so measured now and then: named numbers
    such as "conflict_rate/text", empty in between; `usage` with it, per modality one array of code counts `[K]` per
    level. A name is TERM or TERM/MODALITY, or TERM/MODALITY/LEVEL. `samples` that were learned from so far, each as
    often as it was in a batch; `weights`: what terms are multiplied with at this step, where that is not 1;
    `cpu_seconds` of the process, all threads together, in the steps: without what was
    spent on measurements.
    """

    step: int
    steps: int
    seconds: float
    losses: dict[str, float]
    measured: dict[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=dict)
    samples: int = 0
    cpu_seconds: float = 0.0
    weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """What `drain` returns: all events, and whether an interrupt cut the training short."""

    events: list[Event]
    stopped: bool

    @property
    def measured(self) -> dict[str, float]:
        """The newest measurement; empty when an interrupt came before the first."""
        return next((event.measured for event in reversed(self.events) if event.measured), {})


def drain(events: Generator[Event, None, None] | Iterator[Event], *sinks: Callable[[Event], None]) -> Trained:
    """Run a training to its end, handing every event to every sink; sinks with `close` are closed.

    An interrupt ends the training and is swallowed: what was learned so far is in the module, and the cells that
    follow work with it. Everything else that is raised goes on, after the training and the sinks are closed.
    """
    seen: list[Event] = []
    stopped = False
    try:
        for event in events:
            seen.append(event)
            for sink in sinks:
                sink(event)
    except KeyboardInterrupt:
        stopped = True
    finally:
        if isinstance(events, Generator):
            events.close()
        for sink in sinks:
            getattr(sink, "close", lambda: None)()
    return Trained(seen, stopped)
