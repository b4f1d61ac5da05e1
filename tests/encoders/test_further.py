"""Vectors of items that come later: those of the encoder as it is, whatever comes with them."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from macrec.data.appended import with_further_items
from macrec.data.curio import curio
from macrec.data.dataset import ITEM_COLUMNS, Dataset
from macrec.data.images import NoImages
from macrec.encoders import Embeddings, EmbeddingStore, make_encoder
from macrec.encoders.further import further_vectors
from macrec.encoders.principal import principal_components
from macrec.errors import DataError


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


class Picked:
    """The pictures of some rows."""

    def __init__(self, images, rows):
        self.images, self.rows, self.present = images, rows, images.present[rows]
        self.fingerprint = f"{images.fingerprint} {rows}"

    def open(self, row):
        return self.images.open(self.rows[row])

    def content_keys(self):
        keys = self.images.content_keys()
        return [keys[row] for row in self.rows]


def some(data, rows):
    """The items of some rows, as if they came from elsewhere."""
    items = data.items.select(list(ITEM_COLUMNS))[rows].with_columns(item_id=pl.format("new-{}", "item_id"))
    return Dataset("new", items, data.histories, data.user_ids, Picked(data.images, rows))


@pytest.mark.parametrize("spec", ["tfidf", "tfidf:title", "hog-color"])
def test_an_item_like_an_old_one_gets_its_vector_whatever_comes_with_it(data, spec):
    embeddings = EmbeddingStore().get(data, make_encoder(spec), progress=False)
    before = np.array(embeddings.values)
    rows = [5, 17, 3, 90]
    further = further_vectors(data, embeddings, make_encoder(spec), some(data, rows))
    np.testing.assert_allclose(further.values, before[rows], atol=1e-6)
    np.testing.assert_array_equal(embeddings.values, before)
    assert (further.mean == embeddings.mean).all() and (further.std == embeddings.std).all()
    alone = further_vectors(data, embeddings, make_encoder(spec), some(data, rows[1:2]))
    np.testing.assert_allclose(alone.values[0], further.values[1], atol=1e-6)


def test_words_that_were_not_learned_are_left_out_and_an_item_of_nothing_else_is_absent(data):
    embeddings = EmbeddingStore().get(data, make_encoder("tfidf"), progress=False)
    table = some(data, [5, 5, 5])
    title = table.items["title"][0]
    items = table.items.with_columns(
        pl.Series("title", [title, f"{title} Zwyx", "zwyx"]), brand=pl.lit(""), description=pl.lit(""),
        categories=pl.lit([], pl.List(pl.String)),
    )  # fmt: skip
    further = further_vectors(data, embeddings, make_encoder("tfidf"), replace(table, items=items))
    assert further.present.tolist() == [True, True, False] and not further.values[2].any()
    one, other = further.values[:2]
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert 0.7 < cosine < 1  # the meaning is the same, the text as a whole is not
    assert not further.standardized()[2].any()


class Greedy:
    """An encoder of somebody's own that learns from whatever it is given last."""

    name, modality = "greedy", "text"

    @property
    def settings(self):
        return {"version": 1}

    def prepare(self, dataset):
        self.learned = dataset.num_items

    def present(self, dataset):
        return np.ones(dataset.num_items, bool)

    def cost(self, dataset):
        return np.ones(dataset.num_items, int)

    def encode(self, dataset, rows):
        return np.full((len(rows), 3), self.learned, np.float32)


def test_an_encoder_that_would_learn_anew_or_is_another_is_refused(data):
    store = EmbeddingStore()
    embeddings = store.get(data, Greedy(), progress=False)
    with pytest.raises(DataError, match="greedy gives the old items other vectors than they have"):
        further_vectors(data, embeddings, Greedy(), some(data, [1, 2]))
    other = store.get(data, make_encoder("tfidf"), progress=False)
    with pytest.raises(DataError, match="tfidf gives the old items other vectors"):
        further_vectors(data, other, make_encoder("tfidf:title"), some(data, [1, 2]))


def test_vectors_from_a_file_are_those_of_the_new_items(data, tmp_path):
    rng = np.random.default_rng(0)
    embeddings = Embeddings.from_values("text", "npy", rng.standard_normal((data.num_items, 6)).astype(np.float32))
    values = rng.standard_normal((2, 6)).astype(np.float32)
    values[1] = 0
    np.save(tmp_path / "new.npy", values)
    encoder = make_encoder(f"npy:{tmp_path / 'new.npy'}", modality="text")
    further = further_vectors(data, embeddings, encoder, some(data, [1, 2]))
    assert np.array_equal(further.values, values) and further.present.tolist() == [True, False]
    np.save(tmp_path / "new.npy", values[:, :5])
    with pytest.raises(DataError, match="new items have 5 dimensions, and those of the old 6"):
        further_vectors(data, embeddings, encoder, some(data, [1, 2]))


def test_components_of_further_vectors_are_along_the_directions_that_were_found(data):
    rng = np.random.default_rng(0)
    embeddings = Embeddings.from_values("text", "made", rng.standard_normal((40, 6)).astype(np.float32))
    whole = principal_components(embeddings, 4)
    further = Embeddings("text", "made", embeddings.values[7:9] * 1, np.ones(2, bool), embeddings.mean, embeddings.std)
    np.testing.assert_allclose(principal_components(embeddings, 4, further), whole[7:9], atol=1e-5)


def test_further_items_stand_behind_the_old_ones_and_histories_stay(data):
    rows = [5, 17]
    longer = with_further_items(data, some(data, rows))
    assert longer.num_items == data.num_items + 2 and longer.histories is data.histories
    assert longer.items["title"].to_list()[-2:] == [data.items["title"][row] for row in rows]
    assert longer.items["title"][: data.num_items].equals(data.items["title"])
    assert longer.images.present.tolist() == [*data.images.present, *data.images.present[rows]]
    row = int(np.flatnonzero(data.images.present)[0])
    assert longer.images.open(row) == data.images.open(row)
    assert longer.images.open(data.num_items) == data.images.open(5)
    assert longer.images.content_keys()[-1] == longer.images.content_keys()[17]
    assert longer.fingerprint != data.fingerprint and longer.split().test.items is data.histories.items
    empty = replace(some(data, []), images=NoImages(0))
    assert with_further_items(data, empty) is data
