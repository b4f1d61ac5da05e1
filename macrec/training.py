"""The one training loop: a generator of events. It prints nothing and draws nothing; sinks do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Event:
    """The state of a training after `step` of `steps` steps.

    `seconds` spent training so far, over all resumptions; `losses` the named terms, each the mean since the event
    before, "loss" being their weighted sum; `measured` what is costly and so measured now and then: named numbers
    such as "conflict_rate/text", empty in between; `usage` with it, per modality one array of code counts `[K]` per
    level. A name is TERM or TERM/MODALITY, or TERM/MODALITY/LEVEL.
    """

    step: int
    steps: int
    seconds: float
    losses: dict[str, float]
    measured: dict[str, float] = field(default_factory=dict)
    usage: dict[str, tuple[NDArray[np.int64], ...]] = field(default_factory=dict)
