"""The levels of every factor of a curio item, by name.

Category is in text and picture alike; brand, material and purpose in the text alone; shape, palette and pattern
in the picture alone. A level is its position in the tuple here; `words` and `pictures` render it.
"""

from __future__ import annotations

CATEGORIES = (
    "lamp",
    "mug",
    "vase",
    "teapot",
    "cushion",
    "backpack",
    "clock",
    "chair",
    "planter",
    "bottle",
    "notebook",
    "candle",
)

# Invented names: easy to say, far enough apart that no two share a beginning of three letters.
BRANDS = (
    "Alvenor",
    "Birkenda",
    "Cassouri",
    "Dovrelle",
    "Eskarin",
    "Fennaby",
    "Galtrico",
    "Hollumet",
    "Ibrenzo",
    "Jarnofel",
    "Kelmonda",
    "Lunquist",
    "Mirrowen",
    "Nobrucci",
    "Ostravel",
    "Pellindor",
    "Quorbin",
    "Rissanta",
    "Sundelio",
    "Tavimark",
    "Ulvenza",
    "Vostrani",
    "Wexamor",
    "Zephilka",
)

MATERIALS = ("oak", "bamboo", "ceramic", "glass", "steel", "enamel", "cotton", "linen", "wool", "leather")

MATERIALS_BY_NAME = {
    "lamp": ("oak", "bamboo", "ceramic", "glass", "steel", "linen"),
    "mug": ("ceramic", "glass", "steel", "enamel", "bamboo"),
    "vase": ("oak", "ceramic", "glass", "steel", "enamel"),
    "teapot": ("ceramic", "glass", "steel", "enamel"),
    "cushion": ("cotton", "linen", "wool", "leather"),
    "backpack": ("cotton", "linen", "wool", "leather"),
    "clock": ("oak", "bamboo", "ceramic", "glass", "steel", "leather"),
    "chair": ("oak", "bamboo", "steel", "cotton", "wool", "leather"),
    "planter": ("oak", "bamboo", "ceramic", "steel", "enamel"),
    "bottle": ("bamboo", "ceramic", "glass", "steel", "enamel"),
    "notebook": ("cotton", "linen", "wool", "leather"),
    "candle": ("oak", "ceramic", "glass", "steel", "enamel"),
}

MATERIALS_OF: tuple[tuple[int, ...], ...] = tuple(
    tuple(MATERIALS.index(material) for material in MATERIALS_BY_NAME[category]) for category in CATEGORIES
)
"""The materials a category comes in: `MATERIALS_OF[category]` holds 4 to 6 levels of `MATERIALS`."""

PURPOSES = (
    "camping",
    "the office",
    "gifts",
    "small kitchens",
    "travel",
    "nurseries",
    "reading corners",
    "garden parties",
)

SHAPES = ("round", "tall", "wide", "tapered", "scalloped", "square")

PALETTES = ("coral", "ocean", "forest", "honey", "plum", "graphite", "blush", "mint")

PATTERNS = ("plain", "stripes", "dots", "checks", "waves", "zigzag", "terrazzo", "bands")

VARIANTS = ("", "Set of 2", "Large", "Mini", "Boxed Edition")
"""What a near-duplicate adds to the title of its original; variant 0 is the original."""
