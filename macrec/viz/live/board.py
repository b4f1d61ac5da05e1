"""The live board: one output that shows a training while it runs, and afterwards how it ended.

The picture is SVG written by hand: small, drawn in a few milliseconds, and the same in JupyterLab, in a headless run
and on an exported page, without a script.
"""

from __future__ import annotations

import html
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML, DisplayHandle, display
from numpy.typing import NDArray
from plotly.colors import sample_colorscale

from macrec.viz.live.curves import (
    Curves,
    Floats,
    Panel,
    mixed,
    panels,
    progress,
    round_values,
    spread,
    state,
)
from macrec.viz.theme import FONT, INK, MUTED, SEQUENTIAL, modality_colors

if TYPE_CHECKING:  # torch comes with it, and drawing needs none
    from macrec.training import Event

WIDTH = 920
GAP = 24
COLUMN = (WIDTH - GAP) // 2
LETTER = 0.6
"""Width of a letter in font sizes, on average, in the widest of the fonts."""
POINTS = 1600
"""Points of all curves together, about: 7 KB."""
STRIP = 150
"""Width of a strip of code usage."""
OCTAVE = 2
"""Color steps of the code usage per doubling, over three doublings to either side of even use."""


def _cividis() -> list[str]:
    rgb = sample_colorscale(SEQUENTIAL, np.linspace(0, 1, 6 * OCTAVE + 1).tolist(), colortype="tuple")
    return ["#" + "".join(f"{round(255 * channel):02x}" for channel in color) for color in rgb]


USAGE = _cividis()


class LiveBoard:
    """A sink that shows the training whose events it is given as one output of the notebook cell, updated in place.

    `reference` are the events of an earlier training, drawn as thin dashed lines behind and called `reference_name`.
    At most one frame per `interval` seconds of `clock` is drawn, except for the last step and for `close()`.
    `frame` is the newest frame as SVG; outside a notebook that is all there is.
    """

    def __init__(
        self,
        title: str = "Training",
        reference: Sequence[Event] = (),
        reference_name: str = "independent",
        interval: float = 0.25,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.reference_name = title, reference_name
        self.interval, self.clock = interval, clock
        self.frame = ""
        self._curves, self._reference = Curves(), Curves(reference)
        self._handle: DisplayHandle | None = None
        self._due = -np.inf

    def __call__(self, event: Event) -> None:
        """Take an event; draw a frame if one is due."""
        self._curves.add(event)
        if self.clock() >= self._due or event.step >= event.steps:
            self._draw(running=event.step < event.steps)
            self._due = self.clock() + self.interval  # counted from the end, so that a slow page is not flooded

    def close(self) -> None:
        """Draw how the training ended."""
        if self._curves.last is not None:
            self._draw(running=False)

    def _draw(self, running: bool) -> None:
        frame = _svg(self._curves, self._reference, self.title, self.reference_name, running)
        if frame == self.frame:
            return
        self.frame = frame
        if not InteractiveShell.initialized():
            return
        page = HTML(self.frame)
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)


def board_svg(
    events: Iterable[Event],
    reference: Iterable[Event] = (),
    title: str = "Training",
    reference_name: str = "independent",
    running: bool = True,
) -> str:
    """The board of these events as an SVG element: a line of numbers, panels of curves, the code usage of each level.

    Curves of `reference`, an earlier training, are thin and dashed. `running` chooses between time left and time taken.
    """
    return _svg(Curves(events), Curves(reference), title, reference_name, running)


def _svg(curves: Curves, reference: Curves, title: str, reference_name: str, running: bool) -> str:
    said = [progress(curves, running), *state(curves)]
    lines = [part for sentence in said for part in textwrap.wrap(sentence, 125)]
    parts = [text(0, 16, shortened(title, 70), size=15, bold=True)]
    if reference.last is not None:
        note = f"dashed, and in brackets: {shortened(reference_name, 40)}"
        start = WIDTH - width(note)
        parts.append(text(start, 16, note))
        parts.append(f'<path d="M{start - 34:.0f} 12h28" fill="none" stroke="{INK}" stroke-dasharray="4 3"/>')
    top = 36.0
    for line in lines:
        parts.append(text(0, top, line, size=13))
        top += 18
    top += 6

    drawn = len(curves.losses) + len(curves.measured) + len(reference.losses) + len(reference.measured)
    drawn_panels = panels(curves, reference, min(120, POINTS // max(drawn, 1)))
    last_step = max((event.step for event in (curves.last, reference.last) if event is not None), default=1)
    alone = len(drawn_panels) % 2  # the first panel takes a whole row where that leaves none half empty
    rows = [drawn_panels[:1]] * alone + [drawn_panels[i : i + 2] for i in range(alone, len(drawn_panels), 2)]
    for row in rows:
        height = max(150, *(15 * len(panel.lines) + 36 for panel in row))
        for place, panel in enumerate(row):
            wide = WIDTH if len(row) == 1 else COLUMN
            parts.append(panel_svg(panel, place * (COLUMN + GAP), top, wide, height, last_step))
        top += height + 14
    if curves.usage:
        drawing, tall = usage_svg(curves.usage, top)
        parts.append(drawing)
        top += tall
    label = html.escape(f"{title}: {'; '.join(said)}", quote=True)
    return (
        f'<div style="background:#fff;padding:8px 12px;max-width:1150px"><svg role="img" aria-label="{label}" '
        f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top:.0f}" fill="{INK}" '
        f'style="display:block;width:100%;height:auto;background:#fff" font-family="{html.escape(FONT, quote=True)}" '
        f'font-size="11">{"".join(parts)}</svg></div>'
    )


def panel_svg(panel: Panel, x: float, y: float, wide: float, height: float, last_step: float) -> str:
    """One panel whose upper left corner is at (x, y): axes, dashed reference curves, curves, and labels at the ends."""
    shown = [line for line in panel.lines if len(line.values)]
    labels = [label_of(panel, line.label, line.values, line.reference) for line in shown]
    ticks = panel.ticks()
    left = x + max((width(panel.tick(tick)) for tick in ticks), default=0) + 11
    right = x + wide - max((width(label) for label in labels), default=0) - 22
    top, bottom = y + 22, y + height - 16

    def across(steps: Floats) -> Floats:
        return left + steps / max(last_step, 1) * (right - left)

    def up(values: Floats) -> Floats:
        return bottom - panel.places(values) * (bottom - top)

    parts = [text(x, y + 12, panel.title, bold=True)]
    grid = "".join(f"M{left:.0f} {place:.1f}H{right:.0f}" for place in up(np.array(ticks)))
    parts.append(f'<path d="{grid}" stroke="#eee"/><path d="M{left:.0f} {bottom:.1f}H{right:.0f}" stroke="#bbb"/>')
    beside = [text(left - 5, at + 4, panel.tick(tick)) for tick, at in zip(ticks, up(np.array(ticks)), strict=True)]
    steps = round_values(0, max(last_step, 1))[1:]
    below = [text(at, bottom + 13, f"{tick:,.6g}") for tick, at in zip(steps, across(np.array(steps)), strict=True)]
    for anchor, numbers in (("end", beside), ("middle", below)):
        parts.append(f'<g fill="#555" text-anchor="{anchor}">{"".join(numbers)}</g>')
    curves, leaders = [], []
    for line in panel.lines:
        if len(line.reference):
            path = path_of(across(line.reference_steps), up(line.reference))
            curves.append(f'<path d="{path}" stroke="{line.color}" stroke-width="9" stroke-dasharray="40 30"/>')
    ends = [float(up(line.values[-1:])[0]) for line in shown]
    for line, label, end, place in zip(shown, labels, ends, spread(ends, 13, top, bottom), strict=True):
        path = path_of(across(line.steps), up(line.values))
        thick = 10 * line.width if len(line.values) > 1 else 50
        curves.append(f'<path d="{path}" stroke="{line.color}" stroke-width="{thick:g}"/>')
        leaders.append(f"M{float(across(line.steps[-1:])[0]):.0f} {end:.1f}H{right:.0f}L{right + 14:.0f} {place:.1f}")
        parts.append(text(right + 17, place + 4, label, color=line.ink))
    parts.append(
        f'<path d="{"".join(leaders)}" fill="none" stroke="{MUTED}" stroke-width=".7" stroke-dasharray="1 2"/>'
    )
    joined = "".join(curves)
    parts.append(f'<g transform="scale(.1)" fill="none" stroke-linejoin="round" stroke-linecap="round">{joined}</g>')
    return "".join(parts)


def label_of(panel: Panel, name: str, values: Floats, reference: Floats) -> str:
    """A curve's name and newest value; of what is measured also the reference's last value, in brackets."""
    beside = f" ({panel.written(reference[-1])})" if len(reference) and not panel.title.startswith("loss terms") else ""
    return panel.ending(shortened(name, 30), values[-1]) + beside


def path_of(xs: Floats, ys: Floats) -> str:
    """SVG path data through points `[n]`: in tenths of a pixel, as steps from each point to the next.

    The last step goes nowhere, so that a single point is a dot.
    """
    moves = np.diff(np.round(np.stack([xs, ys], 1) * 10).astype(np.int64), axis=0, prepend=0)
    return f"m{' '.join(f'{dx} {dy}' for dx, dy in moves.tolist()).replace(' -', '-')}h0"


def usage_svg(usage: dict[str, tuple[NDArray[np.int64], ...]], top: float) -> tuple[str, float]:
    """The code usage of every modality and level as a strip, most used codes first, dead ones hatched; and its height.

    A color stands for a code's load relative to even use, in half doublings, so a strip has few pieces and is exact.
    """
    title = "code usage, each level's codes from the most to the least used"
    parts = [text(0, top + 12, title, bold=True)]
    x = width(title) + 40
    legend = [(f"M{x + 9 * i:.0f} {top + 8:.0f}h9", color, "") for i, color in enumerate(reversed(USAGE))]
    legend.append((f"M{x + 300:.0f} {top + 8:.0f}h28", MUTED, ' stroke-dasharray="1 3"'))
    marks = "".join(f'<path d="{path}" stroke="{color}"{extra}/>' for path, color, extra in legend)
    parts.append(f'<g stroke-width="10">{marks}</g>')
    parts.append(text(x + 9 * len(USAGE) + 6, top + 12, "8 × even use down to 1/8"))
    parts.append(text(x + 334, top + 12, "dead"))
    top += 24
    colors = modality_colors(usage)
    names = list(usage)
    height = 24.0
    for first in range(0, len(names), 2):
        row = names[first : first + 2]
        for place, modality in enumerate(row):
            for level, counts in enumerate(usage[modality]):
                name = f"{shortened(modality, 10)} {level}"
                corner = f"{place * (COLUMN + GAP) + 82} {top + 17 * level:g}"
                parts.append(f'<g transform="translate({corner})">{strip_svg(name, counts, colors[modality])}</g>')
        tall = 17 * max(len(usage[modality]) for modality in row) + 8
        top += tall
        height += tall
    return "".join(parts), height


def strip_svg(name: str, counts: NDArray[np.int64], color: str) -> str:
    """One strip of codes `[K]`, its name to the left and its statistics to the right."""
    used = np.sort(counts[counts > 0])[::-1]
    even = counts.sum() / len(counts)
    load = np.clip(np.round(OCTAVE * (np.log2(used / even) + 3)), 0, len(USAGE) - 1).astype(np.int64)
    parts, at = [], 0.0
    for step, codes in reversed(list(enumerate(np.bincount(load)))):
        if codes:
            parts.append(f'<path d="M{at:.4g} 6h{codes / len(counts) * STRIP:.4g}" stroke="{USAGE[step]}"/>')
            at += codes / len(counts) * STRIP
    dead = len(counts) - len(used)
    if dead:
        parts.append(f'<path d="M{at:.4g} 6H{STRIP}" stroke="{MUTED}" stroke-dasharray="1 3"/>')
    said = f"{dead:,} dead of {len(counts):,}, perplexity {perplexity(used):.3g}"
    return (
        f'<g stroke-width="12">{"".join(parts)}</g><path d="M0 0h{STRIP}v12h-{STRIP}z" fill="none" stroke="#999"/>'
        + text(-8, 10, name, "end", color=mixed(color, INK, 0.4))  # as the labels of the curves
        + text(STRIP + 8, 10, said)
    )


def perplexity(counts: NDArray[np.int64]) -> float:
    """How many codes, used evenly, would carry as much as codes that occur so often (`[n]`, all above 0)."""
    if not len(counts):
        return 0.0
    shares = counts / counts.sum()
    return float(2 ** -(shares * np.log2(shares)).sum())


def text(x: float, y: float, words: str, anchor: str = "", size: int = 11, color: str = "", bold: bool = False) -> str:
    """Words with their baseline at (x, y); anchored at the start, `middle` or `end`; else like what surrounds them."""
    extra = f' text-anchor="{anchor}"' if anchor else ""
    extra += f' font-size="{size}"' if size != 11 else ""
    extra += f' fill="{color}"' if color else ""
    extra += ' font-weight="600"' if bold else ""
    return f'<text x="{x:.4g}" y="{y:.4g}"{extra}>{html.escape(words, quote=False)}</text>'


def shortened(words: str, letters: int) -> str:
    """Words, cut where they are longer than so many letters."""
    return words if len(words) <= letters else words[: letters - 1] + "…"


def width(words: str, size: int = 11) -> float:
    """About how wide words are, in pixels."""
    return len(words) * size * LETTER
