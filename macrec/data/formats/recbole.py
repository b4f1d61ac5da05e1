"""RecBole's atomic files, whole or as a benchmark that is split already."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from macrec.data.benchmark_files import PART_FILE, load_benchmark
from macrec.data.dataset import Dataset
from macrec.data.formats.format import Format
from macrec.data.recbole import load_recbole


def find(path: Path) -> Path | None:
    """The `.inter` file, or the prefix of a benchmark's three files; LC-Rec's json comes first where both are there."""
    if path.is_file():
        return path if re.search(r"\.inter(\.gz)?$", path.name) else None
    if path.is_dir():
        return path if stems(path, "*") and not any(path.glob("*.inter.json")) else None
    return path if stems(path.parent, path.name) and not path.with_name(f"{path.name}.inter.json").is_file() else None


def stems(folder: Path, stem: str) -> list[str]:
    """The datasets of which there are `.inter` files, alone or in parts."""
    files = [*folder.glob(f"{stem}.inter"), *folder.glob(f"{stem}.inter.gz")]
    files += [file for part in ("train", "valid", "test") for file in folder.glob(f"{stem}.{part}.inter*")]
    names = (re.sub(r"\.inter(\.gz)?$", "", file.name) for file in files)
    return sorted({PART_FILE.sub("", name) for name in names})


def load(path: Path | str, **options: Any) -> Dataset:
    """A benchmark where there are parts of one, else the one file."""
    path = Path(path)
    if path.is_file():
        return load_recbole(path, **options)
    folder, found = (path, stems(path, "*")) if path.is_dir() else (path.parent, [path.name])
    benchmark = [stem for stem in found if any(folder.glob(f"{stem}.train.inter*"))]
    if len(found) == 1 and benchmark:
        return load_benchmark(folder / benchmark[0], **options)
    return load_recbole(path if path.is_dir() else path.with_name(f"{path.name}.inter"), **options)


FORMAT = Format(
    name="recbole",
    title="RecBole",
    files="`<D>.inter`, or `<D>.train.inter`, `<D>.valid.inter` and `<D>.test.inter`, whose split is kept; optional "
    "`<D>.item`",
    find=find,
    load=load,
)
