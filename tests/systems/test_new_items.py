"""Trained systems over a longer catalog: new items can be recommended at once, and nothing of the old changes."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from macrec.data.curio import curio
from macrec.data.ranking import Ranking
from macrec.encoders.further import like
from macrec.errors import DataError
from macrec.experiments import encode_modalities
from macrec.quantization.appended import nearest_by_codes
from macrec.systems import Context, Parameters
from macrec.systems.borrowed import Borrowing, with_new_items
from macrec.systems.registry import entry_of
from macrec.tokenizers import GivenIds
from macrec.tokenizers.appended import append_with, tokenizers_of
from macrec.training import drain

DENSE = "text→item, sequence"


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    data = curio("tiny")
    split = data.split()
    split = split._replace(train=split.train.take(np.arange(250)), test=split.test.take(np.arange(30)))
    embeddings = encode_modalities(data, {"text": "tfidf", "image": "hog-color"})
    return Context(
        tmp_path_factory.mktemp("appended"), data, split, embeddings, settings(data.num_items, content=8, beams=8)
    )


def settings(items, **parameters):
    return Parameters("smoke", codewords=8, codebook_epochs=4, **parameters).settings(items)


def trained(context, name):
    made = next(iter(entry_of(name).systems(context).values()))
    drain(made.fit(context.data, context.split))
    return made


def copies(context, rows):
    """Vectors of new items that look like these old ones, by modality."""
    return {name: like(vectors, np.array(vectors.values[rows])) for name, vectors in context.embeddings.items()}


def appended(context, system, rows):
    """The system with such items, and their IDs."""
    further = copies(context, rows)
    names = pl.Series([f"new-{row}" for row in range(len(rows))])
    tokenizers = tokenizers_of(system.ids, context.data, context.split)
    ids, _ = append_with(tokenizers, system.decoder.tables.ids, names, further)
    return system.with_items(ids, further), ids


def taken(context, count=4):
    """Test targets with training events, the rows of their users, and the samples."""
    test = context.split.test
    return test.targets[:count].astype(np.int64), test


@pytest.mark.parametrize("name", ["MACRec", "TIGER (text)", "MACRec with dense head", "LIGER", "MQL4GRec"])
def test_every_item_has_its_place_among_all_and_old_items_keep_their_codes(context, name):
    system, (rows, test) = trained(context, name), taken(context)
    longer, _ = appended(context, system, rows)
    known = context.data.num_items
    for modality, table in longer.decoder.tables.ids.items():
        assert np.array_equal(table.codes[:known], system.decoder.tables.ids[modality].codes)
        assert len(np.unique(table.codes, axis=0)) == len(table) == known + len(rows)
    ranking = longer.decoder.exact(test, known + len(rows))
    assert all(set(items[items >= 0]) == set(range(known + len(rows))) for items in ranking.items)
    found = longer.recommend(test, 20, mask_seen=True)
    assert (found.items[:, 0] >= 0).all()
    assert system.decoder.tables.tokens.shape[1] == known  # the trained system stays as it was
    nothing, _ = appended(context, system, rows[:0])
    one, other = nothing.recommend(test, 10), system.recommend(test, 10)
    assert np.array_equal(one.items, other.items) and np.allclose(one.scores, other.scores, atol=1e-5)


def test_by_contents_a_new_item_is_worth_what_the_old_one_is_that_it_looks_like(context):
    system, (rows, test) = trained(context, "LIGER"), taken(context)
    longer, _ = appended(context, system, rows)
    known, before = context.data.num_items, system.decoder.exact_scores(test, DENSE)
    scores = longer.decoder.exact_scores(test, DENSE)
    log_odds = scores - scores[:, :1]
    np.testing.assert_allclose(log_odds[:, :known], before - before[:, :1], atol=1e-4)
    np.testing.assert_allclose(log_odds[:, known:], log_odds[:, rows], atol=1e-3)


def test_liger_recommends_a_new_item_that_looks_like_what_a_user_takes(context):
    """Beside the target itself where that is a candidate: for LIGER new items are candidates always."""
    system, (rows, test) = trained(context, "LIGER"), taken(context)
    longer, _ = appended(context, system, rows)
    known = context.data.num_items
    ranking = longer.recommend(test, known + len(rows))
    for user in range(len(rows)):
        items = ranking.items[user].tolist()
        assert set(range(known, known + len(rows))) <= set(items)
        if rows[user] in items:
            scores = ranking.scores[user]
            assert scores[items.index(known + user)] == pytest.approx(scores[items.index(rows[user])], abs=1e-3)


def test_an_encoder_decoder_reaches_new_items_through_the_trie(context):
    of_t5 = settings(context.data.num_items, backbone="t5")
    system = trained(replace(context, settings=of_t5), "TIGER (text)")
    rows, test = taken(context)
    longer, ids = appended(context, system, rows)
    assert longer.decoder.model is system.decoder.model
    found = longer.decoder.exact(test, len(ids["text"]))
    assert all(set(items) == set(range(len(ids["text"]))) for items in found.items)


def test_what_every_item_has_of_its_own_a_new_one_has_not(context):
    generator = context.settings.generator.with_dense_head()
    config = replace(generator.config, item_vectors=True)
    own = replace(context.settings, generator=replace(generator, config=config))
    system = trained(replace(context, settings=own), "TIGER (text)")
    rows, _ = taken(context)
    model = appended(context, system, rows)[0].decoder.model
    old = system.decoder.model
    assert not model.item_vectors[-len(rows) :].any() and (model.item_vectors[: -len(rows)] == old.item_vectors).all()
    assert model.dense.bias[-len(rows) :].detach().numpy() == pytest.approx(float(old.dense.bias.detach().mean()))
    assert len(model.dense.bias) == context.data.num_items + len(rows) == len(model.content_text)


def test_a_new_item_is_quantized_like_the_old_one_that_it_looks_like(context):
    """Codebooks are learned from items with training events, and so are the mean and the deviation before them."""
    system, (rows, _) = trained(context, "MACRec"), taken(context)
    new = pl.Series([f"new-{row}" for row in rows])
    for name, one in tokenizers_of(system.ids, context.data, context.split).items():
        assert one.seen is not None and not np.allclose(one.embeddings[name].mean, context.embeddings[name].mean)
        nearest = one.ids(absent=True)[name].codes[rows]
        ids, moved = append_with({name: one}, system.decoder.tables.ids, new, copies(context, rows))
        appended_codes = ids[name].codes[-len(rows) :]
        assert np.array_equal(moved[name], (appended_codes[:, : nearest.shape[1]] != nearest).any(1))


def test_ids_that_move_an_old_one_are_refused(context):
    system, (rows, _) = trained(context, "TIGER (text)"), taken(context)
    _, ids = appended(context, system, rows)
    order = np.arange(len(ids["text"]))
    order[[0, 1]] = 1, 0
    moved = {"text": replace(ids["text"], codes=ids["text"].codes[order])}
    with pytest.raises(DataError, match="has another ID here than the one that was learned"):
        system.with_items(moved, copies(context, rows))
    with pytest.raises(DataError, match="not those of codebooks"):
        tokenizers_of(GivenIds(ids), context.data, context.split)


class Fixed:
    """A system that gives everybody the same ranking of its items: the last first."""

    name, items = "fixed", 6

    def fit(self, data, split):
        return iter(())

    def recommend(self, samples, k, mask_seen=False):
        items = np.tile(np.arange(self.items)[::-1], (len(samples), 1))[:, :k].astype(np.int64)
        return Ranking(items, items.astype(float))


def test_a_new_item_stands_behind_the_old_one_it_borrows_from(context):
    test = context.split.test.take(np.arange(2))
    system = Borrowing(Fixed(), np.array([4, 1, 4]), 6)
    ranking = system.recommend(test, 20)
    assert ranking.items.tolist() == [[5, 4, 6, 8, 3, 2, 1, 7, 0] + [-1] * (ranking.k - 9)] * 2
    assert system.recommend(test, 3).items.tolist() == [[5, 4, 6]] * 2
    assert ranking.scores[0, :4].tolist() == [5, 4, 4, 4]
    nothing = Borrowing(Fixed(), np.zeros(0, np.int64), 6).recommend(test, 4)
    assert nothing.items.tolist() == [[5, 4, 3, 2]] * 2


def test_what_was_seen_is_masked_and_what_borrows_of_it_is_not(context):
    samples = context.split.test.take(np.arange(1))
    seen = samples.history(0)
    samples = replace(samples, items=np.where(np.isin(samples.items, seen), 4, samples.items).astype(np.int32))
    found = Borrowing(Fixed(), np.array([4, 1, 4]), 6).recommend(samples, 4, mask_seen=True)
    assert found.items.tolist() == [[5, 6, 8, 3]]


@pytest.mark.parametrize("name", ["popularity", "SASRec", "TIGERs fused late", "MACRec"])
def test_any_system_can_recommend_new_items(context, name):
    """Generators with so many beams that they find everything."""
    context = replace(context, settings=settings(context.data.num_items, content=8, beams=200))
    base, (rows, test) = trained(context, "MACRec"), taken(context)
    further, names = copies(context, rows), pl.Series([f"new-{row}" for row in range(len(rows))])
    tokenizers = tokenizers_of(base.ids, context.data, context.split)
    system = trained(context, name)
    if name == "TIGERs fused late":
        own = [tokenizers_of(part.ids, context.data, context.split) for part in system.parts]
        tokenizers = {key: one for each in own for key, one in each.items()}
        old = {key: table for part in system.parts for key, table in part.decoder.tables.ids.items()}
    else:
        old = base.decoder.tables.ids
    ids, _ = append_with(tokenizers, old, names, further)
    books = {key: one.codebooks()[key] for key, one in tokenizers.items()}
    nearest, shared = nearest_by_codes(ids, books, {key: vectors.present for key, vectors in further.items()})
    known = context.data.num_items
    assert (shared[:, 0] > 0).all()
    ranking = with_new_items(system, ids, further, nearest[:, 0], known).recommend(test, known + len(rows))
    for items in ranking.items.tolist():
        assert sorted(item for item in items if item >= 0) == list(range(known + len(rows)))
        if name in ("popularity", "SASRec"):
            assert all(items.index(known + new) > items.index(lender) for new, lender in enumerate(nearest[:, 0]))
