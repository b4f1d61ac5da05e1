"""What generators may spend: the same passes over their samples, the same optimizer steps, or the same CPU time.

An epoch of a T5 with six tasks is about four times that of a T5 with one, so equal epochs are not equal trainings. (A
causal generator reads every history once per epoch, whatever its tasks.) A budget is always what a reference takes for
its epochs, counted in one unit.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.errors import DataError
from macrec.files import write_json
from macrec.systems.generative import Generative
from macrec.training import Event, Plan, train

Budget = Literal["epochs", "steps", "seconds"]

PROBE = 24
"""Steps by which the pace of a training is measured; their median counts."""


def budget_of(name: str) -> Budget:
    """`name` as a budget. Raises DataError for another word."""
    if name not in get_args(Budget):
        what = f'there is no budget "{name}"'
        raise DataError(what, field="budget", fix=f"choose one of {', '.join(get_args(Budget))}")
    return cast(Budget, name)


def matched(system: Generative, reference: Generative, budget: Budget, data: Dataset, split: Split) -> Generative:
    """`system` with as many steps of its second stage as it gets for what `reference` takes for its epochs.

    "epochs": as it is. "steps": as many as the reference. "seconds": as many as take the CPU time of the reference's
    steps, computed from the `pace` of both, whose first stages must have learned.
    """
    if budget == "epochs" or (system.about == reference.about and system.name == reference.name):
        return system
    steps = reference.steps(data, split)
    if budget == "seconds":
        steps = max(1, round(steps * pace(reference, data, split) / pace(system, data, split)))
    return system.with_steps(steps)


def pace(system: Generative, data: Dataset, split: Split) -> float:
    """CPU seconds of one step of a system's second stage on this machine: the median of some, thrown away.

    Measured once for a training and kept in the system's folder, so that the number of steps made from it, and with it
    the training, is the same when it is asked for again.
    """
    training = system.new_training(data, split)
    identity = system.checkpoint(data, split, training.tables.ids).identity
    file = system.folder / "paces" / f"{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]}.json"
    if file.exists():
        return _read(file)
    plan = Plan(steps=PROBE, report_every=1, measure_every=PROBE)
    spent = np.diff([0.0, *(event.cpu_seconds for event in train(training, plan))])
    seconds = max(float(np.median(spent)), 1e-6)
    write_json(file, {"cpu_seconds_per_step": seconds})
    return seconds


def _read(file: Path) -> float:
    try:
        seconds = float(json.loads(file.read_text(encoding="utf-8"))["cpu_seconds_per_step"])
        if not 0 < seconds < np.inf:
            raise ValueError
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError("the pace cannot be read", file=file, fix="remove the file") from error
    return seconds


def effort(system: Any) -> dict[str, float]:
    """Samples, steps and CPU seconds of a recommender's own trainings, without codebooks; 0 for those that count."""
    ends: tuple[Event, ...] = getattr(system, "ends", ())
    return {
        "samples": sum(event.samples for event in ends),
        "steps": sum(event.step for event in ends),
        "cpu_seconds": round(sum(event.cpu_seconds for event in ends), 1),
    }
