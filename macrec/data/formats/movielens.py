"""MovieLens as GroupLens releases it."""

from __future__ import annotations

from pathlib import Path

from macrec.data.formats.format import Format
from macrec.data.movielens import RELEASES, load_movielens


def find(path: Path) -> Path | None:
    """The folder of the ratings."""
    names = [release.ratings for release in RELEASES]
    folder = path.parent if path.name in names else path
    return folder if any((folder / name).is_file() for name in names) else None


FORMAT = Format(
    name="movielens",
    title="MovieLens",
    files=f"{' or '.join(f'`{release.ratings}`' for release in RELEASES)} and the file of movies, as released",
    find=find,
    load=load_movielens,
)
