"""The state of a training: what a step changes, what an event reports, what a checkpoint keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from macrec.threads import threads_for
from macrec.training.draws import mixed
from macrec.training.events import Event, Usage
from macrec.training.plan import Plan
from macrec.training.task import Task


class Loop:
    """The state of a training between two steps."""

    def __init__(self, task: Task, plan: Plan) -> None:
        self.task, self.plan = task, plan
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in task.module.named_parameters():
            if parameter.requires_grad:
                factor = next((value for start, value in plan.rate_factors if name.startswith(start)), 1.0)
                groups.setdefault(factor, []).append(parameter)
        self.optimizer = torch.optim.AdamW(
            [{"params": parameters, "factor": factor} for factor, parameters in groups.items()],
            lr=plan.learning_rate,
            weight_decay=plan.weight_decay,
        )
        weights = sum(parameter.numel() for parameter in task.module.parameters())
        self.threads = threads_for(weights, torch.get_num_threads())
        self.step, self.seconds, self.finished = 0, 0.0, False
        self.events: list[Event] = []
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.waited = 0

    def advance(self) -> Event | None:
        """One step; an event when one is due."""
        begin = time.perf_counter()
        self.task.module.train()
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.rate(self.step) * group["factor"]
        devices = {parameter.device for parameter in self.task.module.parameters() if parameter.is_cuda}
        with torch.random.fork_rng(devices):  # dropout draws from global generators: set by step, then put back
            draw = mixed(self.plan.seed, self.step)
            torch.default_generator.manual_seed(draw)
            for device in devices:
                torch.cuda.default_generators[device.index].manual_seed(draw)
            self.optimizer.zero_grad(set_to_none=True)
            loss, terms = self.task.losses(self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.clip is not None:
            nn.utils.clip_grad_norm_(self.task.module.parameters(), self.plan.clip)
        self.optimizer.step()
        self.task.stepped(self.step)
        self.step += 1
        for name, value in {"loss": loss, **terms}.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
        last = self.step == self.plan.steps
        measuring = last or self.step % self.plan.measure_every == 0
        event = self._report(measuring, begin) if measuring or self.step % self.plan.report_every == 0 else None
        self.seconds += time.perf_counter() - begin
        if last or (self.plan.patience is not None and self.waited >= self.plan.patience):
            self.finished = True
            if self.best_weights:
                self.task.module.load_state_dict(self.best_weights, strict=False)
        return event

    def _report(self, measuring: bool, begin: float) -> Event:
        losses = {name: float(value) / self.counts[name] for name, value in self.sums.items()}
        for name, value in sorted(losses.items(), key=lambda loss: loss[0] == "loss"):  # the sum is the last to blame
            if not math.isfinite(value):
                steps = f"steps {self.step - self.counts['loss'] + 1} to {self.step}"
                raise FloatingPointError(f"{name} is {value} in {steps}: lower the learning rate or its weight")
        self.sums, self.counts = {}, {}
        measured: dict[str, float] = {}
        usage: Usage = {}
        if measuring:
            self.task.module.eval()
            measured, usage = self.task.measure()
            for name, value in measured.items():
                if not math.isfinite(value):
                    raise FloatingPointError(f"{name} was measured as {value} after step {self.step}")
            if measured:
                self._keep(measured)
        event = Event(
            self.step, self.plan.steps, self.seconds + time.perf_counter() - begin, losses, measured, usage
        )  # fmt: skip
        self.events.append(event)
        return event

    def _keep(self, measured: Mapping[str, float]) -> None:
        """Remember the best values so far, and the weights of the best of those to keep."""
        plan = self.plan
        better = {
            watch.metric
            for watch in (*plan.keep, *plan.watch)
            if watch.better(measured[watch.metric], self.best.get(watch.metric))
        }
        self.best |= {metric: measured[metric] for metric in better}
        for keep in plan.keep:
            if keep.metric in better:
                for name, value in self.task.module.state_dict().items():
                    if name.startswith(keep.prefix):
                        self.best_weights[name] = value.clone()
        awaited = {watch.metric for watch in (*plan.keep[:1], *plan.watch)}
        self.waited = 0 if better & awaited else self.waited + 1

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything a resumption needs: tensors by name, and plain values."""
        tensors = {f"module.{name}": value for name, value in self.task.module.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best_weights.items()}
        tensors |= {f"sum.{name}": value for name, value in self.sums.items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
        last_usage = next((number for number in reversed(range(len(self.events))) if self.events[number].usage), -1)
        for modality, levels in self.events[last_usage].usage.items() if last_usage >= 0 else ():
            for level, counts in enumerate(levels):
                tensors[f"usage.{modality}.{level}"] = torch.from_numpy(counts)
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "finished": self.finished,
            "counts": self.counts,
            "best": self.best,
            "waited": self.waited,
            "usage_of": last_usage,
            "usage": list(self.events[last_usage].usage) if last_usage >= 0 else [],
            "events": [[event.step, event.seconds, event.losses, event.measured] for event in self.events],
        }
        return tensors, state

    def restore(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Become the loop whose `state` this was; of the code counts of its events only the last ones were kept."""

        def part(name: str) -> dict[str, Tensor]:
            return {key.removeprefix(name): value for key, value in tensors.items() if key.startswith(name)}

        self.task.module.load_state_dict(part("module."))
        device = next(self.task.module.parameters()).device
        self.best_weights = {name: value.to(device) for name, value in part("best.").items()}
        self.sums = {name: tensors[f"sum.{name}"].to(device) for name in state["counts"]}
        slots: dict[int, dict[str, Tensor]] = {}
        for key, value in part("optimizer.").items():
            index, _, slot = key.partition(".")
            slots.setdefault(int(index), {})[slot] = value
        self.optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]})
        usage: dict[str, list[NDArray[np.int64]]] = {}
        for key in sorted(part("usage."), key=lambda key: int(key.rpartition(".")[2])):
            usage.setdefault(key.rpartition(".")[0], []).append(tensors[f"usage.{key}"].numpy())
        self.step, self.seconds, self.finished = state["step"], state["seconds"], state["finished"]
        self.counts, self.best, self.waited = state["counts"], state["best"], state["waited"]
        counts = {modality: tuple(usage[modality]) for modality in state["usage"]}
        self.events = [
            Event(step, self.plan.steps, seconds, losses, measured, counts if number == state["usage_of"] else {})
            for number, (step, seconds, losses, measured) in enumerate(state["events"])
        ]
