from __future__ import annotations

import importlib.util
import re
import unicodedata
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from macrec.data.dataset import Dataset, from_events
from macrec.encoders import EmbeddingStore, SentenceTransformerEncoder, TfidfEncoder, item_texts, sentence_transformer
from macrec.encoders.distinct import confused, confusion_note
from macrec.encoders.fields import text_lengths
from macrec.encoders.latent_space import LatentSpace, random_signs, signature
from macrec.encoders.words import normalized
from macrec.errors import DataError

WORDS = st.text(alphabet="ab .\n\té", max_size=8)


def texts_only(titles: list[str], descriptions: list[str] | None = None) -> Dataset:
    items = pl.DataFrame(
        {
            "item_id": [f"i{row}" for row in range(len(titles))],
            "title": titles,
            "description": descriptions or [""] * len(titles),
        }
    )
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    return from_events("texts", events, items, events_file="events", items_file="items")


def test_item_texts_join_the_fields_that_are_not_empty(catalog: Dataset) -> None:
    assert item_texts(catalog) == [
        "Red Guitar. Larch. Music, Guitars. An electric guitar",
        "Acoustic guitar with steel strings. Music, Guitars",
        "Blue tea cup. Moor. Kitchen. A cup for tea",
        "",
        "Tea pot for two. Moor. Kitchen, Tea. A tea pot made of clay",
        "Drum kit. Larch. Music. Drums for a band",
    ]
    assert item_texts(catalog, ("brand", "title"), np.array([5, 3, 1])) == [
        "Larch. Drum kit",
        "",
        "Acoustic guitar with steel strings",
    ]


@pytest.mark.slow
@given(st.lists(st.tuples(WORDS, WORDS), min_size=1, max_size=5))
def test_item_texts_agree_with_plain_python(rows: list[tuple[str, str]]) -> None:
    def cleaned(value: str) -> str:
        return re.sub(r"\s+", " ", value).lstrip(" ").rstrip(" .")

    dataset = texts_only([title for title, _ in rows], [description for _, description in rows])
    expected = [". ".join(filter(None, map(cleaned, row))) for row in rows]
    assert item_texts(dataset, ("title", "description")) == expected
    assert text_lengths(dataset, ("title", "description")).tolist() == list(map(len, expected))


@pytest.mark.parametrize("fields", [("title", "price"), (), ("title", "title"), ("item_id",)])
def test_fields_that_are_no_text_columns_are_refused(catalog: Dataset, fields: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="title, brand, categories, description"):
        item_texts(catalog, fields)
    with pytest.raises(DataError, match="cannot be encoded"):
        TfidfEncoder(fields=fields)


# ------------------------------------------------------------------------------------------------------- TF-IDF


def prepared(encoder: TfidfEncoder, dataset: Dataset) -> TfidfEncoder:
    encoder.prepare(dataset)
    return encoder


def test_the_meaning_equals_the_scikit_learn_pipeline(catalog: Dataset) -> None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline

    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, token_pattern=r"\w+"),
        TruncatedSVD(4, random_state=3),
    )
    space = LatentSpace.of(item_texts(catalog), 4, min_df=2, max_features=100, seed=3)
    assert space is not None
    ours, theirs = space.meaning(np.arange(6)), pipeline.fit_transform(item_texts(catalog))
    np.testing.assert_allclose(ours @ ours.T, theirs @ theirs.T, atol=1e-5)


def test_the_detail_is_a_sketch_of_all_that_the_directions_leave_out(catalog: Dataset) -> None:
    texts, rows = item_texts(catalog), np.arange(6)
    space = LatentSpace.of(texts, 20, min_df=3, max_features=100, seed=0)
    assert space is not None
    common, rare = space.common.toarray(), space.rare.toarray()
    left = common - common @ space.directions @ space.directions.T  # [6, C], term by term
    sketched = left @ space.sketch_common.toarray() + rare @ space.sketch_rare.toarray()
    sketched += space.whole * np.stack([signature(text, space.width) for text in texts])
    length = np.sqrt((common**2).sum(1) + (rare**2).sum(1) + space.whole**2)
    np.testing.assert_allclose(space.detail(rows, texts), sketched / length[:, None], atol=1e-5)


def test_random_signs_and_signatures_keep_lengths_and_angles_on_average() -> None:
    rng = np.random.default_rng(0)
    drawn = [random_signs(5, 16, rng).toarray() for _ in range(500)]
    np.testing.assert_allclose(np.mean([signs @ signs.T for signs in drawn], axis=0), np.eye(5), atol=0.1)
    marks = np.stack([signature(f"text {number}", 64) for number in range(500)])
    gram = marks @ marks.T
    assert abs(np.diag(gram).mean() - 1) < 0.02
    assert np.abs(gram - np.diag(np.diag(gram))).mean() < 1.2 * np.sqrt(2 / np.pi / 64)


def test_tfidf_puts_similar_texts_closer_than_unrelated_ones(catalog: Dataset) -> None:
    vectors = prepared(TfidfEncoder(), catalog).encode(catalog, np.arange(6))
    cosine = vectors @ vectors.T / np.maximum(np.outer(*[np.linalg.norm(vectors, axis=1)] * 2), 1e-9)
    assert cosine[0, 1] > max(cosine[0, 2], cosine[0, 4]) + 0.2
    assert cosine[2, 4] > max(cosine[2, 0], cosine[2, 5]) + 0.2


def test_items_without_text_are_absent_zero_and_not_a_constant(tmp_path: Path) -> None:
    dataset = texts_only(["red cup", "", "red pot", "  . ", "blue pot", "blue cup"])
    result = EmbeddingStore(tmp_path).get(dataset, TfidfEncoder(), progress=False)
    assert result.present.tolist() == [True, False, True, False, True, True]
    assert not result.values[[1, 3]].any()
    assert not result.standardized()[[1, 3]].any()
    assert (np.abs(result.values[result.present]).sum(1) > 0.1).all()


def test_an_item_is_absent_from_tfidf_where_it_has_no_word() -> None:
    dataset = texts_only(["red cup", "red pot", "zither", "!?", "blue cup", "🍕"])
    assert prepared(TfidfEncoder(), dataset).present(dataset).tolist() == [True, True, True, False, True, True]


TITLES = {
    "one-character words": [f"Screw size {size} pack" for size in range(9)],
    "a letter": [f"Vitamin {letter} tablets" for letter in "ABCDEK"],
    "Chinese": [color + kind for color in ("红色", "蓝色", "黑色") for kind in ("陶瓷杯", "玻璃杯", "木椅", "茶壶")],
    "Japanese": ["赤いカップ", "青いカップ", "赤い椅子", "青い椅子", "あかいカップ"],
    "Thai": ["แก้วสีแดง", "แก้วสีฟ้า", "เก้าอี้สีแดง", "เก้าอี้สีฟ้า"],
    "vowel signs": ["लाल कप", "लाल कूप", "नीला कप", "नीला कूप", "नीली कप"],
    "emoji": ["pizza 🍕", "pizza 🍔", "burger 🍔", "burger 🍕"],
    "marks": ["c guide", "c++ guide", "c# guide", "c guide!"],
    "rare words": [f"cup of {name}" for name in ("arno", "bela", "cora", "dana", "egon")],
    "order": ["a b a c a", "a c a b a", "b a c", "c a b"],
    "repetition": ["ho ho", "ho ho ho", "ho ho ho ho", "ho"],
    "long": [f"{'cup ' * 400}{size}" for size in (1, 2, 3)],
}


@pytest.mark.parametrize("kind", TITLES)
def test_texts_that_differ_never_share_a_tfidf_vector(kind: str) -> None:
    titles = TITLES[kind]
    dataset = texts_only(titles)
    encoder = prepared(TfidfEncoder(), dataset)
    assert encoder.present(dataset).all()
    assert closest(encoder.encode(dataset, np.arange(len(titles)))) > 1e-3


@settings(max_examples=30)
@given(st.lists(st.text(alphabet="ab1é茶杯ก 🍕.", max_size=6), min_size=2, max_size=12), st.sampled_from([1, 2, 256]))
def test_only_equal_texts_share_a_tfidf_vector_whatever_the_catalog(titles: list[str], dim: int) -> None:
    titles = [*titles, "cup of tea", "cup of tea"]  # so that there are terms in common
    dataset = texts_only(titles)
    encoder = prepared(TfidfEncoder(dim=dim), dataset)
    present = encoder.present(dataset)
    assert present.tolist() == [
        any(not unicodedata.category(char).startswith(("P", "Z")) for char in t) for t in titles
    ]
    rows = np.flatnonzero(present)
    keys = [normalized(text) for text in item_texts(dataset, rows=rows)]
    vectors = encoder.encode(dataset, rows)
    first = [keys.index(key) for key in keys]
    np.testing.assert_allclose(vectors, vectors[first], atol=1e-6)
    assert len(set(first)) == 1 or closest(vectors[sorted(set(first))]) > 1e-5


def closest(vectors: np.ndarray) -> float:
    """The smallest distance between two of the rows, in units of their mean length."""
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    return float(apart[np.triu_indices(len(vectors), 1)].min() / np.linalg.norm(vectors, axis=1).mean())


@pytest.mark.parametrize("rows", [[5, 0, 2, 2], [1], [4, 3, 2, 1, 0]])
def test_tfidf_rows_do_not_depend_on_their_neighbors(catalog: Dataset, rows: list[int]) -> None:
    encoder = prepared(TfidfEncoder(), catalog)
    np.testing.assert_allclose(
        encoder.encode(catalog, np.array(rows)), encoder.encode(catalog, np.arange(6))[rows], atol=1e-7
    )


def test_shuffling_the_catalog_shuffles_the_similarities() -> None:
    titles = ["red cup", "red pot", "blue cup", "green tea pot", "green cup", "tea cup red"]
    order = np.array([3, 0, 5, 1, 4, 2])
    grams = []
    for data in (texts_only(titles), texts_only([titles[row] for row in order])):
        vectors = prepared(TfidfEncoder(), data).encode(data, np.arange(6))
        grams.append(vectors @ vectors.T)
    np.testing.assert_allclose(grams[1], grams[0][np.ix_(order, order)], atol=1e-5)


def test_tfidf_is_deterministic_and_no_wider_than_the_data(catalog: Dataset) -> None:
    first = prepared(TfidfEncoder(dim=300), catalog).encode(catalog, np.arange(6))
    again = prepared(TfidfEncoder(dim=300), catalog).encode(catalog, np.arange(6))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (6, 16)  # the least; one item has no text, so five directions hold the meaning of all
    data = texts_only([f"{one} {two}" for one in "abcdefghij" for two in "klmnopqrst"])
    assert prepared(TfidfEncoder(dim=300), data).encode(data, np.arange(3)).shape == (3, 19)  # of 20 words
    assert prepared(TfidfEncoder(dim=2), catalog).encode(catalog, np.arange(6)).shape == (6, 2)


def test_tfidf_learned_from_one_dataset_does_not_encode_another(catalog: Dataset) -> None:
    encoder = prepared(TfidfEncoder(), catalog)
    with pytest.raises(ValueError, match="not prepared for texts"):
        encoder.encode(texts_only(["red cup", "red pot"]), np.arange(2))


@pytest.mark.parametrize("titles", [["cup", "pot"], ["", ""], ["cup", "cup"], ["!"]])
def test_texts_with_too_few_words_in_common_are_refused(titles: list[str]) -> None:
    with pytest.raises(DataError, match="fewer than two words occur in 2 items of texts; lower min_df"):
        TfidfEncoder().prepare(
            texts_only([f"{title}{row}" if title == "pot" else title for row, title in enumerate(titles)])
        )


# ---------------------------------------------------------------------------------------------- sentence-transformers

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec(sentence_transformer.MINILM_PACKAGE) is None,
    reason="the minilm extra (weights of all-MiniLM-L6-v2) is not installed",
)


@pytest.fixture(scope="module")
def minilm() -> SentenceTransformerEncoder:
    encoder = SentenceTransformerEncoder("minilm", device="cpu")
    encoder.prepare(texts_only([""]))
    return encoder


def variant(encoder: SentenceTransformerEncoder, **settings: Any) -> SentenceTransformerEncoder:
    """The same loaded weights with other settings."""
    other = SentenceTransformerEncoder("minilm", device="cpu", **settings)
    other._loaded = encoder._loaded
    return other


@pytest.mark.slow
@needs_minilm
def test_minilm_equals_calling_sentence_transformers_directly(
    minilm: SentenceTransformerEncoder, catalog: Dataset
) -> None:
    from sentence_transformers import SentenceTransformer

    rows = np.array([5, 0, 1, 2])
    direct = SentenceTransformer(str(minilm.folder), device="cpu")
    theirs = np.stack([direct.encode(item, show_progress_bar=False) for item in item_texts(catalog, rows=rows)])
    ours = minilm.encode(catalog, rows)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@needs_minilm
def test_minilm_puts_similar_sentences_closer_than_unrelated_ones(minilm: SentenceTransformerEncoder) -> None:
    data = texts_only(["a mug for hot coffee", "cup to drink espresso from", "winter tires for trucks"])
    vectors = minilm.encode(data, np.arange(3))
    cosine = vectors @ vectors.T
    assert cosine[0, 1] > cosine[0, 2] + 0.3


@pytest.mark.slow
@needs_minilm
def test_batching_by_length_does_not_change_the_vectors(minilm: SentenceTransformerEncoder, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array(
        ["red", "blue", "cup", "pot", "tea", "guitar", "string", "drum", "made", "of", "clay", "and", "wood"]
    )
    titles = [" ".join(rng.choice(words, length)) for length in rng.integers(1, 60, 12)]
    data = texts_only(titles)
    result = EmbeddingStore(tmp_path, chunk=5).get(data, variant(minilm, batch_size=4), progress=False)
    alone = np.concatenate([minilm.encode(data, np.array([row])) for row in range(12)])
    np.testing.assert_allclose(result.values, alone, atol=1e-5)


@pytest.mark.slow
@needs_minilm
def test_texts_that_minilm_cannot_tell_apart_are_named(minilm: SentenceTransformerEncoder, tmp_path: Path) -> None:
    titles = [
        "红色陶瓷杯",
        "木制椅子",
        "pizza 🍕",
        "pizza 🍔",
        "size 1",
        "size 2",
        "cup " * 399 + "1",
        "cup " * 399 + "2",
    ]
    data = texts_only(titles)
    found = EmbeddingStore(tmp_path).get(data, minilm, progress=False)
    assert sorted(group.tolist() for group in confused(data, found)) == [[2, 3], [6, 7]]
    assert "4 items have a vector by minilm that an item with another text has" in confusion_note(data, found)
    tfidf = EmbeddingStore(tmp_path).get(data, TfidfEncoder(min_df=1), progress=False)
    assert confused(data, tfidf) == []


@needs_minilm
def test_items_without_text_never_reach_the_model(
    minilm: SentenceTransformerEncoder, catalog: Dataset, tmp_path: Path
) -> None:
    for combine in ("join", "mean"):
        result = EmbeddingStore(tmp_path).get(catalog, variant(minilm, combine=combine), progress=False)
        assert result.present.tolist() == [True, True, True, False, True, True]
        assert not result.values[3].any()
        assert not result.standardized()[3].any()


@needs_minilm
def test_mean_averages_over_the_fields_that_are_not_empty(minilm: SentenceTransformerEncoder) -> None:
    data = texts_only(["tea cup", "drum kit", ""], ["made of clay", "", "a guitar string"])
    encoder = variant(minilm, combine="mean", fields=("title", "description"))
    vectors = encoder.encode(data, np.array([2, 1, 0]))
    single = minilm.encode_texts(["tea cup", "made of clay", "drum kit", "a guitar string"])
    np.testing.assert_allclose(vectors[2], (single[0] + single[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(vectors[1], single[2], atol=1e-5)
    np.testing.assert_allclose(vectors[0], single[3], atol=1e-5)


@needs_minilm
def test_half_precision_is_close_and_stored_as_float16(minilm: SentenceTransformerEncoder, catalog: Dataset) -> None:
    half = SentenceTransformerEncoder("minilm", dtype="bfloat16", device="cpu")
    rows = np.array([0, 2])
    vectors = half.encode(catalog, rows)
    assert vectors.dtype == np.float16
    np.testing.assert_allclose(vectors, minilm.encode(catalog, rows), atol=0.02)


@needs_minilm
def test_a_maximum_length_cuts_the_text() -> None:
    encoder = SentenceTransformerEncoder("minilm", max_length=6, device="cpu")
    data = texts_only(["red tea cup pot", "red tea cup pot and a drum kit", "blue tea cup pot"])
    vectors = encoder.encode(data, np.arange(3))
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)  # 6 tokens: four words between two markers
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-2


def test_a_model_that_cannot_be_had_is_named_with_the_ways_out(
    tmp_path: Path, catalog: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    for model in (str(tmp_path / "none"), "nobody/no-such-model"):
        with pytest.raises(DataError) as caught:
            EmbeddingStore(tmp_path).get(catalog, SentenceTransformerEncoder(model), progress=False)
        message = str(caught.value)
        assert f'the sentence-transformers model "{model}" cannot be loaded'.lower() in message.lower()
        assert "macrec[minilm]" in message
        assert "\n" not in message


def test_minilm_without_its_package_says_what_to_install(catalog: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentence_transformer, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(DataError, match=r'"minilm" cannot be loaded: its package is not installed.*macrec\[minilm\]'):
        SentenceTransformerEncoder("minilm").prepare(catalog)
