from __future__ import annotations

import polars as pl
import pytest

from macrec.data.formats.movielens import GENRES_100K, load_movielens, natural_title
from macrec.errors import DataError


@pytest.mark.parametrize(
    ("listed", "natural"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Toy Story (1995)", "Toy Story (1995)"),
        ("American President, The", "The American President"),
        ("City of Lost Children, The (Cité des enfants perdus, La) (1995)",)
        + ("The City of Lost Children (Cité des enfants perdus, La) (1995)",),
        ("Good, The Bad and The Ugly, The (1966)", "The Good, The Bad and The Ugly (1966)"),
        ("Enfer, L' (1994)", "L'Enfer (1994)"),
        ("Me, Myself & Irene (2000)", "Me, Myself & Irene (2000)"),
        ("Misérables, Les (1995) ", "Les Misérables (1995)"),
    ],
)
def test_articles_come_back_to_the_front(listed, natural):
    assert pl.select(natural_title(pl.lit(listed))).item() == natural


def write_100k(folder):
    (folder / "u.data").write_text("7\t2\t3\t200\n7\t1\t5\t100\n9\t1\t1\t50\n7\t3\t1\t100\n")
    flags = {1: ["Drama", "War"], 2: ["unknown"], 3: ["Film-Noir"]}
    rows = [
        f"{number}|Amélie {number}, The (199{number})|01-Jan-1995||http://x|"
        + "|".join("1" if genre in flags[number] else "0" for genre in GENRES_100K)
        for number in flags
    ]
    (folder / "u.item").write_text("\n".join(rows) + "\n", encoding="latin-1")


def write_1m(folder):
    (folder / "ratings.dat").write_text("7::2::3::200\n7::1::5::100\n9::1::1::50\n7::3::1::100\n")
    movies = "1::The Amélie 1 (1991)::Drama|War\n2::Amélie 2, The (1992)::(no genres listed)\n"
    (folder / "movies.dat").write_text(movies + "3::Amélie 3, The (1993)::Film-Noir\n", encoding="latin-1")


def write_csv(folder):
    rows = "7,2,3.5,200\n7,1,5.0,100\n9,1,1.0,50\n7,3,1.0,100\n"
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    movies = '1,"Amélie 1, The (1991)",Drama|War\n2,"Amélie 2, The (1992)",(no genres listed)\n'
    (folder / "movies.csv").write_text(
        "movieId,title,genres\n" + movies + '3,"Amélie 3, The (1993)",Film-Noir\n', encoding="utf-8"
    )


@pytest.mark.parametrize("write", [write_100k, write_1m, write_csv])
def test_the_three_releases_read_alike(tmp_path, write):
    write(tmp_path)
    dataset = load_movielens(tmp_path)
    assert dataset.items.select("item_id", "title", "categories", "year").rows() == [
        ("1", "The Amélie 1 (1991)", ["Drama", "War"], 1991),
        ("2", "The Amélie 2 (1992)", [], 1992),
        ("3", "The Amélie 3 (1993)", ["Film-Noir"], 1993),
    ]
    assert dataset.user_ids.to_list() == ["7", "9"]
    assert [history.tolist() for history in dataset.histories] == [[0, 2, 1], [0]]
    assert dataset.histories.timestamps.tolist() == [100, 100, 200, 50]


@pytest.mark.parametrize(
    ("write", "line", "row"),
    [(write_1m, "9::8::1::1", "ratings.dat, row 5"), (write_csv, "9,8,1,1", "ratings.csv, row 6")],
)
def test_unknown_movie_names_the_row(tmp_path, write, line, row):
    """As an editor counts lines: the header is the first."""
    write(tmp_path)
    with next(tmp_path.glob("ratings.*")).open("a") as stream:
        stream.write(f"{line}\n")
    with pytest.raises(DataError, match=rf'{row}, field "item_id": the item "8" of user "9"'):
        load_movielens(tmp_path)


def test_a_folder_without_ratings_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of u.data, ratings.dat, ratings.csv"):
        load_movielens(tmp_path / "nowhere")


def test_ml_100k_written_as_grouplens_does_equals_the_parquet(shared_data, tmp_path):
    events = pl.read_parquet(shared_data / "ml100k_posters" / "interactions.parquet")
    items = pl.read_parquet(shared_data / "ml100k_posters" / "items.parquet")
    columns = events.select("user_id", "item_id", pl.col("rating").cast(pl.Int32), "timestamp")
    columns.write_csv(tmp_path / "u.data", separator="\t", include_header=False)
    flags = [pl.col("categories").list.contains(genre).cast(pl.Int8).alias(genre) for genre in GENRES_100K]
    empty = [pl.lit("").alias(name) for name in ("released", "video", "imdb")]
    raw = items.select("item_id", "title_raw", *empty, *flags)
    text = raw.write_csv(None, separator="|", include_header=False, quote_style="never")
    (tmp_path / "u.item").write_text(text, encoding="latin-1")
    dataset = load_movielens(tmp_path)
    assert (dataset.num_users, dataset.num_items, dataset.num_events) == (943, 1682, 100_000)
    ours = dataset.items["title"].str.replace(r" \(\d{4}\)$", "")
    assert (ours == items["title"]).sum() >= 1650


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_titles_of_ml_1m_in_either_encoding(tmp_path, encoding):
    (tmp_path / "ratings.dat").write_text("1::2::5::7\n1::3::5::8\n")
    (tmp_path / "movies.dat").write_bytes("2::Misérables, Les (1995)::Drama\n3::X::\n".encode(encoding))
    dataset = load_movielens(tmp_path)
    assert dataset.items.select("title", "categories").rows() == [("Les Misérables (1995)", ["Drama"]), ("X", [])]


def test_a_rating_nobody_needs_blocks_nothing(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,,7\n1,3,good,8\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\n2,"""Great"" One, The (1999)",Drama\n3,X,\n')
    dataset = load_movielens(tmp_path)
    assert dataset.items["title"].to_list() == ['The "Great" One (1999)', "X"]
    assert dataset.histories[0].tolist() == [0, 1]
