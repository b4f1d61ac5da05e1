"""How a surface is filled: each pattern takes coordinates, in units of the picture's side, to slots."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from macrec.data.curio.silhouettes import ACCENT, DEEP, FIGURE, GROUND

Field = NDArray[np.float32]
Slots = NDArray[np.uint8]


def alternate(distance: Field, period: float, figure: int = FIGURE) -> Slots:
    """`figure` and `GROUND` in turns, `period` apart."""
    return np.where(distance % period < period / 2, figure, GROUND).astype(np.uint8)


def dots(u: Field, v: Field) -> Slots:
    """Dots in staggered rows."""
    pitch = 0.105
    row = np.floor(v / pitch)
    x = (u / pitch + row % 2 / 2) % 1 - 0.5
    y = v / pitch - row - 0.5
    return np.where(x * x + y * y < 0.085, FIGURE, GROUND).astype(np.uint8)


def checks(u: Field, v: Field) -> Slots:
    """Gingham: two crossing sets of stripes, deeper where they meet."""
    across, down = u % 0.13 < 0.065, v % 0.13 < 0.065
    return np.array([FIGURE, ACCENT, GROUND], np.uint8)[across.astype(np.uint8) + down]


def terrazzo(u: Field, v: Field) -> Slots:
    """Scattered chips in three colors."""
    tile = chips()
    n = len(tile)
    return tile[(v * (n / 0.5)).astype(np.int32) % n, (u * (n / 0.5)).astype(np.int32) % n]


@cache
def chips() -> Slots:
    """A repeating tile of irregular chips, half a picture wide."""
    n, rng = 384, np.random.default_rng(7)
    tile = Image.new("L", (n, n), FIGURE)
    draw = ImageDraw.Draw(tile)
    for place in range(42):
        center = (np.array([place % 7, place // 7]) + rng.uniform(0.1, 0.9, 2)) * [n / 7, n / 6]
        angle = np.sort(rng.uniform(0, 2 * np.pi, 6))
        radius = rng.uniform(16, 34) * rng.uniform(0.7, 1.0, 6)
        chip = center + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        for wrap in np.stack(np.meshgrid([-n, 0, n], [-n, 0, n]), axis=-1).reshape(-1, 2):
            draw.polygon((chip + wrap).ravel().tolist(), fill=(GROUND, GROUND, ACCENT, DEEP)[place % 4])
    return np.asarray(tile)


PAINTERS: dict[str, Callable[[Field, Field], Slots]] = {
    "plain": lambda u, v: np.full(np.broadcast(u, v).shape, GROUND, np.uint8),
    "stripes": lambda u, v: alternate(u, 0.088),
    "dots": dots,
    "checks": checks,
    "waves": lambda u, v: alternate(v + 0.022 * np.sin(u * np.float32(2 * np.pi / 0.17)), 0.1, ACCENT),
    "zigzag": lambda u, v: alternate(v + 0.9 * np.abs(u % 0.15 - np.float32(0.075)), 0.13),
    "terrazzo": terrazzo,
    "bands": lambda u, v: np.array([GROUND, FIGURE, ACCENT], np.uint8)[np.floor(v / 0.12).astype(np.int32) % 3],
}
