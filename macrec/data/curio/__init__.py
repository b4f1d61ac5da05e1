"""`curio`, the built-in catalog: synthetic, without a download, and with known true probabilities."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from macrec.data.curio import vocabulary
from macrec.data.curio.oracle import Oracle
from macrec.data.curio.pictures import draw
from macrec.data.curio.shoppers import shop
from macrec.data.curio.words import describe
from macrec.data.curio.world import CROWD_FACTORS, FACTORS, PICTURE_FACTORS, TEXT_FACTORS, Settings, World, build
from macrec.data.dataset import Dataset, item_table
from macrec.data.split import Samples

__all__ = ["FACTORS", "PICTURE_FACTORS", "SIZES", "TEXT_FACTORS", "Curio", "Oracle", "Settings", "curio"]

SIZES: dict[str, dict[str, int]] = {
    "tiny": {"num_items": 160, "num_users": 400},
    "small": {"num_items": 300, "num_users": 1_000},
    "demo": {"num_items": 2_000, "num_users": 4_000},
    "large": {"num_items": 1_000_000, "num_users": 1_250_000},
}
"""Items and users of the named sizes: for tests, for the tour, for `make demo`, and for measuring at scale."""

DRAWING_VERSION = 1
"""Raise it when `pictures.draw` draws anything differently: it is part of the pictures' fingerprint."""


@dataclass(frozen=True, eq=False, repr=False)
class Curio(Dataset):
    """The built-in catalog. `items` also carries the factor table: one column per factor, and `variant_of`.

    The factors `brand`, `material` and `purpose` show only in the text, `shape`, `palette` and `pattern` only in the
    picture, `category` in both, and the hidden factors `crowd_1` to `crowd_3`, where there are any, in neither. `world`
    holds the truth behind the events.
    """

    world: World = dataclasses.field(kw_only=True)

    @cached_property
    def oracle(self) -> Oracle:
        """The best reachable ranking: see `Oracle`."""
        return Oracle(self.world)

    def last_steps(self, samples: Samples) -> NDArray[np.bool_]:
        """Which samples of these histories have the last item of their user as target, `[S]`: some may be cold."""
        return np.isin(samples.target, self.histories.offsets[1:] - 1)

    def oracle_blind_to(self, modality: str) -> Oracle:
        """The oracle without the attributes that only one modality ("image" or "text") shows, and without the hidden
        ones; blind to the "crowd", without the hidden ones alone: all that contents can tell.
        """
        return Oracle(build(self.world.settings, blind_to=modality))


def curio(size: str = "demo", seed: int = 0, picture_size: int = 96, **settings: Any) -> Curio:
    """Generate the catalog of a named size; equal arguments give an equal catalog, byte for byte.

    `settings` override fields of `Settings` (num_items, num_users, variants, no_picture, no_description, popularity,
    liking, complement, hidden, cold, cold_last, mean_length, min_length, max_length). Pictures are drawn when they are
    opened, at `picture_size` pixels. Raises ValueError for an unknown size or setting.
    """
    if size not in SIZES:
        raise ValueError(f"unknown size {size!r}; choose one of {', '.join(SIZES)}")
    known = {field.name for field in dataclasses.fields(Settings)} - {"seed"}
    for name in settings:
        if name not in known:
            raise ValueError(f"unknown setting {name!r}; known settings: {', '.join(sorted(known))}")
    world = build(Settings(**{**SIZES[size], **settings}, seed=seed))
    n = world.settings.num_items
    changed = [f"{name}={value}" for name, value in settings.items()]
    return Curio(
        name="curio" if size == "demo" else f"curio-{size}",
        items=item_table(item_frame(world), file="curio"),
        histories=shop(world),
        user_ids=pl.select(pl.format("shopper-{}", pl.int_range(world.settings.num_users))).to_series(),
        images=DrawnImages(world, picture_size),
        source=", ".join([f"built in: curio, size {size} ({n:,} items), seed {seed}", *changed]),
        world=world,
    )


def item_frame(world: World) -> pl.DataFrame:
    """Titles, descriptions and the factor table, one row per item."""
    coded = pl.DataFrame({**world.factors, "variant": world.variant})
    words = describe(coded.with_columns(wording=pl.Series(world.original, dtype=pl.Int64)))
    row = pl.int_range(len(coded))
    ids = pl.format("curio-{}", row.cast(pl.String).str.zfill(6))
    names = {
        "category": vocabulary.CATEGORIES,
        "material": vocabulary.MATERIALS,
        "purpose": vocabulary.PURPOSES,
        "palette": vocabulary.PALETTES,
        "pattern": vocabulary.PATTERNS,
        "shape": vocabulary.SHAPES,
    }
    factors = [pl.Series(name, levels)[world.factors[name]].alias(name) for name, levels in names.items()]
    factors += [pl.Series(name, world.factors[name]) for name in CROWD_FACTORS.values() if name in world.factors]
    original = pl.Series("variant_of", world.original)
    return (
        words.with_columns(
            item_id=ids,
            description=pl.when(pl.Series(world.has_description)).then(pl.col("description")).otherwise(pl.lit("")),
            image=pl.when(pl.Series(world.has_picture)).then(pl.format("{}.webp", ids)).otherwise(None),
        )
        .with_columns(*factors)
        .with_columns(
            variant_of=pl.when(original != row).then(pl.format("curio-{}", original.cast(pl.String).str.zfill(6)))
        )
    )


class DrawnImages:
    """Pictures that are drawn when they are opened."""

    def __init__(self, world: World, size: int) -> None:
        self.size = size
        self.present: NDArray[np.bool_] = world.has_picture
        self.factors = np.stack([world.factors[name] for name in ("category", *PICTURE_FACTORS)], axis=1)
        self.seed = world.settings.seed

    def open(self, row: int) -> Image.Image:
        """Draw one picture."""
        if not self.present[row]:
            raise KeyError(f"item {row} has no picture")
        category, shape, palette, pattern = (int(level) for level in self.factors[row])
        return draw(category, shape, palette, pattern, seed=self.seed * 1_000_003 + row, size=self.size)

    def content_keys(self) -> list[bytes | None]:
        """What determines each picture; as every picture has its own seed, no two are byte-identical."""
        return [
            b"%d" % row + factors.tobytes() if present else None
            for row, (present, factors) in enumerate(zip(self.present, self.factors, strict=True))
        ]

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything the drawing depends on."""
        head = json.dumps([DRAWING_VERSION, self.size, self.seed]).encode()
        digest = hashlib.blake2b(head, digest_size=16)
        digest.update(self.present.tobytes())
        digest.update(self.factors[self.present].tobytes())
        return digest.hexdigest()
