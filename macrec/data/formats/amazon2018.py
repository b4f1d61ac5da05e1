"""Amazon Reviews 2018, and 2014, whose files are alike but for their names and metadata written as Python does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macrec.data.amazon import load_amazon_2018
from macrec.data.dataset import Dataset
from macrec.data.formats.format import Format, existing, only, unpacked


def reviews_of(folder: Path, category: str) -> Path | None:
    """The 5-core of a category, also as earlier releases call it."""
    return existing(folder, f"{category}_5.json", f"reviews_{category}_5.json")


def categories(folder: Path) -> list[str]:
    """The categories whose 5-core is in `folder`."""
    files = [*folder.glob("*_5.json"), *folder.glob("*_5.json.gz")]
    return sorted({unpacked(file).removeprefix("reviews_").removesuffix("_5.json") for file in files})


def find(path: Path) -> Path | None:
    """The folder, or `folder/<C>` for one of its files or the beginning of their names."""
    if path.is_dir():
        return path if categories(path) else None
    named = unpacked(path).removesuffix(".json").removesuffix(".csv")
    named = named.removeprefix("reviews_").removeprefix("meta_").removesuffix("_5")
    return path.with_name(named) if named in categories(path.parent) else None


def load(path: Path | str, **options: Any) -> Dataset:
    """Load the one category in a folder, or that of `folder/<C>`; pictures are those in `images/`, if it is there."""
    path = Path(path)
    folder, category = (path, only(categories(path), path, "category")) if path.is_dir() else (path.parent, path.name)
    if (folder / "images").is_dir():
        options = {"images": folder / "images", **options}
    ratings = existing(folder, f"{category}.csv")
    reviews = reviews_of(folder, category) or folder / f"{category}_5.json"
    meta = existing(folder, f"meta_{category}.json")
    return load_amazon_2018(ratings, reviews, meta, **options)


FORMAT = Format(
    name="amazon2018",
    title="Amazon Reviews 2018 and 2014",
    files="`<C>_5.json[.gz]` (2014: `reviews_<C>_5.json.gz`), "
    "optional `meta_<C>.json[.gz]`, `<C>.csv[.gz]` (all ratings) and `images/`",
    find=find,
    load=load,
)
