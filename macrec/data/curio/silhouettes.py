"""What the twelve categories are made of: flat parts, from back to front, in six shapes.

Outlines are closed polygons `[n, 2]` in units of the picture's side: x to the right from the middle, y up from the
ground.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio.vocabulary import SHAPES

Floats = NDArray[np.float64]
Parts = list[tuple[int, Floats]]

BACKGROUND, GROUND, FIGURE, ACCENT, DEEP, FLAME, BODY = range(7)
"""The slots. `GROUND` to `DEEP` are the four colors of a palette; `BODY` stands for whatever the pattern puts there."""

FRAME = np.array([0.76, 0.70])
"""Width and height that an object may fill."""


def disc(x: float, y: float, rx: float, ry: float | None = None) -> Floats:
    """An ellipse around (x, y)."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + (rx if ry is None else ry) * np.sin(angle)], axis=1)


def box(left: float, bottom: float, right: float, top: float, corner: float = 0.0) -> Floats:
    """A rectangle, its corners rounded with radius `corner`."""
    turn = np.linspace(0, np.pi / 2, 7)
    arc = corner * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    c = corner
    return np.concatenate(
        [
            arc + [right - c, top - c],
            arc[::-1] * [-1, 1] + [left + c, top - c],
            -arc + [left + c, bottom + c],
            arc[::-1] * [1, -1] + [right - c, bottom + c],
        ]
    )


def stroke(points: list[tuple[float, float]] | Floats, width: float) -> Floats:
    """A line of constant width along `points`."""
    line = np.asarray(points, float)
    along = np.gradient(line, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
    return np.concatenate([line + normal * width / 2, (line - normal * width / 2)[::-1]])


def arc(x: float, y: float, rx: float, ry: float, begin: float, end: float) -> Floats:
    """Part of an ellipse, from angle `begin` to `end` in degrees, as an open line."""
    angle = np.radians(np.linspace(begin, end, 24))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def mirrored(parts: Parts) -> Parts:
    """The parts, and the same parts on the other side."""
    return parts + [(slot, outline * [-1, 1]) for slot, outline in parts]


PROPORTIONS = {
    "round": (1.0, 1.0),
    "tall": (0.66, 1.25),
    "wide": (1.3, 0.72),
    "tapered": (1.05, 1.05),
    "scalloped": (0.98, 1.05),
    "square": (0.92, 0.92),
}


def vessel(shape: str, width: float, height: float, bottom: float = 0.0, turned: bool = False) -> Floats:
    """The side view of something turned on a wheel, standing at `bottom`; `turned` puts it upside down."""
    t = np.linspace(0, 1, 49)
    profile = {
        "round": np.sqrt(1 - 0.86 * (2 * t - 1) ** 2),
        "tall": 1 - 0.18 * (1 - t) ** 10,
        "wide": 1 - 0.5 * (1 - t) ** 4,
        "tapered": 0.5 + 0.5 * t,
        "scalloped": 0.8 + 0.2 * np.sqrt(np.abs(np.sin(3 * np.pi * t))),
        "square": np.ones_like(t),
    }[shape]
    x, y = profile * width / 2, t * height
    if turned:
        x = x[::-1]
    return np.stack([np.concatenate([x, -x[::-1]]), bottom + np.concatenate([y, y[::-1]])], axis=1)


def panel(shape: str, width: float, height: float, bottom: float = 0.0) -> Floats:
    """The front view of something flat, standing at `bottom`."""
    angle = np.linspace(0, 2 * np.pi, 112, endpoint=False)
    exponent = {"round": 2.0, "scalloped": 2.4, "square": 40.0}.get(shape, 5.0)
    c, s = np.cos(angle), np.sin(angle)
    x, y = np.sign(c) * np.abs(c) ** (2 / exponent), np.sign(s) * np.abs(s) ** (2 / exponent)
    if shape == "tapered":
        x *= 0.76 - 0.24 * y
    if shape == "scalloped":
        bump = 0.86 + 0.14 * np.abs(np.sin(7 * angle))
        x, y = x * bump, y * bump
    return np.stack([x * width / 2, bottom + (1 + y) * height / 2], axis=1)


# --- The twelve categories: parts from back to front -----------------------------------------------------------------


def sizes(shape: str, width: float, height: float) -> tuple[float, float]:
    """Width and height of a body of ordinary size `width` x `height` in the proportions of `shape`."""
    wide, high = PROPORTIONS[shape]
    return width * wide, height * high


def lamp(shape: str) -> Parts:
    """A table lamp: shade, stem, foot, and a hint of the bulb."""
    w, h = sizes(shape, 0.52, 0.34)
    low = 0.62 - h
    return [
        (DEEP, box(-0.018, 0.03, 0.018, low + 0.06)),
        (DEEP, vessel("wide", 0.26, 0.05, turned=True)),
        (ACCENT, disc(0, 0.5 * low + 0.02, 0.045)),
        (FLAME, disc(0, low, 0.045, 0.04)),
        (BODY, vessel(shape, w, h, low, turned=True)),
        (DEEP, disc(0, 0.63, 0.02)),
    ]


def mug(shape: str) -> Parts:
    """A mug, seen a little from above."""
    w, h = sizes(shape, 0.44, 0.46)
    top = w / 2 * (0.4 if shape == "round" else 0.8 if shape == "scalloped" else 1)
    return [
        (ACCENT, stroke(arc(w * 0.4, h * 0.54, 0.17, h * 0.28, -100, 100), 0.05)),
        (BODY, vessel(shape, w, h)),
        (GROUND, disc(0, h, top, 0.052)),
        (DEEP, disc(0, h, top * 0.86, 0.036)),
    ]


def vase(shape: str) -> Parts:
    """A vase with three flowers."""
    w, h = sizes(shape, 0.42, 0.42)
    stems: Parts = []
    for lean, high in ((-0.16, 0.16), (0.02, 0.22), (0.17, 0.14)):
        stems.append((DEEP, stroke([(0, h), (lean * 0.45, h + high * 0.65), (lean, h + high)], 0.016)))
        stems.append((ACCENT, disc(lean, h + high, 0.06)))
        stems.append((FIGURE, disc(lean, h + high, 0.024)))
    return [
        *stems,
        (ACCENT, vessel("tapered", 0.18, 0.08, h - 0.01)),
        (BODY, vessel(shape, w, h)),
        (DEEP, box(-0.07, h - 0.005, 0.07, h + 0.015)),
    ]


def teapot(shape: str) -> Parts:
    """A teapot: spout, handle, lid."""
    w, h = sizes(shape, 0.42, 0.38)
    half, reach = w / 2, 0.10 if shape == "wide" else 0.14
    spout = [(-0.7, 0.3, 0.0), (-1.0, 0.42, 0.5), (-1.0, 0.8, 0.64), (-1.0, 0.92, 1.0)]
    lid = half * (0.42 if shape == "round" else 0.7)
    return [
        (ACCENT, stroke([(x * half - out * reach, y * h) for x, y, out in spout], 0.075)),
        (ACCENT, stroke(arc(half * 0.8, h * 0.55, reach + 0.03, h * 0.3, -105, 105), 0.042)),
        (DEEP, disc(0, h + 0.075, 0.034)),
        (ACCENT, disc(0, h, lid, 0.06)),
        (BODY, vessel(shape, w, h)),
        (DEEP, box(-lid, h - 0.012, lid, h + 0.012, 0.01)),
    ]


def cushion(shape: str) -> Parts:
    """A cushion with piping, a button, and pompons where it has corners."""
    w, h = sizes(shape, 0.58, 0.52)
    body = panel(shape, w, h, 0.03)
    piping = panel(shape, w + 0.045, h + 0.045, 0.0075)
    middle = 0.03 + h / 2
    corners = [(w / 2 + 0.005, 0.04), (w / 2 + 0.005, h + 0.02)] if shape in ("square", "wide", "tall") else []
    pompons: Parts = [(DEEP, disc(right, high, 0.032)) for right, high in corners]
    # A pillow's sides are drawn in: pull the middle of every side towards the center.
    if shape != "round":
        for outline in (body, piping):
            x, y = outline[:, 0] / (w / 2), (outline[:, 1] - middle) / (h / 2)
            outline[:, 0] *= 1 - 0.10 * (1 - np.clip(np.abs(y), 0, 1) ** 2)
            outline[:, 1] -= 0.10 * (outline[:, 1] - middle) * (1 - np.clip(np.abs(x), 0, 1) ** 2)
    return [*mirrored(pompons), (ACCENT, piping), (BODY, body), (DEEP, disc(0, middle, 0.026))]


def backpack(shape: str) -> Parts:
    """A backpack from the front: carrying loop, side pockets, front pocket, zip."""
    w, h = sizes(shape, 0.44, 0.56)
    pocket, middle = 0.34 * h, 0.5 * w * (0.86 if shape in ("round", "scalloped") else 1)
    return [
        (DEEP, stroke(arc(0, h, 0.075, 0.075, -10, 190), 0.03)),
        *mirrored([(DEEP, stroke(arc(middle * 0.75, h * 0.62, middle * 0.42, h * 0.26, -40, 100), 0.034))]),
        *mirrored([(ACCENT, box(middle - 0.06, 0.04, middle + 0.045, 0.38 * h, 0.045))]),
        (BODY, panel(shape, w, h)),
        (ACCENT, box(-w * 0.3, 0.05, w * 0.3, pocket, 0.04)),
        (DEEP, box(-w * 0.3, pocket - 0.06, w * 0.3, pocket - 0.042)),
        (FIGURE, box(-0.02, pocket - 0.085, 0.02, pocket - 0.03, 0.008)),
        (DEEP, stroke(arc(0, h * 0.56, w * 0.36, h * 0.24, 20, 160), 0.016)),
    ]


def clock(shape: str) -> Parts:
    """A mantel clock at ten past ten or so."""
    w, h = sizes(shape, 0.58, 0.58)
    bottom = 0.03
    middle = bottom + h / 2
    dial = 0.3 * min(w, h)
    hours = [
        (DEEP, disc(0.8 * dial * np.sin(a), middle + 0.8 * dial * np.cos(a), 0.012)) for a in np.arange(12) * np.pi / 6
    ]
    return [
        *mirrored([(DEEP, stroke([(w * 0.24, 0.08), (w * 0.34, 0.0)], 0.05))]),
        (BODY, panel(shape, w, h, bottom)),
        (DEEP, disc(0, middle, dial + 0.022)),
        (FIGURE, disc(0, middle, dial)),
        *hours,
        (DEEP, stroke([(0, middle), (-0.45 * dial, middle + 0.3 * dial)], 0.026)),
        (DEEP, stroke([(0, middle), (0.3 * dial, middle + 0.62 * dial)], 0.018)),
        (ACCENT, disc(0, middle, 0.02)),
    ]


def chair(shape: str) -> Parts:
    """A chair from the front."""
    w, h = sizes(shape, 0.40, 0.36)
    seat = 0.25
    legs = max(w, 0.34) / 2
    return [
        *mirrored([(DEEP, stroke([(legs * 0.62, seat), (legs * 0.72, 0.03)], 0.034))]),
        *mirrored([(DEEP, box(w * 0.2 - 0.015, seat, w * 0.2 + 0.015, seat + 0.14))]),
        (BODY, panel(shape, w, h, seat + 0.07)),
        (BODY, box(-legs - 0.03, seat - 0.01, legs + 0.03, seat + 0.075, 0.035)),
        (ACCENT, box(-legs - 0.02, seat - 0.04, legs + 0.02, seat - 0.01, 0.01)),
        *mirrored([(DEEP, stroke([(legs * 0.9, seat - 0.03), (legs * 1.08, 0.0)], 0.042))]),
    ]


def planter(shape: str) -> Parts:
    """A pot with a rim and five leaves."""
    w, h = sizes(shape, 0.44, 0.34)
    rim = w / 2 * (0.62 if shape == "round" else 0.88 if shape == "scalloped" else 1) + 0.02
    leaves: Parts = []
    t = np.linspace(0, 1, 14)[:, None]
    for slot, lean, high in (
        (DEEP, -0.21, 0.17),
        (DEEP, 0.21, 0.17),
        (ACCENT, -0.12, 0.27),
        (ACCENT, 0.12, 0.27),
        (DEEP, 0, 0.31),
    ):
        bow, tip = np.array([lean * 0.25, high * 0.55]), np.array([lean, high])
        line = 2 * t * (1 - t) * bow + t**2 * tip + [0, h]
        side = np.array([high, -lean]) / np.hypot(lean, high) * (0.05 * np.sin(np.pi * t**0.8) + 0.006)
        leaves.append((slot, np.concatenate([line + side, (line - side)[::-1]])))
    return [*leaves, (BODY, vessel(shape, w, h)), (ACCENT, box(-rim, h - 0.03, rim, h + 0.03, 0.012))]


def bottle(shape: str) -> Parts:
    """A bottle: shoulder, neck, cap."""
    w, h = sizes(shape, 0.34, 0.44)
    neck = 0.075 if shape == "tall" else 0.11
    return [
        (ACCENT, box(-0.06, h - 0.05, 0.06, h + neck)),
        (ACCENT, vessel("round", min(w * 0.8, 0.24), 0.14, h - 0.08)),
        (BODY, vessel(shape, w, h)),
        (DEEP, box(-0.075, h + neck - 0.01, 0.075, h + neck + 0.075, 0.018)),
        (FIGURE, box(-0.075, h + neck - 0.012, 0.075, h + neck + 0.008)),
    ]


def notebook(shape: str) -> Parts:
    """A ring-bound notebook with a label."""
    w, h = sizes(shape, 0.46, 0.56)
    cover = panel(shape, w, h, 0.01)
    label = 0.24 * min(w, h)
    spine = np.array(sorted(cover[cover[:, 0] < 0].tolist(), key=lambda point: point[1]))
    rings: Parts = []
    for y in np.linspace(0.2 * h, 0.85 * h, 7):
        left = np.interp(y, spine[:, 1], spine[:, 0])
        rings.append((DEEP, stroke([(left - 0.03, y), (left + 0.045, y)], 0.022)))
    return [
        (DEEP, cover + [0.026, -0.01]),
        (FIGURE, cover + [0.014, -0.005]),
        (BODY, cover),
        *rings,
        (DEEP, box(-label, 0.55 * h, label, 0.55 * h + label, 0.012)),
        (FIGURE, box(-label + 0.014, 0.55 * h + 0.014, label - 0.014, 0.55 * h + label - 0.014, 0.006)),
        (ACCENT, box(-label * 0.6, 0.55 * h + label * 0.45, label * 0.6, 0.55 * h + label * 0.58)),
    ]


def candle(shape: str) -> Parts:
    """A burning candle on a saucer."""
    w, h = sizes(shape, 0.34, 0.42)
    top = w / 2 * (0.4 if shape == "round" else 0.8 if shape == "scalloped" else 1)
    t = np.linspace(0, 1, 20)
    half = 0.044 * np.sin(np.pi * t**0.6)
    flame = np.stack([np.concatenate([half, -half[::-1]]), h + 0.05 + 0.15 * np.concatenate([t, t[::-1]])], axis=1)
    return [
        (DEEP, box(-max(w * 0.62, 0.17), 0.0, max(w * 0.62, 0.17), 0.035, 0.015)),
        (BODY, vessel(shape, w, h, 0.03)),
        (FIGURE, disc(0, h + 0.03, top, 0.03)),
        (DEEP, box(-0.009, h + 0.02, 0.009, h + 0.085)),
        (FLAME, flame + [0, 0.025]),
    ]


SILHOUETTES: tuple[Callable[[str], Parts], ...] = (
    lamp,
    mug,
    vase,
    teapot,
    cushion,
    backpack,
    clock,
    chair,
    planter,
    bottle,
    notebook,
    candle,
)
"""How each of `CATEGORIES` is put together, in that order."""


@cache
def parts_of(category: int, shape: int) -> Parts:
    """The parts of a category in a shape, enlarged to fill `FRAME` and centered on the ground."""
    parts = SILHOUETTES[category](SHAPES[shape])
    everything = np.concatenate([outline for _, outline in parts])
    low, high = everything.min(0), everything.max(0)
    zoom = min(FRAME / (high - low))
    middle = np.array([(low[0] + high[0]) / 2, low[1]])
    return [(slot, (outline - middle) * zoom) for slot, outline in parts]


@cache
def footing(category: int, shape: int) -> float:
    """Half the breadth of what stands near the ground."""
    outlines = np.concatenate([outline for _, outline in parts_of(category, shape)])
    return float(np.abs(outlines[outlines[:, 1] < 0.15, 0]).max())
