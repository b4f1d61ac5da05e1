"""The picture of a curio item: one small product illustration, drawn from its factors.

An object is a list of flat parts (`SILHOUETTES`), drawn into an image of slots: which pixel belongs to which kind of
surface. The surfaces called `BODY` are filled by the pattern, a lookup table turns slots into the palette's colors, and
a blurred copy of the slots serves as a height map, whose slope gives every edge a lit and a shaded side.

All lengths are in units of the picture's side, so a picture looks the same at every size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFilter

from macrec.data.curio.patterns import PAINTERS, Field, Slots
from macrec.data.curio.silhouettes import BACKGROUND, BODY, GROUND, Floats, footing, parts_of
from macrec.data.curio.vocabulary import CATEGORIES, PALETTES, PATTERNS, SHAPES

HEIGHT = bytes([0, 205, 215, 225, 190, 120, 160])
"""How far each slot stands out of the picture: only differences matter, and only at edges."""

LEVELS = {"category": CATEGORIES, "shape": SHAPES, "palette": PALETTES, "pattern": PATTERNS}

SUPERSAMPLE = 4
"""Drawing is done this many times larger; reducing it then smooths the edges."""

FLOOR = 0.86
"""Where the ground is, measured from the top."""


# Neighbors in hue (coral and blush, forest and mint, ocean and plum) are kept apart in lightness.
COLORS: dict[str, tuple[str, str, str, str]] = {
    "coral": ("#e8614d", "#fde3cf", "#f6a27c", "#8c2b33"),
    "ocean": ("#23528a", "#dcecf6", "#6aaede", "#142c4f"),
    "forest": ("#3c7a52", "#eceacb", "#93bd7f", "#1d4030"),
    "honey": ("#f2b233", "#fff3cf", "#d9822b", "#7a4a12"),
    "plum": ("#744a97", "#f0e1f5", "#b58bd3", "#3c2156"),
    "graphite": ("#55585f", "#ececea", "#a3a6ac", "#222327"),
    "blush": ("#f3a9bd", "#fdeef0", "#dc6f93", "#99365d"),
    "mint": ("#86d8c9", "#f0fbf4", "#3fa9a4", "#14605f"),
}
"""Ground, figure, accent and deep color of every palette."""

FLAME_COLOR = "#ffcf5c"


@dataclass(frozen=True)
class Pose:
    """How one object stands: where its foot is, its size, its lean (radians), and where the pattern begins."""

    x: float
    y: float
    scale: float
    lean: float
    phase: tuple[float, float]

    @property
    def turn(self) -> Floats:
        """Takes upright coordinates (y up) to picture coordinates (y down), but for the foot."""
        c, s = self.scale * np.cos(self.lean), self.scale * np.sin(self.lean)
        return np.array([[c, -s], [-s, -c]])


def pose_of(seed: int) -> Pose:
    """The small natural variation that a seed stands for."""
    x, y, scale, lean, u, v = np.random.default_rng(seed).random(6).tolist()
    return Pose(0.5 + 0.04 * (x - 0.5), FLOOR + 0.02 * (y - 0.5), 0.95 + 0.1 * scale, 0.06 * (lean - 0.5), (u, v))


def draw(category: int, shape: int, palette: int, pattern: int, seed: int, size: int = 96) -> Image.Image:
    """Draw an item as an RGB picture of `size` x `size` pixels; equal arguments give equal bytes.

    The levels index `CATEGORIES`, `SHAPES`, `PALETTES` and `PATTERNS`. `seed` (not negative) moves things a little:
    place, size and lean of the object, and where the pattern begins. Raises ValueError for a level that does not exist
    and for a size below 16.
    """
    check(category=category, shape=shape, palette=palette, pattern=pattern)
    pose = pose_of(seed)
    slots = fill(category, shape, pose, size)
    inside = np.asarray(mask_of(slots, size), np.float32)[..., None] / 255
    relief = light(slots, size)

    painted = paint(slots, pose, PAINTERS[PATTERNS[pattern]])
    painted.putpalette(lookup(PALETTES[palette]))
    color = np.asarray(painted.convert("RGB").reduce(SUPERSAMPLE), np.float32)
    shadow = backdrop(pose, footing(category, shape), size)
    seen = color * (1 + inside * relief[..., None]) + (1 - inside) * shadow[..., None]
    return Image.fromarray(np.clip(seen + 0.5, 0, 255).astype(np.uint8))


def silhouette(category: int, shape: int, seed: int, size: int = 96) -> Image.Image:
    """Which pixels of that picture belong to the object: a gray picture, 255 inside, 0 outside."""
    check(category=category, shape=shape)
    return mask_of(fill(category, shape, pose_of(seed), size), size)


def check(**levels: int) -> None:
    """Raise ValueError for a level outside its factor (a negative one would silently count from the end)."""
    counts = {name: len(names) for name, names in LEVELS.items()}
    for name, level in levels.items():
        if not 0 <= level < counts[name]:
            raise ValueError(f"{name} must be from 0 to {counts[name] - 1}, got {level}")


def fill(category: int, shape: int, pose: Pose, size: int) -> Image.Image:
    """Draw all parts as slots, `SUPERSAMPLE` times larger than the picture."""
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    side = size * SUPERSAMPLE
    slots = Image.new("L", (side, side), BACKGROUND)
    pen = ImageDraw.Draw(slots)
    turn, foot = side * pose.turn.T, side * np.array([pose.x, pose.y])
    for slot, outline in parts_of(category, shape):
        pen.polygon((outline @ turn + foot).ravel().tolist(), fill=slot)
    return slots


def mask_of(slots: Image.Image, size: int) -> Image.Image:
    """How much of each pixel the object covers, 0 to 255."""
    return slots.point([0] + [255] * 255).reduce(slots.width // size)


def light(slots: Image.Image, size: int) -> Field:
    """Relative change of brightness `[size, size]`: left slopes are lit, right slopes in shade."""
    height = slots.point(HEIGHT.ljust(256, b"\0")).reduce(slots.width // size)
    near = np.asarray(height.filter(ImageFilter.GaussianBlur(size / 60)), np.float32)
    far = np.asarray(height.filter(ImageFilter.GaussianBlur(size / 16)), np.float32)
    step, stride = max(1, round(size / 90)), round(size / 12)
    edge = shifted(near, step) - shifted(near, -step)
    form = shifted(far, stride) - shifted(far, -stride)
    return (np.clip(edge / 600, -0.12, 0.12) + np.clip(form / 700, -0.16, 0.14)).astype(np.float32, copy=False)


def shifted(field: Field, step: int) -> Field:
    """The field moved up and to the left by `step` pixels (down and to the right if negative).

    It wraps around, which is harmless: no object comes near the border.
    """
    return np.roll(field, (-step, -step), (0, 1))


def paint(slots: Image.Image, pose: Pose, painter: Callable[[Field, Field], Slots]) -> Image.Image:
    """Replace `BODY` by the pattern, which moves and leans with the object."""
    surface = np.array(slots)
    body = surface == BODY
    rows, columns = np.flatnonzero(body.any(1)), np.flatnonzero(body.any(0))
    y, x = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    side = len(surface)
    across = (np.arange(x.start, x.stop, dtype=np.float32) + 0.5) / side - pose.x
    down = (np.arange(y.start, y.stop, dtype=np.float32) + 0.5) / side - pose.y
    (a, b), (c, d) = np.linalg.inv(pose.turn).astype(np.float32)
    u = (a * across + np.float32(1 + pose.phase[0]))[None, :] + (b * down)[:, None]
    v = (c * across + np.float32(1 + pose.phase[1]))[None, :] + (d * down)[:, None]
    np.copyto(surface[y, x], painter(u, v), where=body[y, x])
    return Image.fromarray(surface)


@cache
def lookup(palette: str) -> bytes:
    """The color of every slot, three bytes each: a soft tint behind, then the palette, then the flame."""
    colors = np.array([ImageColor.getrgb(color) for color in (*COLORS[palette], FLAME_COLOR)])
    tint = np.array([246, 243, 238]) * 0.82 + colors[GROUND - 1] * 0.18
    return np.vstack([tint, colors]).round().astype(np.uint8).tobytes()


def backdrop(pose: Pose, breadth: float, size: int) -> Field:
    """What the background's brightness differs by, `[size, size]`: lighter above, and a shadow on the ground."""
    place = (np.arange(size, dtype=np.float32) + 0.5) / size
    across = np.exp(-(((place - pose.x - 0.02) / (1.15 * breadth * pose.scale)) ** 4))
    down = np.exp(-(((place - pose.y + 0.005) / 0.028) ** 2))
    glow = 7 * (1 - 2 * place)
    brightness: Field = glow[:, None] - 46 * down[:, None] * across[None, :]
    return brightness.astype(np.float32, copy=False)
