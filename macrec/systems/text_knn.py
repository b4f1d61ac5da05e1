"""Text neighbors: items whose texts resemble those of the history."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array, csr_array, vstack

from macrec.data.dataset import Dataset
from macrec.data.ranking import top_k
from macrec.data.split import Split
from macrec.encoders.fields import item_texts
from macrec.evaluation.system import CELLS
from macrec.systems.item_knn import ItemKNN

NEIGHBORS = 50
"""Most similar items that are kept of every item."""
MOST_TEXTS = 100_000
"""Items up to which all texts are compared with each other; the cost grows with the square."""


class TextKNN(ItemKNN):
    """`ItemKNN` with the similarity of texts instead of events.

    `similar`: what `similar_texts` gives, where it is known already.
    """

    name = "text-kNN"

    def __init__(self, decay: float | None = None, last: int = 20, similar: csr_array | None = None) -> None:
        super().__init__(decay, last)
        self.similar = similar

    def similarity(self, data: Dataset, split: Split) -> csr_array:
        """How alike the texts of two items are, `[N, N]`; nothing where there are too few or too many texts."""
        similarity = similar_texts(data) if self.similar is None else self.similar
        return csr_array((data.num_items, data.num_items)) if similarity is None else similarity


def similar_texts(data: Dataset, k: int = NEIGHBORS) -> csr_array | None:
    """The cosine of each item's text with the k most similar others, `[N, N]`; an item is not similar to itself.

    Texts are words and pairs of words that at least two items have, weighed by TF-IDF. None where fewer than two items
    have a text, or more than `MOST_TEXTS`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = item_texts(data)
    if sum(map(bool, texts)) < 2 or len(texts) > MOST_TEXTS:
        return None
    try:
        vectors = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True).fit_transform(texts).tocsr()
    except ValueError:  # no word is in two texts
        return None
    rows = max(1, CELLS // len(texts))
    parts = []
    for at in range(0, len(texts), rows):
        cosine = (vectors[at : at + rows] @ vectors.T).toarray()
        here = np.arange(len(cosine))
        cosine[here, at + here] = 0.0
        near = top_k(cosine, k)
        row, place = np.nonzero(near.scores > 0)
        entries = (near.scores[row, place], (row, near.items[row, place]))
        parts.append(coo_array(entries, shape=cosine.shape).tocsr())
    return vstack(parts).tocsr()
