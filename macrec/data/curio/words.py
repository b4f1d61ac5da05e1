"""What a curio item is called: title, brand, category path and description, written from its text factors.

Every level has several wordings and every text several templates. Which ones an item gets is decided by hashing its
`wording` number, one hash per choice, so that choices are independent of each other, of all factors and of row order,
and near-duplicates that share the number share the words.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.curio.vocabulary import BRANDS, CATEGORIES, MATERIALS, PURPOSES, VARIANTS
from macrec.data.dataset import first_true
from macrec.errors import DataError

Levels = NDArray[np.integer]
Wordings = Sequence[Sequence[str]]

PATHS: Mapping[str, tuple[str, str, str]] = {
    "lamp": ("Home", "Lighting", "Lamps"),
    "mug": ("Home", "Tableware", "Mugs"),
    "vase": ("Home", "Decor", "Vases"),
    "teapot": ("Home", "Tableware", "Teapots"),
    "cushion": ("Home", "Textiles", "Cushions"),
    "backpack": ("Accessories", "Bags", "Backpacks"),
    "clock": ("Home", "Decor", "Clocks"),
    "chair": ("Home", "Furniture", "Chairs"),
    "planter": ("Home", "Plants", "Planters"),
    "bottle": ("Home", "Tableware", "Bottles"),
    "notebook": ("Accessories", "Stationery", "Notebooks"),
    "candle": ("Home", "Decor", "Candle Holders"),
}

NOUNS: Mapping[str, tuple[str, ...]] = {
    "lamp": ("Lamp", "Table Lamp", "Bedside Lamp"),
    "mug": ("Mug", "Coffee Mug", "Tea Mug"),
    "vase": ("Vase", "Flower Vase", "Bouquet Vase"),
    "teapot": ("Teapot", "Infuser Teapot", "Family Teapot"),
    "cushion": ("Cushion", "Throw Cushion", "Sofa Cushion"),
    "backpack": ("Backpack", "Rucksack", "Daypack"),
    "clock": ("Clock", "Mantel Clock", "Alarm Clock"),
    "chair": ("Chair", "Side Chair", "Dining Chair"),
    "planter": ("Planter", "Plant Pot", "Flowerpot"),
    "bottle": ("Bottle", "Water Bottle", "Drinking Bottle"),
    "notebook": ("Notebook", "Journal", "Writing Pad"),
    "candle": ("Candle Holder", "Candlestick", "Candle Stand"),
}

# In titles before the noun.
MATERIAL_TITLES: Mapping[str, tuple[str, ...]] = {
    "oak": ("Oak", "Solid Oak", "Oakwood"),
    "bamboo": ("Bamboo", "Pressed Bamboo", "Woven Bamboo"),
    "ceramic": ("Ceramic", "Stoneware", "Porcelain"),
    "glass": ("Glass", "Blown Glass", "Borosilicate"),
    "steel": ("Steel", "Stainless Steel", "Brushed Metal"),
    "enamel": ("Enamel", "Enamelled", "Enamelware"),
    "cotton": ("Cotton", "Organic Cotton", "Canvas"),
    "linen": ("Linen", "Washed Linen", "Flax"),
    "wool": ("Wool", "Merino", "Felted Wool"),
    "leather": ("Leather", "Saddle Leather", "Cowhide"),
}
# In sentences after "made of".
MATERIAL_PHRASES: Mapping[str, tuple[str, ...]] = {
    "oak": ("solid oak", "oiled oakwood", "oak from managed woods"),
    "bamboo": ("pressed bamboo", "fast-growing bamboo", "woven bamboo strips"),
    "ceramic": ("fired stoneware", "glazed ceramic", "fine porcelain", "kiln-fired clay"),
    "glass": ("mouth-blown glass", "thick recycled glass", "heatproof borosilicate"),
    "steel": ("stainless steel", "brushed metal", "rustproof steel"),
    "enamel": ("enamelled iron", "hard-wearing enamel", "old-style enamelware"),
    "cotton": ("organic cotton", "sturdy canvas", "tightly spun cotton"),
    "linen": ("washed linen", "European flax", "stonewashed linen"),
    "wool": ("felted wool", "soft merino", "pure new wool"),
    "leather": ("vegetable-tanned leather", "full-grain cowhide", "saddle leather"),
}

# In titles after "for".
PURPOSE_TITLES: Mapping[str, tuple[str, ...]] = {
    "camping": ("Camping", "Tent Nights", "Campsites"),
    "the office": ("the Office", "Desk Work", "the Workplace"),
    "gifts": ("Gifts", "Giving", "Birthdays"),
    "small kitchens": ("Small Kitchens", "Compact Kitchens", "Galley Kitchens"),
    "travel": ("Travel", "Long Journeys", "Train Rides"),
    "nurseries": ("Nurseries", "Children's Rooms", "Playrooms"),
    "reading corners": ("Reading Corners", "Book Lovers", "Reading Nooks"),
    "garden parties": ("Garden Parties", "Summer Picnics", "Patio Evenings"),
}
# In sentences after "for", and before "in mind".
PURPOSE_PHRASES: Mapping[str, tuple[str, ...]] = {
    "camping": ("camping weekends", "nights in a tent", "life at the campsite"),
    "the office": ("the office", "full days at a desk", "a calm workplace"),
    "gifts": ("gifts", "birthdays and weddings", "giving to a dear friend"),
    "small kitchens": ("small kitchens", "a compact kitchen", "galley kitchens where every shelf counts"),
    "travel": ("travel", "long journeys by train", "suitcases and overnight stays"),
    "nurseries": ("nurseries", "children's rooms", "a busy playroom"),
    "reading corners": ("reading corners", "an hour with a good book", "a quiet reading nook"),
    "garden parties": ("garden parties", "picnics on the lawn", "summer evenings on the patio"),
}

TITLES = ("{brand} {material} {noun}", "{brand} {material} {noun} for {purpose}")

OPENINGS = (
    "This {noun} by {brand} is made of {material} and meant for {purpose}.",
    "Made of {material}, this {noun} is just right for {purpose}.",
    "With {purpose} in mind, {brand} makes this {noun} of {material}.",
    "Thinking of {purpose}? This {noun} is made of {material} and built to last.",
    "{brand} chose {material} for this {noun}. It was designed for {purpose}.",
    "We like this {noun} for {purpose}: it is made of {material} and pleasant to the touch.",
)

# Says nothing about any factor; the first is as likely as each of the others, so some items have no second sentence.
CLOSINGS = (
    "",
    " It arrives ready to use.",
    " A care leaflet is included.",
    " Made in small batches, so each piece differs a little.",
    " Wipe it with a soft cloth from time to time.",
    " Shipped in recyclable packaging.",
    " Covered by a two-year guarantee.",
    " One of our customers' favorites for years.",
)


def describe(factors: pl.DataFrame) -> pl.DataFrame:
    """Write the texts of all items, one row per row of `factors` and in its order.

    `factors` has the integer columns category, brand, material, purpose (levels of the vocabulary), variant (0, or
    which of `VARIANTS` the title carries) and wording (any number; items that share it and all factors share words).
    Returns title, brand, description (String) and categories (List of String). Raises DataError for a missing column
    and for a level that does not exist.
    """
    level = {
        name: levels(factors, name, len(names))
        for name, names in (
            ("category", CATEGORIES),
            ("brand", BRANDS),
            ("material", MATERIALS),
            ("purpose", PURPOSES),
            ("variant", VARIANTS),
        )
    }
    wording = column(factors, "wording").cast(pl.Int64).to_numpy()
    brand = pl.Series("brand", BRANDS)[level["brand"]]
    noun = [NOUNS[name] for name in CATEGORIES]

    title = fill(
        TITLES,
        choice(wording, "title", len(TITLES)),
        brand=brand,
        noun=worded(noun, level["category"], wording, "title noun"),
        material=worded([MATERIAL_TITLES[name] for name in MATERIALS], level["material"], wording, "title material"),
        purpose=worded([PURPOSE_TITLES[name] for name in PURPOSES], level["purpose"], wording, "title purpose"),
    )
    suffix = pl.Series(["", *(f", {variant}" for variant in VARIANTS[1:])])[level["variant"]]
    opening = fill(
        OPENINGS,
        choice(wording, "opening", len(OPENINGS)),
        brand=brand,
        noun=worded(noun, level["category"], wording, "noun").str.to_lowercase(),
        material=worded([MATERIAL_PHRASES[name] for name in MATERIALS], level["material"], wording, "material"),
        purpose=worded([PURPOSE_PHRASES[name] for name in PURPOSES], level["purpose"], wording, "purpose"),
    )
    closing = pl.Series(CLOSINGS)[choice(wording, "closing", len(CLOSINGS))]
    path = pl.Series("categories", [PATHS[name] for name in CATEGORIES], dtype=pl.List(pl.String))
    return pl.DataFrame(
        {
            "title": title + suffix,
            "brand": brand,
            "categories": path[level["category"]],
            "description": opening + closing,
        }
    )


def column(factors: pl.DataFrame, name: str) -> pl.Series:
    """A column that must be there and hold integers only."""
    if name not in factors.columns:
        raise DataError("the column is missing", file="factors", field=name, fix="add it")
    values = factors[name]
    if not values.dtype.is_integer() or values.null_count():
        raise DataError(f"the column holds {values.dtype} or nulls", file="factors", field=name, fix="give integers")
    return values


def levels(factors: pl.DataFrame, name: str, count: int) -> Levels:
    """A factor's column as indices below `count`."""
    values = column(factors, name)
    wrong = (values < 0) | (values >= count)
    if wrong.any():
        row = first_true(wrong)
        raise DataError(
            f"there is no level {values[row]}",
            file="factors",
            row=row + 1,
            field=name,
            fix=f"use 0 to {count - 1}",
        )
    return values.cast(pl.Int64).to_numpy()


def fill(templates: Sequence[str], chosen: Levels, **words: pl.Series) -> pl.Series:
    """Put the words of each row into the template chosen for it; templates name the words in braces."""
    frame = pl.DataFrame(words).with_row_index("row").with_columns(template=pl.Series(chosen))
    written = [
        rows.select("row", text=pl.format(re.sub(r"{\w+}", "{}", template), *re.findall(r"{(\w+)}", template)))
        for number, template in enumerate(templates)
        for rows in [frame.filter(pl.col("template") == number)]
    ]
    return pl.concat(written).sort("row").get_column("text")


def worded(wordings: Wordings, level: Levels, wording: NDArray[np.int64], what: str) -> pl.Series:
    """One of the wordings of each row's level."""
    counts = np.array([len(options) for options in wordings])
    begin = np.cumsum(counts) - counts
    options = pl.Series([option for options in wordings for option in options])
    return options.gather(begin[level] + choice(wording, what, counts[level]))


def choice(wording: NDArray[np.int64], what: str, count: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """A number below `count` for every row, fixed by its `wording` and by what is chosen.

    The hash is the output function of SplitMix64 (Steele, Lea and Flood, 2014), started from a checksum of the name.
    """
    bits = wording.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(zlib.crc32(what.encode()))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return (bits % np.asarray(count, np.uint64)).astype(np.int64)
