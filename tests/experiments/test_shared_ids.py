"""How many items share an ID: counted one by one, and said as counted."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from macrec.encoders import Embeddings
from macrec.experiments.shared_ids import shared_ids, sharing, sharing_in_words
from macrec.quantization.semantic_ids import SemanticIds


def table(codes):
    return SemanticIds.from_codes(np.array(codes), sizes=(3, 3))


def vectors(name, present):
    present = np.array(present)
    return Embeddings.from_values(name, "made", np.ones((len(present), 2), np.float32) * present[:, None], present)


ROW = st.tuples(st.integers(0, 2), st.integers(0, 2))


@given(st.lists(ROW, min_size=1, max_size=30))
def test_a_row_is_shared_when_it_occurs_again(rows):
    often = Counter(rows)
    assert sharing(np.array(rows)).tolist() == [often[row] > 1 for row in rows]


@given(st.lists(st.tuples(ROW, ROW, st.booleans()), min_size=1, max_size=30))
def test_items_share_by_one_modality_and_by_both(items):
    texts, images = [text for text, _, _ in items], [image for _, image, _ in items]
    here = [pictured for _, _, pictured in items]
    counts = shared_ids(
        {"text": table(texts), "image": table(images)},
        {"text": vectors("text", [True] * len(items)), "image": vectors("image", here)},
    )
    pictured = [image for image, known in zip(images, here, strict=True) if known]
    both = list(zip(texts, images, strict=True))

    def repeated(rows, among=None):
        often = Counter(rows)
        return sum(often[row] > 1 for row in (rows if among is None else among))

    assert counts["text"] == {"items": len(items), "sharing": repeated(texts)}
    assert counts["image"] == {"items": len(pictured), "sharing": repeated(pictured)}
    assert counts["all modalities"] == {"items": len(items), "sharing": repeated(both)}
    lacking = [row for row, known in zip(both, here, strict=True) if not known]
    assert counts.get("without image", {"items": 0, "sharing": 0}) == {
        "items": len(lacking),
        "sharing": repeated(both, lacking),
    }
    assert counts["all modalities"]["sharing"] <= counts["text"]["sharing"]
    assert ("of those without a picture" in sharing_in_words(counts)) == bool(lacking)


def test_the_sentence_says_the_counts():
    codes = {"text": [(0, 0), (0, 0), (1, 1), (1, 1)], "image": [(0, 0), (1, 0), (2, 2), (2, 2)]}
    here = {"text": [True] * 4, "image": [True, True, False, False]}
    tables = {name: table(each) for name, each in codes.items()}
    present = {name: vectors(name, each) for name, each in here.items()}
    assert sharing_in_words(shared_ids(tables, present)) == (
        "Items that share an ID with another item: 4 of 4 (100.0%) their text ID, 0 of 2 (0.0%) their image ID; 2 of 4 "
        "(50.0%) both of their IDs (of those without a picture 2 of 2 (100.0%))."
    )
    one = shared_ids({"text": tables["text"]}, present)
    assert sharing_in_words(one) == "Items that share an ID with another item: 4 of 4 (100.0%) their text ID."
