"""What a training's events hold, arranged for drawing: curves by name, panels of curves, labels that do not overlap."""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from macrec.terms import Term
from macrec.viz.theme import FUSED, INK, modality_colors

if TYPE_CHECKING:  # torch comes with it, and drawing needs none
    from macrec.training import Event

Floats = NDArray[np.float64]

PERCENT = frozenset({"conflict_rate", "utilization", "knn_accuracy"})
"""Measured families that are shares."""
BESIDE_USAGE = frozenset({"dead_codes", "perplexity"})
"""Measured families that the code usage shows already."""


class Series:
    """One curve, growing: values `[n]` at steps `[n]`."""

    def __init__(self) -> None:
        self._steps, self._values = array("q"), array("d")

    def add(self, step: int, value: float) -> None:
        """Record a value."""
        self._steps.append(step)
        self._values.append(value)

    def forget(self, step: int) -> None:
        """Drop what was recorded at `step` or later."""
        while self._steps and self._steps[-1] >= step:
            del self._steps[-1], self._values[-1]

    def arrays(self) -> tuple[Floats, Floats]:
        """Steps and values, both `[n]`."""
        return np.array(self._steps, np.float64), np.array(self._values)

    def thinned(self, points: int) -> tuple[Floats, Floats]:
        """About `points` steps and values that keep the shape of the curve."""
        return thin(*self.arrays(), points)


class Curves:
    """The curves of a training: every loss term, times its weight, and every measured number by name, seconds, and the
    newest weights and code usage.

    An event at or before a step already seen replaces what was recorded from there on: the training went back to a
    checkpoint.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.losses: dict[str, Series] = {}
        self.measured: dict[str, Series] = {}
        self.weights: dict[str, float] = {}
        self.seconds = Series()
        self.usage: dict[str, tuple[NDArray[np.int64], ...]] = {}
        self.last: Event | None = None
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take one more event."""
        if self.last is not None and event.step <= self.last.step:
            for series in (*self.losses.values(), *self.measured.values(), self.seconds):
                series.forget(event.step)
            # What nothing is left of belongs to a training before this one, such as that of other modalities.
            self.losses = {name: series for name, series in self.losses.items() if len(series.arrays()[0])}
            self.measured = {name: series for name, series in self.measured.items() if len(series.arrays()[0])}
            self.usage = self.usage if self.losses else {}
        for name, value in event.losses.items():  # what each contributes to the sum
            self.losses.setdefault(name, Series()).add(event.step, float(value) * event.weights.get(name, 1.0))
        for name, value in event.measured.items():
            self.measured.setdefault(name, Series()).add(event.step, float(value))
        self.weights |= event.weights
        self.seconds.add(event.step, event.seconds)
        self.usage = event.usage or self.usage
        self.last = event

    def newest(self, family: str) -> dict[str, float]:
        """The newest measured values of a family, by what follows it in their names."""
        measured = {name: series.arrays()[1] for name, series in self.measured.items() if name.split("/")[0] == family}
        return {name.partition("/")[2]: float(values[-1]) for name, values in measured.items() if len(values)}

    def rate(self) -> float:
        """Steps per second over the newer half of the events; 0 when no time has passed."""
        steps, seconds = self.seconds.arrays()
        if len(steps) == 0:
            return 0.0
        half = (len(steps) - 1) // 2
        before = (steps[half], seconds[half]) if half else (0.0, 0.0)
        passed = float(seconds[-1] - before[1])
        return float(steps[-1] - before[0]) / passed if passed > 0 else 0.0


@dataclass(frozen=True)
class Line:
    """One curve of a panel and, if there is a reference, the same quantity in the reference training (else empty)."""

    label: str
    color: str
    width: float
    steps: Floats
    values: Floats
    reference_steps: Floats
    reference: Floats

    @property
    def ink(self) -> str:
        """The color of its label: darker than the curve, as words need more contrast (4.5:1) than lines do (3:1)."""
        return mixed(self.color, INK, 0.4)


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes. On a `log` axis zeros are on the lower edge."""

    title: str
    lines: tuple[Line, ...]
    log: bool = False
    percent: bool = False
    range: tuple[float, float] | None = None

    def limits(self) -> tuple[float, float]:
        """Both ends of the value axis, a little beyond all finite values; at most six decades on a log axis."""
        if self.range:
            return self.range
        values = np.concatenate([part for line in self.lines for part in (line.values, line.reference)])
        values = values[np.isfinite(values)]
        if self.log:
            values = np.log10(values[values > 0])
        low, high = (float(values.min()), float(values.max())) if len(values) else (-3.0 * self.log, 1.0 - self.log)
        if self.log:
            low = max(low, high - 6)
        elif 0 <= low < high / 2:
            low = 0.0
        room = 0.06 * (high - low) or (0.2 if self.log else 0.05 * abs(high) or 0.5)
        low, high = (low - room if low or self.log else low), high + room
        return (10**low, 10**high) if self.log else (low, high)

    def places(self, values: Floats) -> Floats:
        """The places of values `[n]` on the value axis: 0 at its lower end, 1 at its upper end, never outside."""
        low, high = self.limits()
        if self.log:
            low, high, values = math.log10(low), math.log10(high), np.log10(np.maximum(values, low))
        return np.clip((values - low) / (high - low), 0, 1)

    def ticks(self) -> list[float]:
        """A few round values within the limits."""
        low, high = self.limits()
        if not self.log:
            return round_values(low, high)
        decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        if len(decades) > 2:
            return [10.0**power for power in decades[:: 1 + len(decades) // 5]]
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = [m * 10.0**power for power in powers for m in (1, 2, 5) if low <= m * 10.0**power <= high]
        return steps if len(steps) > 1 else round_values(low, high)

    def tick(self, value: float) -> str:
        """A round value in the panel's unit."""
        return f"{100 * value:.3g}%" if self.percent else f"{value:.3g}"

    def written(self, value: float) -> str:
        """A value in the panel's unit, with as many digits as matter."""
        return share(value) if self.percent else f"{value:#.3g}".removesuffix(".")

    def ending(self, label: str, value: float) -> str:
        """What stands at the end of a curve: its label and its newest value, kept apart from a weight."""
        return f"{label}{':' if '×' in label else ''} {self.written(value)}"


def panels(curves: Curves, reference: Curves, points: int) -> list[Panel]:
    """The panels that the events of a training and of its reference fill, each curve thinned to about `points` points.

    Loss terms together; the conflict rate of all modalities together; utilization one panel per modality, a line per
    level; every other measured family a panel of its own.
    """
    names = [*curves.losses, *reference.losses, *curves.measured, *reference.measured]
    colors = modality_colors([modality for name in names for modality in modalities_in(name)])

    def line(kind: str, name: str, label: str, color: str, width: float = 1.6) -> Line:
        own, other = (getattr(source, kind).get(name, Series()) for source in (curves, reference))
        return Line(label, color, width, *own.thinned(points), *other.thinned(points))

    def color(name: str) -> str:
        if "→" in name:  # a task such as "text→image, item": the color of what is written, darker for single items
            return mixed(colors[modalities_in(name)[1]], INK, 0.5 if name.endswith(", item") else 0.0)
        if modality := Term.of(name).modality:
            return colors[modality]
        return INK if name == "loss" else FUSED

    def weighted(name: str) -> str:
        weight = (reference.weights | curves.weights).get(name, 1.0)
        return name.replace("/", " ") + (f" ×{weight:.3g}" if weight != 1 else "")

    made = []
    terms = list(dict.fromkeys((*curves.losses, *reference.losses)))
    if terms:
        lines = tuple(
            line("losses", name, weighted(name), color(name), 2.4 if name == "loss" else 1.6) for name in terms
        )
        log = all((part[np.isfinite(part)] >= 0).all() for each in lines for part in (each.values, each.reference))
        made.append(Panel("loss terms" + log * ", log scale", lines, log))
    families: dict[str, list[str]] = {}
    for name in dict.fromkeys((*curves.measured, *reference.measured)):
        family, modality, level = Term.of(name)
        if family == "utilization" and level:
            families.setdefault(f"{family}/{modality}", []).append(name)
        elif not (family in BESIDE_USAGE and curves.usage):
            families.setdefault(family, []).append(name)
    rank = {"conflict_rate": 0, "utilization": 1}
    for key in sorted(families, key=lambda key: rank.get(Term.of(key).family, 2)):
        family, modality, _ = Term.of(key)
        words = family.replace("_", " ")
        if modality:
            levels = families[key]
            shades = [mixed(colors[modality], INK, 0.75 * i / len(levels)) for i in range(len(levels))]
            lines = tuple(
                line("measured", name, f"level {Term.of(name).level}", shade)
                for name, shade in zip(levels, shades, strict=True)
            )
            title = f"{words} of {modality} codes, by level"
        else:
            lines = tuple(
                line("measured", name, name.partition("/")[2].replace("/", " ") or words, color(name), 2)
                for name in families[key]
            )
            title = words + (", log scale" if family == "conflict_rate" else "")
        made.append(
            Panel(
                title, lines, family == "conflict_rate", family in PERCENT, (0, 1) if family == "utilization" else None
            )
        )
    return made


def progress(curves: Curves, running: bool) -> str:
    """The progress of the training, and its time."""
    event = curves.last
    if event is None:
        return "waiting for the first step"
    rate = curves.rate()
    speed = f", {rate:.3g} steps/s" if rate else ""
    done = f"step {event.step:,} of {event.steps:,}"
    if running:
        left = f", about {duration((event.steps - event.step) / rate)} left" if rate else ""
        return done + speed + left
    ended = "finished" if event.step >= event.steps else "ended early"
    return f"{ended}: {done} after {duration(event.seconds)}{speed}"


def state(curves: Curves) -> list[str]:
    """The newest loss, conflict rates and dead codes, in one sentence, if there are any."""
    values = curves.last.losses.get("loss") if curves.last else None
    parts = [] if values is None else [f"loss {values:.4g}"]
    for family, written in (("conflict_rate", share), ("dead_codes", "{:,.0f}".format)):
        listed = ", ".join(f"{name} {written(value)}".strip() for name, value in curves.newest(family).items())
        if listed:
            parts.append(f"{family.replace('_', ' ')}: {listed}")
    return ["; ".join(parts)] if parts else []


def modalities_in(name: str) -> list[str]:
    """What a name of a loss or a measurement says of modalities: that of a term, or the two of a task."""
    if "→" in name:
        return list(name.partition(", ")[0].split("→"))
    return list(filter(None, [Term.of(name).modality]))


def mixed(color: str, other: str, amount: float) -> str:
    """The color `amount` (0 to 1) of the way from one to the other."""
    pairs = ((int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + amount * (b - a)):02x}" for a, b in pairs)


def thin(steps: Floats, values: Floats, points: int) -> tuple[Floats, Floats]:
    """A curve `[n]` with at most about `points` points: the lowest and highest of each stretch, and both ends.

    So no peak is lost. Values that are not finite are left out.
    """
    finite = np.isfinite(values)
    steps, values = steps[finite], values[finite]
    if len(values) <= points:
        return steps, values
    edges = np.linspace(0, len(values), points // 2 + 1).astype(np.int64)
    kept = [0, len(values) - 1]
    for start, end in itertools.pairwise(edges):
        kept += [start + values[start:end].argmin(), start + values[start:end].argmax()]
    chosen = np.unique(kept)
    return steps[chosen], values[chosen]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wanted ones, in the same order, at least `gap` apart and within `low` to `high`.

    Where they do not all fit they share the room evenly.
    """
    if len(wanted) < 2:
        return [min(max(place, low), high) for place in wanted]
    gap = min(gap, (high - low) / (len(wanted) - 1))
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = [0.0] * len(wanted)
    limit = low
    for i in order:
        places[i] = max(wanted[i], limit)
        limit = places[i] + gap
    limit = high
    for i in reversed(order):
        places[i] = min(places[i], limit)
        limit = places[i] - gap
    return places


def round_values(low: float, high: float, about: int = 4) -> list[float]:
    """About so many multiples of 1, 2 or 5 times a power of ten from `low` to `high`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def share(value: float) -> str:
    """A share in percent, with as many digits as matter."""
    return "100%" if value == 1 else f"{100 * value:.{1 if value >= 0.1 else 2}f}%"


def duration(seconds: float) -> str:
    """A time span in the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
