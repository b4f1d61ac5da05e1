"""The one training loop: a generator of events. It prints nothing and draws nothing; sinks do.

Every random draw of a training is a function of its seed and the step, never of what was drawn before. So a training
that is interrupted and resumed from its checkpoint goes on exactly as if nothing had happened, bit for bit on the CPU.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from macrec.checkpoint import Checkpoint
from macrec.threads import threads_for

Usage = dict[str, tuple[NDArray[np.int64], ...]]


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
    usage: Usage = field(default_factory=dict)


class Task(Protocol):
    """What `train` trains: a module, its loss at every step and how it is measured."""

    @property
    def module(self) -> nn.Module:
        """Everything that is learned or remembered between steps, as parameters and buffers."""

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimize at `step`, counted from 0, and the named terms to report.

        Gradients are zero when it is called: to save memory a task may go backward through parts of the loss itself,
        and return the loss with those parts detached.
        """

    def stepped(self, step: int) -> None:
        """Called when the optimizer has made `step`."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """The numbers and code counts of an event; must leave the module as it is."""


@dataclass(frozen=True)
class Keep:
    """Keep the weights whose names begin with `prefix` from the measurement at which `metric` was best."""

    metric: str
    best: Literal["lowest", "highest"] = "lowest"
    prefix: str = ""

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` beats the best one so far."""
        return than is None or (value < than if self.best == "lowest" else value > than)


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train with AdamW.

    `steps` in all; an event every `report_every` steps, measured every `measure_every`, and at the last. The learning
    rate climbs over `warmup` steps, then falls by a cosine to zero ("cosine") or stays ("constant"). `rate_factors`:
    (beginning of a name, factor) pairs; weights so named learn at the rate times the first factor that fits. `clip`:
    the largest norm of the gradient. `keep`: weights to take from the best measurement rather than from the last step;
    with `patience`, training stops after so many measurements without a better value of the first of them.
    """

    steps: int
    report_every: int = 10
    measure_every: int = 100
    learning_rate: float = 1e-3
    rate_factors: tuple[tuple[str, float], ...] = ()
    weight_decay: float = 1e-4
    warmup: int = 0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float | None = None
    keep: tuple[Keep, ...] = ()
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.report_every < 1 or self.measure_every < 1:
            raise ValueError("steps, report_every and measure_every must be 1 or more")
        if self.patience is not None and not self.keep:
            raise ValueError("patience needs keep, which names the metric to wait for")

    def rate(self, step: int) -> float:
        """The learning rate of `step`."""
        climb = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant":
            return self.learning_rate * climb
        done = max(0.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.learning_rate * climb * (1 + math.cos(math.pi * done)) / 2


def train(
    task: Task, plan: Plan, checkpoint: Checkpoint | None = None, checkpoint_seconds: float = 30.0
) -> Generator[Event, None, None]:
    """Train `task.module` in place, yielding an event every `plan.report_every` steps.

    With a `checkpoint` the state is kept every `checkpoint_seconds`, at an interrupt and at the end. A training that
    has one goes on from there: the events so far are yielded again, at once, then come the new ones; a finished
    training only yields its events. Ctrl-C (a kernel interrupt) waits for the step to be whole, so the module, and
    the checkpoint, are always those of a step.

    Raises FloatingPointError, naming the term, when a loss is not finite, and what `Checkpoint.load` raises.
    """
    loop = _Loop(task, plan)
    if checkpoint is not None and (found := checkpoint.load()) is not None:
        loop.restore(*found)
        yield from list(loop.events)
    saved, last_save = loop.step, time.monotonic()
    try:
        while not loop.finished:
            with _whole_steps(), _flushing_denormals(), _threads(loop.threads):
                event = loop.advance()
            due = loop.finished or time.monotonic() - last_save >= checkpoint_seconds
            if checkpoint is not None and event is not None and due:
                with _whole_steps():
                    checkpoint.save(loop.step, *loop.state())
                saved, last_save = loop.step, time.monotonic()
            if event is not None:
                yield event
    except (KeyboardInterrupt, GeneratorExit):
        if checkpoint is not None and loop.step > saved:
            with _whole_steps():
                checkpoint.save(loop.step, *loop.state())
        raise


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
    follow work with it. Everything else that is raised goes on, after the sinks are closed.
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
        if isinstance(events, Generator):
            events.close()
    finally:
        for sink in sinks:
            getattr(sink, "close", lambda: None)()
    return Trained(seen, stopped)


class _Loop:
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
            draw = _mixed(self.plan.seed, self.step)
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
        for number, keep in enumerate(self.plan.keep):
            better = keep.better(measured[keep.metric], self.best.get(keep.metric))
            if better:
                self.best[keep.metric] = measured[keep.metric]
                for name, value in self.task.module.state_dict().items():
                    if name.startswith(keep.prefix):
                        self.best_weights[name] = value.clone()
            if number == 0:
                self.waited = 0 if better else self.waited + 1

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


def _mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def generator_for(seed: int, *purpose: int) -> torch.Generator:
    """A CPU generator for one purpose of a training: equal numbers give equal draws, whatever was drawn before."""
    generator = torch.Generator()
    generator.manual_seed(_mixed(seed, *purpose))
    return generator


@contextmanager
def _whole_steps() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that no step and no checkpoint is torn; idle off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(*held[-1])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Compute on `count` threads of the CPU in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _flushing_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero in a step: a CPU takes many times longer to multiply them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
