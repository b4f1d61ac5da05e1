"""One door to all loaders: `load_dataset` looks at a folder, says what layout it is and loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from macrec.data.amazon import load_amazon_2018, load_amazon_2023
from macrec.data.dataset import Dataset
from macrec.data.lcrec import load_lcrec
from macrec.data.movielens import RELEASES, load_movielens
from macrec.data.parquet import EVENT_FILES, load_parquet
from macrec.data.recbole import load_recbole
from macrec.errors import DataError

LAYOUTS = {
    "parquet": " or ".join(EVENT_FILES),
    "LC-Rec json": "<D>.inter.json",
    "RecBole": "<D>.inter",
    "MovieLens": " or ".join(release.ratings for release in RELEASES),
    "Amazon 2018": "meta_<C>.json[.gz] with <C>_5.json[.gz] and <C>.csv[.gz]",
    "Amazon 2023": "meta_<C>.jsonl[.gz] with <C>.jsonl[.gz] or <C>.csv[.gz]",
}


def load_dataset(path_or_name: Path | str, **options: Any) -> Dataset:
    """Load the built-in catalog ("curio", "curio:tiny", "curio:demo:7": size and seed) or whatever lies at a path.

    A folder is recognized by the files in `LAYOUTS`, in that order; an `.inter.json` or `.inter` file and a prefix
    `folder/<D>` work too. In an Amazon folder the pictures are those in `images/`, if it is there. `options` go to the
    loader. Raises DataError when nothing is there or nothing is recognized.
    """
    if isinstance(path_or_name, str) and path_or_name.partition(":")[0] == "curio":
        return built_in(path_or_name, options)
    path = Path(path_or_name)
    if not str(path_or_name).strip():
        raise DataError("the name of the dataset is empty", fix='give a path, or "curio" for the built-in catalog')
    if path.name.endswith(".inter.json") or (not path.is_dir() and path.with_name(f"{path.name}.inter.json").is_file()):
        return load_lcrec(path, **options)
    if path.name.endswith((".inter", ".inter.gz")):
        return load_recbole(path, **options)
    if not path.exists():
        fix = 'check the path, or use the built-in catalog "curio"'
        raise DataError("there is no such file or folder", file=path, fix=fix)
    if path.is_dir():
        if any((path / file).is_file() for file in EVENT_FILES):
            return load_parquet(path, **options)
        if any(path.glob("*.inter.json")):
            return load_lcrec(path, **options)
        if any(path.glob("*.inter")) or any(path.glob("*.inter.gz")):
            return load_recbole(path, **options)
        if any((path / release.ratings).is_file() for release in RELEASES):
            return load_movielens(path, **options)
        if (amazon := load_amazon(path, options)) is not None:
            return amazon
    looked = "; ".join(f"{layout}: {files}" for layout, files in LAYOUTS.items())
    raise DataError(f"the layout is not known (looked for {looked})", file=path, fix="call the fitting loader yourself")


def built_in(name: str, options: dict[str, Any]) -> Dataset:
    """The built-in catalog that `curio[:SIZE[:SEED]]` means."""
    from macrec.data.curio import SIZES, curio

    _, size, seed = (name.split(":") + ["", ""])[:3]
    if name.count(":") > 2 or size not in (*SIZES, "") or not (seed.isdecimal() or not seed):
        fix = f"write curio[:SIZE[:SEED]] with SIZE one of {', '.join(SIZES)} and a whole number as SEED"
        raise DataError(f'there is no built-in catalog "{name}"', fix=fix)
    return curio(size or "demo", **({"seed": int(seed)} if seed else {}), **options)


def load_amazon(folder: Path, options: dict[str, Any]) -> Dataset | None:
    """Load a folder with the files of one Amazon category, or return None when there is none."""
    if (folder / "images").is_dir():
        options = {"images": folder / "images", **options}
    for meta in sorted(folder.glob("meta_*.json*")):
        category, _, kind = meta.name.removeprefix("meta_").removesuffix(".gz").rpartition(".")

        def there(*names: str) -> Path | None:
            files = (folder / f"{name}{suffix}" for name in names for suffix in ("", ".gz"))
            return next((file for file in files if file.is_file()), None)

        if kind == "json":
            ratings, reviews = there(f"{category}.csv"), there(f"{category}_5.json")
            if ratings and reviews:
                return load_amazon_2018(ratings, reviews, meta, **options)
        elif reviews := there(f"{category}.jsonl", f"{category}.csv"):
            return load_amazon_2023(reviews, meta, **options)
    return None
