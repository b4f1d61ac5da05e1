"""The built-in catalog as a dataset: deterministic, complete, and each modality tells only its own factors."""

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import RidgeClassifier

from macrec.data.curio import PICTURE_FACTORS, TEXT_FACTORS, curio
from macrec.encoders import EmbeddingStore, make_encoder


def test_equal_arguments_give_an_equal_shop_and_another_seed_another():
    first, again, other = curio("tiny", seed=1), curio("tiny", seed=1), curio("tiny", seed=2)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    row = int(np.flatnonzero(first.images.present)[0])
    assert first.images.open(row).tobytes() == again.images.open(row).tobytes()


def test_near_duplicates_differ_in_their_variant_label_only():
    items = curio("tiny", variants=0.4).items
    pairs = items.filter(pl.col("variant_of").is_not_null()).join(items, left_on="variant_of", right_on="item_id")
    assert len(pairs) > 20
    for row in pairs.iter_rows(named=True):
        assert row["title"].startswith(row["title_right"] + ", ")
        assert row["description"] == row["description_right"] or "" in (row["description"], row["description_right"])
        assert all(row[name] == row[f"{name}_right"] for name in (*TEXT_FACTORS, *PICTURE_FACTORS, "category"))


def test_unknown_sizes_and_settings_are_refused():
    with pytest.raises(ValueError, match="choose one of tiny, small, demo, large"):
        curio("huge")
    with pytest.raises(ValueError, match="unknown setting 'users'"):
        curio("tiny", users=3)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """How well a linear reader of each modality tells each factor of unseen items: (modality, factor) → accuracy."""
    data = curio("tiny", num_items=1_200, variants=0, no_picture=0, no_description=0)
    store = EmbeddingStore(tmp_path_factory.mktemp("store"))
    accuracy, chance = {}, {}
    for modality, encoder in (("text", "tfidf"), ("image", "hog-color")):
        values = store.get(data, make_encoder(encoder), progress=False).standardized()
        for factor in (*TEXT_FACTORS, *PICTURE_FACTORS, "category"):
            labels = data.items[factor].to_numpy()
            reader = RidgeClassifier(alpha=100.0).fit(values[:800], labels[:800])
            accuracy[modality, factor] = reader.score(values[800:], labels[800:])
            chance[factor] = data.items[factor].value_counts()["count"].max() / len(labels)
    return accuracy, chance


@pytest.mark.slow
@pytest.mark.parametrize("factor", TEXT_FACTORS)
def test_only_the_text_tells(told, factor):
    accuracy, chance = told
    assert accuracy["text", factor] > 0.7
    # Materials depend on the category, which the picture shows: it may know that much, and no more.
    assert accuracy["image", factor] < chance[factor] + (0.2 if factor == "material" else 0.06)


@pytest.mark.parametrize("factor", PICTURE_FACTORS)
def test_only_the_picture_tells(told, factor):
    accuracy, chance = told
    assert accuracy["image", factor] > 0.7
    assert accuracy["text", factor] < chance[factor] + 0.06


def test_both_tell_the_category(told):
    accuracy, _ = told
    assert min(accuracy["text", "category"], accuracy["image", "category"]) > 0.9
