"""How IDs and a catalog are matched: by item id, else by row, the same everywhere, and in words."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.data.dataset import from_events
from macrec.errors import DataError
from macrec.quantization.id_files import check_numbering
from macrec.quantization.id_matching import first_gap, match_items
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.coded_items import item_rows

names = st.sampled_from(["0", "1", "2", "3", "4", "5", "x", "y"])


def by_hand(keys, catalog):
    """Key → row of the catalog, or None: the rule in the words of the documentation."""
    if set(catalog) <= set(keys) or sorted(keys) != sorted(map(str, range(len(catalog)))):
        return [catalog.index(key) if key in catalog else None for key in keys]
    return [int(key) for key in keys]


@given(st.lists(names, unique=True, min_size=1), st.lists(names, unique=True, min_size=1))
def test_ids_and_datasets_meet_by_one_rule(keys, catalog):
    ids = SemanticIds.from_codes(np.arange(len(keys))[:, None], item_ids=pl.Series(keys))
    items = pl.DataFrame({"user_id": ["u"] * len(catalog), "item_id": catalog})
    data = from_events("D", items, items.select("item_id"), events_file="e", items_file="i")
    wanted = by_hand(keys, catalog)
    if None in wanted:
        with pytest.raises(DataError, match="is not among"):
            item_rows(ids, data)
    else:
        assert item_rows(ids, data).tolist() == wanted
    if set(wanted) >= set(range(len(catalog))):
        found = ids.of_items(data.items["item_id"])
        assert found.codes.ravel().tolist() == [wanted.index(row) for row in range(len(catalog))]
        assert found.item_ids.to_list() == catalog
    else:
        with pytest.raises(DataError, match="have no ID"):
            ids.of_items(data.items["item_id"])


@pytest.mark.parametrize(
    ("keys", "catalog", "sentence"),
    [
        ("a b", "b a", "matched by item id"),
        ("0 1", "0 1", "matched by item id"),
        ("0 1", "1 0", "matched by item id; as row numbers, the same keys would mean other items"),
        ("1 0", "B1 B2", "matched by row: the keys are 0 to 1, the rows of the 2 items"),
        ("0 1", "1 2", "matched by row: the keys are 0 to 1, the rows of the 2 items, though 1 of the keys"),
    ],
)
def test_the_rule_is_said(keys, catalog, sentence):
    assert match_items(pl.Series(keys.split()), pl.Series(catalog.split())).sentence.startswith(sentence)


@pytest.mark.parametrize(
    ("keys", "gap"),
    [
        ("0 1 3", 2),
        ("3 0 1", 2),
        ("0 1 2", None),
        ("1 2 3", None),
        ("0 10 20", None),
        ("0 1 x 3", None),
        ("0 01 3", None),
    ],
)
def test_a_gap_in_a_numbering_from_0_is_named(tmp_path, keys, gap):
    assert first_gap(pl.Series(keys.split())) == gap
    if gap is not None:
        with pytest.raises(DataError, match=f'ids.json: the items are numbered from 0, and "{gap}" is missing'):
            check_numbering(pl.Series(keys.split()), tmp_path / "ids.json")
