"""Amazon Reviews 2023."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macrec.data.amazon import load_amazon_2023
from macrec.data.dataset import Dataset
from macrec.data.formats.format import Format, existing, only, unpacked


def reviews_of(folder: Path, category: str) -> Path | None:
    """The events of a category: reviews, or ratings only."""
    return existing(folder, f"{category}.jsonl", f"{category}.csv")


def categories(folder: Path) -> list[str]:
    """The categories whose events and metadata are in `folder`."""
    metas = [*folder.glob("meta_*.jsonl"), *folder.glob("meta_*.jsonl.gz")]
    names = {unpacked(file).removeprefix("meta_").removesuffix(".jsonl") for file in metas}
    return sorted(name for name in names if reviews_of(folder, name))


def find(path: Path) -> Path | None:
    """The folder, or `folder/<C>` for one of its files or the beginning of their names."""
    if path.is_dir():
        return path if categories(path) else None
    named = unpacked(path).removesuffix(".jsonl").removesuffix(".csv").removeprefix("meta_")
    return path.with_name(named) if named in categories(path.parent) else None


def load(path: Path | str, **options: Any) -> Dataset:
    """Load the one category in a folder, or that of `folder/<C>`; pictures are those in `images/`, if it is there."""
    path = Path(path)
    folder, category = (path, only(categories(path), path, "category")) if path.is_dir() else (path.parent, path.name)
    if (folder / "images").is_dir():
        options = {"images": folder / "images", **options}
    meta = existing(folder, f"meta_{category}.jsonl") or folder / f"meta_{category}.jsonl"
    return load_amazon_2023(reviews_of(folder, category) or folder / f"{category}.jsonl", meta, **options)


FORMAT = Format(
    name="amazon2023",
    title="Amazon Reviews 2023",
    files="`<C>.jsonl[.gz]` or `<C>.csv[.gz]`, `meta_<C>.jsonl[.gz]`, optional `images/`",
    find=find,
    load=load,
)
