"""A catalog of six items, small enough to think about."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from PIL import Image, ImageDraw

from macrec.data.dataset import Dataset, from_events
from macrec.data.images import FolderImages

TITLES = ["Red Guitar", "Acoustic guitar with steel strings", "Blue tea cup", "", "Tea pot for two", "Drum kit"]
BRANDS = ["Larch", None, "Moor", "", "Moor", "Larch"]
CATEGORIES = [["Music", "Guitars"], ["Music", "Guitars"], ["Kitchen"], [], ["Kitchen", "Tea"], ["Music"]]
DESCRIPTIONS = ["An electric guitar.", "", "A cup for tea", None, "A tea pot made of clay...", "Drums for a band"]
COLORS = ["red", "darkred", "blue", "green", None, "gray"]


def picture(color: str, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """A colored ellipse on white."""
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((size[0] // 8, size[1] // 8, size[0] // 2, size[1] - 10), fill=color)
    return image


@pytest.fixture
def catalog(tmp_path: Path) -> Dataset:
    """Six items: item 3 has no text, item 4 no picture."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    files = [None if color is None else f"{row}.png" for row, color in enumerate(COLORS)]
    for color, file in zip(COLORS, files, strict=True):
        if color is not None and file is not None:
            picture(color).save(folder / file)
    names = [f"i{row}" for row in range(len(TITLES))]
    items = pl.DataFrame(
        {
            "item_id": names,
            "title": TITLES,
            "brand": BRANDS,
            "categories": CATEGORIES,
            "description": DESCRIPTIONS,
            "image": files,
        },
        schema_overrides={"categories": pl.List(pl.String)},
    )
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    images = FolderImages(folder, files, names)
    return from_events("toys", events, items, events_file="events", items_file="items", images=images)
