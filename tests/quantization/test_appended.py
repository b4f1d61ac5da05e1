"""Further items get IDs beside those that there are: none of these moves, all differ, and the nearest free is taken."""

import math
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from macrec.errors import DataError
from macrec.quantization.appended import append_ids, check_continued, nearest_by_codes, shared_prefixes
from macrec.quantization.conflict_policies import unique_ids
from macrec.quantization.semantic_ids import SemanticIds

POLICIES = ("least", "hungarian", "digit", "counter", "capped:cap=2", "redistribute")


def names(begin, count):
    return pl.Series("item_id", [f"i{number}" for number in range(begin, begin + count)], dtype=pl.String)


def nearest_codes(vectors, codebooks):
    """Residual quantization, level by level."""
    rest, codes = vectors.copy(), []
    for words in codebooks:
        code = np.square(rest[:, None] - words).sum(2).argmin(1)
        codes.append(code)
        rest = rest - words[code]
    return np.stack(codes, 1).astype(np.int32)


@st.composite
def catalogs(draw):
    """Codebooks, the unique IDs of some items, and the vectors of others, for most of whom there is room."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    codebooks = [rng.standard_normal((size, 3)) for size in sizes]
    old = rng.standard_normal((draw(st.integers(1, max(1, math.prod(sizes) // 2))), 3))
    new = rng.standard_normal((draw(st.integers(0, math.prod(sizes) // 2)), 3))
    if draw(st.booleans()) and len(new):  # items that all want the same ID
        new = np.repeat(new[:1], len(new), 0)
    codes = nearest_codes(old, codebooks)
    ids = SemanticIds.from_codes(codes, None, tuple(sizes), names(0, len(old)))
    ids = unique_ids(ids, old, codebooks, draw(st.sampled_from(POLICIES)))[0]
    return codebooks, ids, new


def append(ids, vectors, codebooks):
    return append_ids(ids, names(len(ids), len(vectors)), nearest_codes(vectors, codebooks), vectors, codebooks)


@given(catalogs())
def test_old_ids_stay_to_the_bit_and_all_ids_differ(catalog):
    codebooks, ids, new = catalog
    before = ids.codes.copy()
    longer, moved = append(ids, new, codebooks)
    assert np.array_equal(longer.codes[: len(ids)], before) and np.array_equal(ids.codes, before)
    assert longer.item_ids.to_list() == names(0, len(longer)).to_list() and moved.shape == (len(new),)
    assert (longer.codebooks, longer.sizes) == (ids.codebooks, ids.sizes)
    assert len(np.unique(longer.codes, axis=0)) == len(ids) + len(new)
    wanted = nearest_codes(new, codebooks)
    assert np.array_equal(moved, (longer.codes[len(ids) :, : len(codebooks)] != wanted).any(1))
    check_continued(ids, longer)


@given(catalogs(), st.integers(0, 32))
def test_two_files_one_after_the_other_are_one_file(catalog, cut):
    codebooks, ids, new = catalog
    half, _ = append(ids, new[:cut], codebooks)
    assert np.array_equal(append(half, new[cut:], codebooks)[0].codes, append(ids, new, codebooks)[0].codes)


@given(catalogs())
def test_nothing_appended_changes_nothing(catalog):
    codebooks, ids, new = catalog
    longer, moved = append(ids, new[:0], codebooks)
    assert np.array_equal(longer.codes, ids.codes) and longer.item_ids.equals(ids.item_ids) and not len(moved)


@given(catalogs())
def test_each_takes_the_free_id_of_least_error_that_keeps_the_longest_prefix(catalog):
    """By trying all IDs, item by item."""
    codebooks, ids, new = catalog
    longer, _ = append(ids, new, codebooks)
    taken, levels = set(map(tuple, ids.codes.tolist())), len(codebooks)
    for vector, own, given_code in zip(
        new, nearest_codes(new, codebooks).tolist(), longer.codes[len(ids) :].tolist(), strict=True
    ):
        free = [code for code in product(*map(range, ids.sizes)) if code not in taken]

        def kept(code, own=own):
            return next((level for level in range(levels) if code[level] != own[level]), levels)

        def error(code, vector=vector):
            return np.square(vector - sum(words[c] for words, c in zip(codebooks, code, strict=False))).sum()

        own_free = [code for code in free if kept(code) == levels]
        if own_free:
            assert tuple(given_code) == min(own_free)
        else:
            most = min(max(map(kept, free)), levels - (ids.num_levels == levels))
            best = min(error(code) for code in free if kept(code) >= most)
            assert kept(given_code) >= most and error(given_code) == pytest.approx(best)
        taken.add(tuple(given_code))


def some(count=3):
    rng = np.random.default_rng(0)
    codebooks, vectors = [rng.standard_normal((2, 3)) for _ in range(2)], rng.standard_normal((count, 3))
    ids = SemanticIds.from_codes(nearest_codes(vectors, codebooks), None, (2, 2), names(0, count))
    return codebooks, unique_ids(ids, vectors, codebooks)[0], rng.standard_normal((2, 3))


@pytest.mark.parametrize(
    ("item_ids", "words"),
    [(["x", "i1"], 'row 2, field "item_id": the id "i1" is in the catalog already'), (["x", "x"], "comes twice")],
)
def test_an_id_that_is_there_already_is_refused(item_ids, words):
    codebooks, ids, new = some(2)
    with pytest.raises(DataError, match=words):
        append_ids(ids, pl.Series(item_ids), nearest_codes(new, codebooks), new, codebooks)


def test_where_no_id_is_left_or_codebooks_are_others_it_is_refused():
    codebooks, ids, new = some()
    with pytest.raises(DataError, match="2 items are to be appended, and 1 IDs are free"):
        append(ids, new, codebooks)
    wrong = [np.zeros((3, 3))] * 2
    with pytest.raises(DataError, match="codebooks of 3 × 3 codewords do not belong to IDs of 2 × 2"):
        append_ids(ids, names(3, 1), np.zeros((1, 2), int), new[:1], wrong)


def test_a_generator_refuses_ids_that_do_not_continue_its_own():
    codebooks, ids, new = some(2)
    longer, _ = append(ids, new, codebooks)
    moved = SemanticIds.from_codes(longer.codes[[1, 0, 2, 3]], longer.codebooks, longer.sizes, longer.item_ids)
    with pytest.raises(DataError, match='the item "i0" has another ID here than the one that was learned'):
        check_continued(ids, moved)
    named = SemanticIds.from_codes(longer.codes, ("x", "y"), longer.sizes, longer.item_ids)
    with pytest.raises(DataError, match="other codebooks"):
        check_continued(ids, named)
    others = SemanticIds.from_codes(longer.codes, longer.codebooks, longer.sizes, names(5, 4))
    with pytest.raises(DataError, match="do not begin with the items"):
        check_continued(ids, others)
    with pytest.raises(DataError, match="do not begin with the items"):
        check_continued(longer, ids)


@given(st.integers(0, 2**32 - 1))
def test_the_nearest_old_item_shares_the_most_codes_and_then_decodes_to_the_nearest(seed):
    rng = np.random.default_rng(seed)
    known, new, sizes = int(rng.integers(1, 12)), int(rng.integers(1, 5)), (3, 3)
    books = {name: [rng.standard_normal((3, 2)) for _ in sizes] for name in ("text", "image")}
    tables = {name: SemanticIds.from_codes(rng.integers(3, size=(known + new, 2)), None, sizes) for name in books}
    present = {name: rng.random(new) < 0.7 for name in books}
    nearest, shared = nearest_by_codes(tables, books, present, 1)
    for row in range(new):

        def order(other, row=row):
            same, apart = 0, 0.0
            for name, table in tables.items():
                if present[name][row]:
                    mine, theirs = table.codes[known + row], table.codes[other]
                    same += int((mine == theirs).cumprod().sum())
                    one, two = (sum(b[c] for b, c in zip(books[name], code, strict=True)) for code in (mine, theirs))
                    apart += np.square(one - two).sum()
            return -same, apart

        if row == 0:
            several, _ = nearest_by_codes(tables, books, present, known)
            assert sorted(several[0]) == list(range(known))
            assert [order(other)[0] for other in several[0]] == sorted(order(other)[0] for other in range(known))
        best = min(map(order, range(known)))
        assert order(nearest[row, 0]) == pytest.approx(best) and shared[row, 0] == -best[0]


@given(st.integers(0, 2**32 - 1))
def test_shared_prefixes_are_those_with_the_old_item_that_has_the_most(seed):
    rng = np.random.default_rng(seed)
    known, new = int(rng.integers(1, 12)), int(rng.integers(1, 5))
    ids = SemanticIds.from_codes(rng.integers(3, size=(known + new, 3)), None, (3, 3, 3))
    alike = (ids.codes[known:, None] == ids.codes[:known]).cumprod(2)
    assert shared_prefixes(ids, new, 3).tolist() == alike.sum(2).max(1).tolist()
    assert shared_prefixes(ids, new, 2).tolist() == alike[..., :2].sum(2).max(1).tolist()
