"""The state of a training: what a step changes, and what an event reports."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from macrec.training.draws import mixed
from macrec.training.events import Event, Usage
from macrec.training.optimizers import Optimizers
from macrec.training.plan import Plan
from macrec.training.task import Task, weights_at


class Loop:
    """The state of a training between two steps."""

    def __init__(self, task: Task, plan: Plan) -> None:
        self.task, self.plan = task, plan
        self.optimizers = Optimizers(task.module, plan)
        self.weights = sum(parameter.numel() for parameter in task.module.parameters())
        self.step, self.samples, self.seconds, self.cpu_seconds, self.finished = 0, 0, 0.0, 0.0, False
        self.events: list[Event] = []
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.best: dict[str, float] = {}
        self.best_weights: dict[str, Tensor] = {}
        self.waited = 0

    def advance(self) -> Event | None:
        """One step; an event when one is due."""
        begin, cpu = time.perf_counter(), time.process_time()
        self.task.module.train()
        devices = {parameter.device for parameter in self.task.module.parameters() if parameter.is_cuda}
        with torch.random.fork_rng(devices):  # dropout draws from global generators: set by step, then put back
            draw = mixed(self.plan.seed, self.step)
            torch.default_generator.manual_seed(draw)
            for device in devices:
                torch.cuda.default_generators[device.index].manual_seed(draw)
            self.optimizers.zero_grad()
            loss, terms = self.task.losses(self.step)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.clip is not None:
            nn.utils.clip_grad_norm_(self.task.module.parameters(), self.plan.clip)
        self.optimizers.step(self.step)
        self.task.stepped(self.step)
        self.samples += self.task.batch_size(self.step)
        self.step += 1
        for name, value in {"loss": loss, **terms}.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.cpu_seconds += time.process_time() - cpu
        last = self.step == self.plan.steps
        measuring = last or self.step % self.plan.measure_every == 0
        event = self._report(measuring, begin) if measuring or self.step % self.plan.report_every == 0 else None
        self.seconds += time.perf_counter() - begin
        if last or (self.plan.patience is not None and self.waited >= self.plan.patience):
            self.finished = True
            self.take_best()
        return event

    def take_best(self) -> None:
        """Put the best weights so far, where there are such, in place of the newest."""
        if self.best_weights:
            self.task.module.load_state_dict(self.best_weights, strict=False)

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
        seconds = self.seconds + time.perf_counter() - begin
        event = Event(
            self.step, self.plan.steps, seconds, losses, measured, usage, self.samples, self.cpu_seconds,
            weights_at(self.task, self.step),
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
