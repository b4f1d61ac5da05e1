"""Save the state of a training for a checkpoint, and restore it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.checkpoint import FIX
from macrec.errors import DataError
from macrec.training.events import Event
from macrec.training.possible import EVENT_FIELDS, check_possible
from macrec.training.state import Loop
from macrec.training.task import weights_at

NUMBERS = ("step", "samples", "seconds", "cpu_seconds", "finished", "counts", "best", "waited")
"""What a loop counts by itself, as plain values."""


def kept(loop: Loop) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Everything a resumption of `loop` needs: tensors by name, and plain values."""
    tensors = {f"module.{name}": value for name, value in loop.task.module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in loop.best_weights.items()}
    tensors |= {f"sum.{name}": value for name, value in loop.sums.items()}
    tensors |= {f"optimizer.{name}": value for name, value in loop.optimizers.slots().items()}
    last_usage = next((number for number in reversed(range(len(loop.events))) if loop.events[number].usage), -1)
    usage = loop.events[last_usage].usage if last_usage >= 0 else {}
    for modality, levels in usage.items():
        for level, counts in enumerate(levels):
            tensors[f"usage.{modality}.{level}"] = torch.from_numpy(counts)
    state = {name: getattr(loop, name) for name in NUMBERS}
    events = [{name: getattr(event, name) for name in EVENT_FIELDS} for event in loop.events]
    return tensors, state | {"usage_of": last_usage, "usage": list(usage), "events": events}


def restore(loop: Loop, tensors: dict[str, Tensor], state: dict[str, Any], file: Path) -> None:
    """Make `loop` the one that `kept` gave this of; of the code counts of its events only the last ones were kept.

    Raises DataError, naming `file`, for a state that no training with this plan can be in.
    """
    try:
        check_possible(loop.task.module, loop.plan, tensors, state)
    except ValueError as error:
        raise DataError(f"the checkpoint cannot be gone on from ({error})", file=file, fix=FIX) from error
    _put(loop, tensors, state)


def _put(loop: Loop, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    def part(name: str) -> dict[str, Tensor]:
        return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

    loop.task.module.load_state_dict(part("module."))
    device = next(loop.task.module.parameters()).device
    loop.best_weights = {name: value.to(device) for name, value in part("best.").items()}
    loop.sums = {name: tensors[f"sum.{name}"].to(device) for name in state["counts"]}
    loop.optimizers.load(part("optimizer."))
    usage: dict[str, list[NDArray[np.int64]]] = {}
    for key in sorted(part("usage."), key=lambda key: int(key.rpartition(".")[2])):
        usage.setdefault(key.rpartition(".")[0], []).append(tensors[f"usage.{key}"].numpy())
    counts = {modality: tuple(usage[modality]) for modality in state["usage"]}
    loop.events = [
        Event(
            **event,
            steps=loop.plan.steps,
            usage=counts if number == state["usage_of"] else {},
            weights=weights_at(loop.task, event["step"]),
        )
        for number, event in enumerate(state["events"])
    ]
    for name in NUMBERS:
        setattr(loop, name, state[name])
