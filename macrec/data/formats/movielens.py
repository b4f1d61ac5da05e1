"""MovieLens as GroupLens publishes it: ml-100k, ml-1m and the CSV releases (ml-latest, ml-20m, ml-25m, ml-32m)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from macrec.data.dataset import Dataset, from_events
from macrec.data.formats.format import Format
from macrec.data.reading.delimited import read_csv
from macrec.data.reading.ordering import chronological
from macrec.errors import DataError

# fmt: off
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)
# fmt: on
ARTICLES = "The|A|An|Le|La|Les|Un|Une|Il|Lo|I|Gli|El|Los|Las|Der|Die|Das|Ein|Eine|De|Det|Den|En|Os|O"


class Release(NamedTuple):
    """One way the files are laid out; `separator` is that of the ratings."""

    ratings: str
    movies: str
    separator: str
    header: bool
    read_movies: Callable[[Path], pl.DataFrame]


def load_movielens(folder: Path | str, *, name: str | None = None) -> Dataset:
    """Load a MovieLens folder, recognized by its files. Every rating counts as an event, every listed movie is an item.

    Histories are in the order of time, ties in file order. "Matrix, The (1999)" becomes the title "The Matrix (1999)";
    genres become `categories`, and the column `year` (null where unknown) is added.
    """
    folder = Path(folder)
    release = next((release for release in RELEASES if (folder / release.ratings).is_file()), None)
    if release is None:
        names = ", ".join(release.ratings for release in RELEASES)
        raise DataError(f"none of {names} is in the folder", file=folder, fix="check the path, or unpack the archive")
    ratings_file, movies_file = folder / release.ratings, folder / release.movies
    columns = {"userId": pl.String, "movieId": pl.String, "rating": pl.String, "timestamp": pl.Int64}
    frames = read_csv(
        ratings_file,
        columns,
        header=release.header,
        required=["userId", "movieId", "timestamp"],
        separator=release.separator,
        quoted=False,
    )
    events = pl.concat(frame.drop("rating") for frame in frames).rename({"userId": "user_id", "movieId": "item_id"})
    items = release.read_movies(movies_file).with_columns(
        natural_title(pl.col("title")), year=pl.col("title").str.extract(r"\((\d{4})\)\s*$").cast(pl.Int16)
    )
    ordered = chronological(
        events,
        items["item_id"],
        by="timestamp",
        events_file=ratings_file,
        items_file=movies_file,
        first_row=2 if release.header else 1,
    )
    name = name or folder.resolve().name
    return from_events(
        name, ordered, items, events_file=ratings_file, items_file=movies_file, source=f"MovieLens {name}"
    )


def natural_title(title: pl.Expr) -> pl.Expr:
    """Put the article of "Matrix, The (1999)" back in front; what stands in brackets stays behind."""
    title = title.str.strip_chars()
    title = title.str.replace(rf"^(.+?), ({ARTICLES})((?:\s*\([^)]*\))*)$", "$2 $1$3")
    return title.str.replace(r"^(.+?), ([LD]')((?:\s*\([^)]*\))*)$", "$2$1$3")


def movies_100k(file: Path) -> pl.DataFrame:
    """`u.item`: id, title, dates, address and one column of 0 or 1 per genre."""
    fields = {"item_id": pl.String, "title": pl.String, "released": pl.String, "video": pl.String, "imdb": pl.String}
    flags = dict.fromkeys(GENRES_100K, pl.Int64)
    needed = ["item_id", *flags]
    frames = read_csv(
        file, {**fields, **flags}, header=False, separator="|", quoted=False, encoding="latin-1", required=needed
    )
    genres = pl.concat_list(pl.when(pl.col(genre) == 1).then(pl.lit(genre)) for genre in GENRES_100K[1:])
    return pl.concat(frames).select("item_id", "title", categories=genres.list.drop_nulls())


def movies_1m(file: Path) -> pl.DataFrame:
    """`movies.dat`: id::title::Genre|Genre in Latin-1, or in UTF-8 as later copies have it."""
    fields = {"item_id": pl.String, "title": pl.String, "genres": pl.String}
    frames = read_csv(
        file, fields, header=False, required=["item_id"], separator="::", quoted=False, encoding="latin-1"
    )
    return split_genres(pl.concat(frames))


def movies_csv(file: Path) -> pl.DataFrame:
    """`movies.csv`: movieId,title,genres in UTF-8."""
    fields = {"movieId": pl.String, "title": pl.String, "genres": pl.String}
    frames = read_csv(file, fields, header=True, required=["movieId"])
    return split_genres(pl.concat(frames).rename({"movieId": "item_id"}))


def split_genres(movies: pl.DataFrame) -> pl.DataFrame:
    """Genres as a list; "(no genres listed)" is an empty one."""
    genres = pl.when(pl.col("genres") != "(no genres listed)").then(pl.col("genres").str.split("|"))
    return movies.select("item_id", "title", categories=genres)


RELEASES = (
    Release("u.data", "u.item", "\t", False, movies_100k),
    Release("ratings.dat", "movies.dat", "::", False, movies_1m),
    Release("ratings.csv", "movies.csv", ",", True, movies_csv),
)


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
