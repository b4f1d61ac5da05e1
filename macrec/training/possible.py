"""Check that a training can be in the state of a checkpoint; it does not resume from any other."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from macrec.training.optimizers import SLOTS, optimizer_of
from macrec.training.plan import Plan


def check_possible(module: nn.Module, plan: Plan, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Raise ValueError, saying what is wrong, unless `resumption.kept` may give these for this module and plan."""
    expect(isinstance(state, dict) and state.keys() == KINDS.keys(), "its values are not those of a training")
    for name, kind in KINDS.items():
        expect(type(state[name]) in kind, f"{name} is {state[name]!r:.40}")
    _check_progress(plan, state)
    _check_events(plan, state)
    kept = {kind: _part(tensors, f"{kind}.") for kind in ("module", "best", "sum", "optimizer", "usage")}
    expect(sum(map(len, kept.values())) == len(tensors), "it holds a tensor of an unknown name")
    _check_weights(module, kept)
    expect(kept["sum"].keys() == state["counts"].keys(), "sums and counts differ")
    for name, value in kept["sum"].items():
        _check_like(f"sum.{name}", value, torch.zeros((), dtype=torch.float64))
    _check_optimizer(module, plan, kept["optimizer"])
    _check_usage(kept["usage"], state["usage"])


EVENT_FIELDS = ("step", "seconds", "losses", "measured", "samples", "cpu_seconds")
"""What is kept of an event."""

KINDS: dict[str, tuple[type, ...]] = {
    "step": (int,),
    "samples": (int,),
    "seconds": (int, float),
    "cpu_seconds": (int, float),
    "finished": (bool,),
    "counts": (dict,),
    "best": (dict,),
    "waited": (int,),
    "usage_of": (int,),
    "usage": (list,),
    "events": (list,),
}


def expect(holds: bool, otherwise: str) -> None:
    """Raise ValueError with the words unless the condition holds."""
    if not holds:
        raise ValueError(otherwise)


def is_amount(value: object) -> bool:
    """Whether a value is a finite number of 0 or more."""
    return type(value) in (int, float) and 0 <= value < math.inf  # type: ignore[operator]


def are_numbers(values: object) -> bool:
    """Whether a value is an object of finite numbers."""
    return isinstance(values, dict) and all(
        type(value) in (int, float) and math.isfinite(value) for value in values.values()
    )


def _check_progress(plan: Plan, state: Mapping[str, Any]) -> None:
    step = state["step"]
    for name in ("samples", "seconds", "cpu_seconds"):
        expect(is_amount(state[name]), f"{name} is {state[name]}")
    ended = step == plan.steps or (plan.patience is not None and state["finished"])
    how = "finished" if state["finished"] else "unfinished"
    expect(0 <= step <= plan.steps and state["finished"] == ended, f"it is at step {step} of {plan.steps}, {how}")
    expect(0 <= state["waited"] <= step, f"waited is {state['waited']}")
    expect(
        all(type(count) is int and 1 <= count <= step for count in state["counts"].values()), "a count is impossible"
    )
    known = {watch.metric for watch in (*plan.keep, *plan.watch)}
    expect(are_numbers(state["best"]) and state["best"].keys() <= known, "a best value is impossible")


def _check_events(plan: Plan, state: Mapping[str, Any]) -> None:
    before = 0
    for event in state["events"]:
        expect(isinstance(event, dict) and event.keys() == set(EVENT_FIELDS), "an event lacks something")
        step = event["step"]
        expect(type(step) is int and before < step <= state["step"], f"an event is of step {step!r:.40}")
        numbers = all(is_amount(event[name]) for name in ("samples", "seconds", "cpu_seconds"))
        numbers = numbers and type(event["samples"]) is int
        expect(numbers and are_numbers(event["losses"]) and are_numbers(event["measured"]), f"event {step} is odd")
        before = step
    usage = state["usage"]
    expect(all(isinstance(name, str) for name in usage) and len(set(usage)) == len(usage), "usage is odd")
    expect(-1 <= state["usage_of"] < len(state["events"]), f"usage_of is {state['usage_of']}")
    expect(bool(usage) == (state["usage_of"] >= 0), "usage is of no event")


def _check_weights(module: nn.Module, kept: Mapping[str, Mapping[str, Tensor]]) -> None:
    own = module.state_dict()
    expect(kept["module"].keys() == own.keys(), f"its tensors are not the module's ({_differing(kept['module'], own)})")
    expect(kept["best"].keys() <= own.keys(), "its best weights are not the module's")
    learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    for kind in ("module", "best"):
        for name, value in kept[kind].items():
            _check_like(f"{kind}.{name}", value, own[name])
            expect(name not in learned or bool(torch.isfinite(value).all()), f"{kind}.{name} is not finite")


def _check_optimizer(module: nn.Module, plan: Plan, kept: Mapping[str, Tensor]) -> None:
    learned = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    slots: dict[str, set[str]] = {}
    for name, value in kept.items():
        weight, _, slot = name.rpartition(".")
        known = weight in learned and slot in SLOTS[optimizer_of(weight, learned[weight], plan)]
        expect(known, f"optimizer.{name} is unknown")
        _check_like(f"optimizer.{name}", value, torch.zeros(()) if slot == "step" else learned[weight])
        expect(bool(torch.isfinite(value).all()), f"optimizer.{name} is not finite")
        signed = slot in ("exp_avg", "momentum_buffer")
        expect(signed or bool((value >= 0).all()), f"optimizer.{name} is negative")
        slots.setdefault(weight, set()).add(slot)
    complete = all(names == set(SLOTS[optimizer_of(weight, learned[weight], plan)]) for weight, names in slots.items())
    expect(complete, "the tensors of its optimizer are not complete")


def _check_usage(kept: Mapping[str, Tensor], modalities: Sequence[str]) -> None:
    levels: dict[str, set[str]] = {name: set() for name in modalities}
    for name, value in kept.items():
        modality, _, level = name.rpartition(".")
        expect(modality in levels and level.isdecimal(), f"usage.{name} is unknown")
        expect(value.dtype == torch.int64 and value.ndim == 1 and bool((value >= 0).all()), f"usage.{name} is no count")
        levels[modality].add(level)
    for counts in levels.values():
        expect(counts == {str(level) for level in range(len(counts))} != set(), "the counts of a level are missing")


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _differing(some: Collection[str], others: Collection[str]) -> str:
    return ", ".join(sorted(set(some) ^ set(others))[:3])


def _check_like(name: str, value: Tensor, own: Tensor) -> None:
    actual, wanted = ((list(tensor.shape), str(tensor.dtype)) for tensor in (value, own))
    expect(actual == wanted, f"{name} is {actual[0]} {actual[1]} where {wanted[0]} {wanted[1]} is needed")
