"""The table of leaves, on the toy of the specification (T3)."""

import numpy as np

from macrec.quantization.conflict_policies import unique_ids
from macrec.quantization.leaves import leaf_table
from macrec.quantization.semantic_ids import SemanticIds

CODES = [(0, 1, 2), (0, 1, 2), (0, 1, 3), (0, 2, 0), (3, 1, 2), (3, 1, 2), (3, 1, 2)]


def test_the_leaves_of_the_specification():
    ids = SemanticIds.from_codes(np.array(CODES), sizes=(4, 4, 4))
    books = [np.eye(4)[:, :2] * scale for scale in (1.0, 0.1, 0.01)]
    _, report = unique_ids(ids, np.zeros((7, 2)), books, "redistribute")
    (row,) = leaf_table({"text": ids}, {"text": report}).to_dicts()
    assert row["alone"] == "28.6%" and row["items"] == 7  # 2 of 7
    assert (row["items per ID, mean"], row["items per ID, most"]) == ("1.75", 3)
    assert row["prefixes"] == "2 · 3 · 4" and row["in use"] == "50% · 50% · 75%"
    assert row["moved"] == 3 and row["perplexity"].split(" · ")[0] == "2"
