"""The optimizers of a training: AdamW, and Muon for the matrices that a plan names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from macrec.training.muon import Muon
from macrec.training.plan import Plan

SLOTS = {"adamw": ("step", "exp_avg", "exp_avg_sq"), "muon": ("momentum_buffer",)}
"""What each remembers of every parameter."""


class Optimizers:
    """AdamW over the parameters of `module`, and Muon over those whose name begins with one of `plan.muon`."""

    def __init__(self, module: nn.Module, plan: Plan) -> None:
        self.plan = plan
        groups: dict[tuple[str, float, float], dict[str, nn.Parameter]] = {}
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                kind = optimizer_of(name, parameter, plan)
                key = (kind, plan.factor(name), plan.decayed(name, parameter))
                groups.setdefault(key, {})[name] = parameter
        self.names: dict[str, list[str]] = {}
        self.parts: dict[str, torch.optim.Optimizer] = {}
        for kind in SLOTS:
            mine = {key: named for key, named in groups.items() if key[0] == kind}
            if mine:
                self.names[kind] = [name for named in mine.values() for name in named]
                given = [
                    {"params": list(named.values()), "factor": factor, "weight_decay": decay}
                    for (_, factor, decay), named in mine.items()
                ]
                self.parts[kind] = (
                    torch.optim.AdamW(given, lr=plan.learning_rate, betas=plan.betas, fused=True)
                    if kind == "adamw"
                    else Muon(given, lr=plan.muon_rate)
                )

    def step(self, number: int) -> None:
        """Make step `number` with the learning rates of the plan."""
        for kind, part in self.parts.items():
            share = self.plan.muon_rate / self.plan.learning_rate if kind == "muon" else 1.0
            for group in part.param_groups:
                group["lr"] = self.plan.rate(number) * group["factor"] * share
            part.step()

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)

    def slots(self) -> dict[str, Tensor]:
        """What is remembered, as "NAME.SLOT" → tensor."""
        return {
            f"{self.names[kind][index]}.{slot}": value
            for kind, part in self.parts.items()
            for index, slots in part.state_dict()["state"].items()
            for slot, value in slots.items()
        }

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Remember what `slots` gave."""
        found: dict[str, dict[int, dict[str, Tensor]]] = {kind: {} for kind in self.parts}
        of = {name: (kind, index) for kind, names in self.names.items() for index, name in enumerate(names)}
        for key, value in tensors.items():
            name, _, slot = key.rpartition(".")
            kind, index = of[name]
            found[kind].setdefault(index, {})[slot] = value
        for kind, part in self.parts.items():
            part.load_state_dict({"state": found[kind], "param_groups": part.state_dict()["param_groups"]})


def optimizer_of(name: str, parameter: Tensor, plan: Plan) -> str:
    """Which optimizer updates a parameter: "muon" for matrices that the plan names and are no tables, else "adamw"."""
    matrix = parameter.ndim == 2 and not plan.is_table(name)
    return "muon" if matrix and plan.muon and name.startswith(plan.muon) else "adamw"
