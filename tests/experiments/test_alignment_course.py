"""Searching one modality from the other, counted apart for items that have both and for those that lack one."""

import numpy as np
import pytest

from macrec.encoders import Embeddings
from macrec.evaluation.alignment import alignment_measures, retrieved
from macrec.experiments.alignment_course import presence_in_words, retrieval_by_presence

RNG = np.random.default_rng(0)


def vectors(name, present):
    values = np.ones((len(present), 2), np.float32) * present[:, None]
    return Embeddings.from_values(name, "made", values, present)


@pytest.mark.parametrize("k", [1, 10])
def test_the_share_retrieved_is_the_recall(k):
    first = RNG.standard_normal((60, 6)).astype(np.float32)
    second = first + 0.8 * RNG.standard_normal((60, 6)).astype(np.float32)
    measures = alignment_measures(first, second)
    assert retrieved(first, second, k).mean() == pytest.approx(measures[f"recall@{k}/text→image"])
    assert retrieved(second, first, k).mean() == pytest.approx(measures[f"recall@{k}/image→text"])


def test_items_that_lack_a_picture_are_counted_apart():
    states = RNG.standard_normal((40, 16)).astype(np.float32)
    pictured = np.arange(40) < 30
    images = np.where(pictured[:, None], states, -states)  # found where there is a picture, and there alone
    embeddings = {"text": vectors("text", np.ones(40, bool)), "image": vectors("image", pictured)}
    moments = {"before": {"text": -states, "image": states}, "after": {"text": states, "image": images}}
    shares = retrieval_by_presence(moments, embeddings)
    for share in shares.values():
        recalls = {"recall@10/with both": 1.0, "recall@10/lacking one": 0.0}
        assert share == recalls | {"items/with both": 30.0, "items/lacking one": 10.0}
    assert presence_in_words(shares) == (
        "Items found among the 10 nearest, after training: text→image 100.0% of 30 with both and 0.0% of 10 lacking "
        "one; image→text 100.0% of 30 with both and 0.0% of 10 lacking one; by chance 25.0%."
    )
    embeddings["image"] = embeddings["text"]
    assert "lack" not in presence_in_words(retrieval_by_presence(moments, embeddings))
