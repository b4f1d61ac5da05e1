"""The hidden model of the catalog: item attributes, preferences of users, and complements.

The probability that a user of taste z, who has just taken item i, takes item j next is

    p(j | i, z)  ∝  complement(cell(i), cell(j)) · popularity(j) · liking(z, j),      j not taken before.

Half of each part is written only in the text and half only in the picture, so that neither modality is enough:

|            | only the text shows it | only the picture shows it | both show it |
|------------|------------------------|---------------------------|--------------|
| complement | purpose                | palette                   | category     |
| liking     | brand, material        | shape, pattern            |              |

With `hidden` some of the complement rules run over factors that neither shows, `crowd_1` to `crowd_3`: what people do
tells them, and nothing else. The first takes the place of the palette, the second of the purpose, the third of the
category.

With `cold` a share of the items is taken by a last step only, the test target of leave-one-out:

    p(last | i, z)  =  (1 - cold_last) · p(j | i, z) over the other items  +  cold_last · p(j | i, z) over cold items,

each law normalized over its own. All other steps are over the items that are not cold.

A *cell* is one combination of the levels that the three rules run over: category, purpose and palette. A *taste* is a
pair (text taste, picture taste). Both are few, so that everything is exact: the next-item probabilities, and the
posterior over the taste given a history.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio.vocabulary import (
    BRANDS,
    CATEGORIES,
    MATERIALS,
    MATERIALS_OF,
    PALETTES,
    PATTERNS,
    PURPOSES,
    SHAPES,
    VARIANTS,
)

Floats = NDArray[np.float64]

FACTORS = ("category", "brand", "material", "purpose", "shape", "palette", "pattern")
TEXT_FACTORS = ("brand", "material", "purpose")
PICTURE_FACTORS = ("shape", "palette", "pattern")
CROWD_FACTORS = {"palette": "crowd_1", "purpose": "crowd_2", "category": "crowd_3"}
"""What the rule over each factor runs over instead where it is hidden; `Settings.hidden` hides the first of them."""

RULES = {"category": len(CATEGORIES), "purpose": len(PURPOSES), "palette": len(PALETTES)}
"""The factors with a complement rule, and their levels."""


@dataclass(frozen=True)
class Settings:
    """The settings of a catalog.

    Shares are of all items: `variants` are near-duplicates of another item, `no_picture` and `no_description` lack one.
    `popularity` is the standard deviation of log-popularity. `liking` is the log-weight that a liked factor level adds,
    `complement` the share of moves that follow the complement rules of one factor (the rest moves anywhere).
    `cold` is the share of items that only a last step may take, and `cold_last` the share of last steps that take one.
    So many complement rules are `hidden`, 0 to 3: they run over factors that neither text nor picture shows.
    `mean_length` events per user before histories are cut at `max_length`; none is shorter than `min_length`.
    """

    num_items: int
    num_users: int
    seed: int = 0
    variants: float = 0.08
    no_picture: float = 0.05
    no_description: float = 0.10
    popularity: float = 0.8
    liking: float = 1.2
    complement: float = 0.8
    hidden: int = 0
    cold: float = 0.0
    cold_last: float = 0.25
    mean_length: float = 8.0
    min_length: int = 4
    max_length: int = 40

    def __post_init__(self) -> None:
        for name in ("variants", "no_picture", "no_description", "cold", "cold_last"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be a share from 0 to below 1, got {getattr(self, name)}")
        if not 0 <= self.complement < 1:
            raise ValueError(f"complement must be from 0 to below 1, got {self.complement}")
        if self.hidden not in range(len(CROWD_FACTORS) + 1):
            raise ValueError(f"hidden must be a whole number from 0 to {len(CROWD_FACTORS)}, got {self.hidden}")
        if not 1 <= self.min_length <= self.mean_length < self.max_length:
            raise ValueError("1 <= min_length <= mean_length < max_length must hold")
        if self.cold and self.min_length < 3:
            raise ValueError(f"with cold items min_length must be at least 3, as a test needs, got {self.min_length}")
        if self.num_items - self.num_cold < 2 * self.max_length:
            but = f" without the {self.num_cold} cold ones" if self.num_cold else ""
            raise ValueError(
                f"num_items must be at least {2 * self.max_length} (twice max_length){but}, got {self.num_items}"
            )
        if self.num_users < 1:
            raise ValueError(f"num_users must be at least 1, got {self.num_users}")

    @property
    def num_cold(self) -> int:
        """Cold items: one at least where there is to be a share of them."""
        return max(1, round(self.cold * self.num_items)) if self.cold else 0


@dataclass(frozen=True, eq=False)
class World:
    """The model of one catalog: N items, C cells that hold an item, Z tastes.

    `factors`: one int8 `[N]` array per name in `FACTORS`, and per hidden factor. `original` `[N]` int32: the row
    itself, or for a near-duplicate the row it repeats; `variant` `[N]` int8: 0, or which variant label it carries.
    `has_picture`, `has_description` `[N]` bool. `cell` `[N]` int32. `weight` `[Z, N]`: popularity times liking, 0 for
    cold items, rows summing to 1. `last_weight` `[Z, N]`: the same of cold items, 0 for the others; None without any.
    `complement` `[C, C]`: weight of a move between cells.
    """

    settings: Settings
    factors: dict[str, NDArray[np.int8]]
    original: NDArray[np.int32]
    variant: NDArray[np.int8]
    has_picture: NDArray[np.bool_]
    has_description: NDArray[np.bool_]
    cell: NDArray[np.int32]
    weight: Floats
    complement: Floats
    last_weight: Floats | None = None

    @property
    def cold(self) -> NDArray[np.bool_]:
        """Which items only a last step may take, `[N]`."""
        cold: NDArray[np.bool_] = self.weight[0] == 0
        return cold

    @property
    def last_law(self) -> World | None:
        """The same world with the cold items in place of the others, by whose law `cold_last` of the last steps go."""
        return None if self.last_weight is None else replace(self, weight=self.last_weight, last_weight=None)

    @property
    def num_tastes(self) -> int:
        """Z."""
        return len(self.weight)

    @property
    def cell_mass(self) -> Floats:
        """`[Z, C]`: the weight of all items of a cell together, for each taste."""
        cells = len(self.complement)
        return np.stack([np.bincount(self.cell, weights=row, minlength=cells) for row in self.weight])


def build(settings: Settings, blind_to: str | None = None) -> World:
    """Draw the catalog of `settings`; equal settings give an equal catalog.

    `blind_to` ("text" or "image") gives the same world without the attributes that only this modality
    shows, and without the hidden factors: the rules and preferences over them are flat. Blind to the "crowd", only the
    rules over hidden factors are flat, so text and picture together show the rest. Only an oracle uses it. Raises
    ValueError for another word.
    """
    if blind_to not in (None, "text", "image", "crowd"):
        raise ValueError(f'one can be blind to "text", "image" or "crowd", not to {blind_to!r}')
    # One stream per question, so that asking for more variants does not repaint every item.
    item_rng, gap_rng, taste_rng, rule_rng, crowd_rng, cold_rng = np.random.default_rng(settings.seed).spawn(6)
    factors, original, variant = draw_items(settings, item_rng)
    runs_over = {name: name for name in RULES} | dict(list(CROWD_FACTORS.items())[: settings.hidden])
    crowds = {name: crowd_rng.integers(RULES[shown], size=settings.num_items) for shown, name in CROWD_FACTORS.items()}
    # A near-duplicate has a crowd of its own: otherwise its text and picture would tell that of its original.
    factors |= {name: crowd.astype(np.int8) for name, crowd in crowds.items() if name in runs_over.values()}
    has_picture = gap_rng.random(settings.num_items) >= settings.no_picture
    has_description = gap_rng.random(settings.num_items) >= settings.no_description
    popularity = np.exp(settings.popularity * gap_rng.standard_normal(settings.num_items))

    text = likings({"brand": (len(BRANDS), 5), "material": (len(MATERIALS), 3)}, taste_rng)
    picture = likings({"shape": (len(SHAPES), 2), "pattern": (len(PATTERNS), 2)}, taste_rng)
    seen = [liked for name, liked in (("text", text), ("image", picture)) if name != blind_to]
    weight = popularity * np.exp(settings.liking * combine(seen, factors))
    last_weight = None
    if settings.num_cold:
        cold = cold_rng.permutation(settings.num_items)[: settings.num_cold]
        last_weight = np.zeros_like(weight)
        last_weight[:, cold] = weight[:, cold]
        last_weight /= last_weight.sum(1, keepdims=True)
        weight[:, cold] = 0.0

    rules = {name: complement_rule(levels, settings.complement, rule_rng) for name, levels in RULES.items()}
    unknown = {"text": {"purpose"}, "image": {"palette"}}.get(blind_to or "", set())
    for name, rule in rules.items():
        if runs_over[name] in unknown or (blind_to and runs_over[name] in crowds):
            rules[name] = np.full_like(rule, 1 / len(rule))
    levels = np.stack([factors[runs_over[name]] for name in rules], axis=1).astype(np.int64)
    used, cell = np.unique(levels, axis=0, return_inverse=True)
    complement = np.ones((len(used), len(used)))
    for column, rule in zip(used.T, rules.values(), strict=True):
        complement *= rule[column[:, None], column[None, :]]
    return World(
        settings,
        factors,
        original,
        variant,
        has_picture,
        has_description,
        cell.reshape(-1).astype(np.int32),
        weight / weight.sum(1, keepdims=True),
        complement,
        last_weight,
    )


def draw_items(
    settings: Settings, rng: np.random.Generator
) -> tuple[dict[str, NDArray[np.int8]], NDArray[np.int32], NDArray[np.int8]]:
    """Draw the factor table; near-duplicates take over every factor of their original."""
    n = settings.num_items
    category = rng.integers(len(CATEGORIES), size=n)
    # Brands have market shares; every other factor is level, and independent of all but the category.
    shares = rng.dirichlet(np.full(len(BRANDS), 5.0))
    allowed = np.array([len(MATERIALS_OF[c]) for c in range(len(CATEGORIES))])
    table = np.zeros((len(CATEGORIES), allowed.max()), np.int64)
    for c, materials in enumerate(MATERIALS_OF):
        table[c, : len(materials)] = materials
    drawn = {
        "category": category,
        "brand": rng.choice(len(BRANDS), size=n, p=shares),
        "material": table[category, rng.integers(allowed[category])],
        "purpose": rng.integers(len(PURPOSES), size=n),
        "shape": rng.integers(len(SHAPES), size=n),
        "palette": rng.integers(len(PALETTES), size=n),
        "pattern": rng.integers(len(PATTERNS), size=n),
    }
    original = np.arange(n, dtype=np.int32)
    variant = np.zeros(n, np.int8)
    repeats = rng.permutation(n)[: round(settings.variants * n)]
    sources = np.setdiff1d(original, repeats)
    original[repeats] = rng.choice(sources, size=len(repeats))
    variant[repeats] = rng.integers(1, len(VARIANTS), size=len(repeats))
    return {name: values[original].astype(np.int8) for name, values in drawn.items()}, original, variant


TASTES = 6
"""Tastes in each modality; a user has one of each, so Z is its square."""


def likings(liked: dict[str, tuple[int, int]], rng: np.random.Generator) -> dict[str, NDArray[np.bool_]]:
    """The preferences of tastes: for every factor (levels, how many a taste likes), a mask `[TASTES, levels]`.

    Tastes take turns through one shuffled deck, so that every level is liked about equally often.
    """
    masks = {}
    for name, (levels, how_many) in liked.items():
        deck = rng.permutation(levels)
        turns = np.arange(TASTES)[:, None] * how_many + np.arange(how_many)
        masks[name] = np.zeros((TASTES, levels), bool)
        np.put_along_axis(masks[name], deck[turns % levels], True, axis=1)
    return masks


def combine(seen: list[dict[str, NDArray[np.bool_]]], factors: dict[str, NDArray[np.int8]]) -> Floats:
    """How many of its liked levels each taste finds in each item, `[Z, N]`; Z pairs up the tastes of all modalities."""
    total = np.zeros((1, len(factors["category"])))
    for masks in seen:
        matches = np.sum([mask[:, factors[name]] for name, mask in masks.items()], axis=0)
        total = (total[:, None] + matches[None, :]).reshape(-1, matches.shape[1])
    return total


def complement_rule(levels: int, share: float, rng: np.random.Generator) -> Floats:
    """Weights of moving from one level to another, `[levels, levels]`, rows summing to 1.

    Two thirds of `share` go to the level's first complement, one third to its second, the rest to all levels alike. The
    complements are steps along one random cycle, so that every level is as often a complement as it has one.
    """
    cycle = rng.permutation(levels)
    rule = np.full((levels, levels), (1 - share) / levels)
    rule[cycle, np.roll(cycle, -1)] += share * 2 / 3
    rule[cycle, np.roll(cycle, -2)] += share / 3
    return rule
