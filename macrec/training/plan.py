"""How long and how fast to train, which weights to keep, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

Decay = Literal["matrices", "all"]
"""What AdamW draws towards zero: the matrices of linear maps, or every weight."""

VALIDATION_LOSS = "loss/validation"
"""What the loss on validation users is called among the measurements of a recommender."""


@dataclass(frozen=True)
class Watch:
    """A measured number, and whether higher or lower is better."""

    metric: str
    best: Literal["lowest", "highest"] = "lowest"

    def better(self, value: float, than: float | None) -> bool:
        """Whether `value` is better than the best one so far."""
        return than is None or (value < than if self.best == "lowest" else value > than)


@dataclass(frozen=True)
class Keep(Watch):
    """Keep the weights whose names begin with `prefix` from the measurement at which `metric` was best."""

    prefix: str = ""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to train: with AdamW, and with Muon where `muon` says so.

    `steps` in all; an event every `report_every` steps, measured every `measure_every`, and at the last. The learning
    rate climbs over `warmup` steps, then falls by a cosine to zero ("cosine") or stays ("constant"). `rate_factors`:
    (beginning of a name, factor) pairs; weights so named learn at the rate times the first factor that fits. `betas`
    are AdamW's. Matrices other than `tables` whose names begin with one of `muon` are updated by Muon at `muon_rate`,
    which follows the same schedule. `weight_decay` is for matrices, unless `decay` is "all": not for norms and
    biases, and not for `tables`, weights that are looked up row by row, named by a part of their dotted name, whose
    rare rows decay would forget. `clip`: the largest norm of the gradient. `keep`: weights to take from the best
    measurement rather than from the last step.

    With `patience`, training stops after so many measurements in a row that bettered neither the first of `keep` nor
    anything of `watch`. The validation loss belongs there: while a recommender has learned no more than what is
    popular, its rankings stand still, by chance below an earlier one, and the loss alone shows that it learns.
    """

    steps: int
    report_every: int = 10
    measure_every: int = 100
    learning_rate: float = 1e-3
    rate_factors: tuple[tuple[str, float], ...] = ()
    weight_decay: float = 1e-4
    decay: Decay = "matrices"
    tables: tuple[str, ...] = ()
    warmup: int = 0
    schedule: Literal["cosine", "constant"] = "cosine"
    clip: float | None = None
    betas: tuple[float, float] = (0.9, 0.999)
    muon: tuple[str, ...] = ()
    muon_rate: float = 0.02
    keep: tuple[Keep, ...] = ()
    watch: tuple[Watch, ...] = ()
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.report_every < 1 or self.measure_every < 1:
            raise ValueError("steps, report_every and measure_every must be 1 or more")
        if self.patience is not None and not self.keep:
            raise ValueError("patience needs keep, which names the metric to wait for")

    def factor(self, name: str) -> float:
        """What the learning rate of the weight `name` is multiplied with."""
        return next((factor for start, factor in self.rate_factors if name.startswith(start)), 1.0)

    def is_table(self, name: str) -> bool:
        """Whether the weight `name` is looked up row by row."""
        return not set(self.tables).isdisjoint(name.split("."))

    def decayed(self, name: str, weight: Tensor) -> float:
        """The weight decay of the weight `name`."""
        matrix = weight.ndim > 1 and not self.is_table(name)
        return self.weight_decay if matrix or self.decay == "all" else 0.0

    def rate(self, step: int) -> float:
        """The learning rate of `step`."""
        climb = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.schedule == "constant":
            return self.learning_rate * climb
        done = max(0.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        return self.learning_rate * climb * (1 + math.cos(math.pi * done)) / 2
