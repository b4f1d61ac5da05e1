"""The generator end to end on small catalogs: it learns pairs by heart, and every way of asking it agrees."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.data.histories import Histories
from macrec.data.split import Samples, leave_one_out
from macrec.generation.batches import CodeTables
from macrec.generation.beam import beam_search
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.fusion import best, candidates, fuse
from macrec.generation.implicit import implicit_alignment
from macrec.generation.t5 import PathScorer, T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.generation.trie import CodeTrie
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.vocabulary import EOS
from macrec.training import drain, train


def tables_of(items=24, seed=0, modalities=("text", "image")):
    """Tables of unique codes for `items` items."""
    rng = np.random.default_rng(seed)
    ids = {}
    for name in modalities:
        codes = np.stack(np.unravel_index(rng.permutation(5**3)[:items], (5, 5, 5)), 1)
        ids[name] = SemanticIds.from_codes(codes, tuple(f"{name}_{letter}" for letter in "abc"), (5, 5, 5))
    return CodeTables(ids, code_tasks(modalities))


@pytest.fixture(scope="module")
def overfitted():
    """64 samples of distinct histories, learned by heart."""
    rng = np.random.default_rng(1)
    tables = tables_of(40)
    events = rng.integers(0, 40, 64 * 4).astype(np.int32)
    at = np.arange(64, dtype=np.int64) * 4
    samples = Samples(events, np.arange(64, dtype=np.int32), at, at + 3)
    config = replace(T5Config.named("tiny"), d_model=64, num_layers=1, num_decoder_layers=1, dropout_rate=0.0)
    model = T5Generator(len(tables.vocabulary), config, seed=3)
    recipe = GeneratorRecipe(epochs=200, batch=512, learning_rate=1e-2, weight_decay=0.0)
    training = GeneratorTraining(model, tables, samples, recipe)
    events_seen = drain(train(training, training.plan())).events
    return model.eval(), tables, samples, events_seen


def test_the_generator_learns_pairs_by_heart(overfitted):  # T21
    model, tables, samples, events = overfitted
    last = [event.losses["text→text, sequence"] for event in events if "text→text, sequence" in event.losses][-1]
    assert last < 0.05
    decoder = PathDecoder(model, tables, DecodingOptions(beams=5, batch=16))
    ranking = decoder.recommend(samples, 5)
    assert (ranking.rank_of(samples.targets) == 1).all()


def test_scores_of_candidates_are_those_of_the_beam(overfitted):
    model, tables, samples, _ = overfitted
    decoder = PathDecoder(model, tables, DecodingOptions(beams=7))
    few = samples.take(np.arange(6))
    for path in decoder.paths:
        ranking, scorer = decoder._search(path, few, 7, False)
        np.testing.assert_allclose(decoder.scores(path, scorer, ranking.items), ranking.scores, atol=1e-4)


def test_a_wide_beam_ranks_all_items_by_their_probability(overfitted):
    model, tables, samples, _ = overfitted
    decoder = PathDecoder(model, tables, DecodingOptions(beams=40))
    few = samples.take(np.arange(4))
    path = decoder.paths[0]
    ranking, _ = decoder._search(path, few, 40, False)
    everything = np.tile(np.arange(40), (4, 1))
    scores = decoder.scores(path, PathScorer(model, tables, path, few), everything)
    assert np.exp(scores).sum(1) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(ranking.scores, -np.sort(-scores, axis=1), atol=1e-4)


def test_users_do_not_depend_on_the_batch_they_are_in(overfitted):
    model, tables, samples, _ = overfitted
    one, many = (PathDecoder(model, tables, DecodingOptions(beams=5, batch=size)) for size in (1, 64))
    alone, together = one.recommend(samples, 5), many.recommend(samples, 5)
    np.testing.assert_allclose(alone.scores, together.scores, atol=1e-4)


def test_without_a_task_within_a_modality_all_sequence_tasks_are_asked(overfitted):
    model, tables, _, _ = overfitted
    assert [tables.tasks[path].name for path in PathDecoder(model, tables, DecodingOptions()).paths] == [
        "text→text, sequence",
        "image→image, sequence",
    ]
    across = CodeTables(tables.ids, [task for task in tables.tasks if task.source != task.target])
    asked = [across.tasks[path].name for path in PathDecoder(model, across, DecodingOptions()).paths]
    assert asked == ["text→image, sequence", "image→text, sequence"]


def test_seen_items_are_not_recommended(overfitted):
    model, tables, samples, _ = overfitted
    decoder = PathDecoder(model, tables, DecodingOptions(beams=20))
    ranking = decoder.recommend(samples, 10, mask_seen=True)
    histories = samples.padded()
    assert not (ranking.items[:, :, None] == histories[:, None, :]).any()


@pytest.mark.parametrize("fusion", ["union_rescore", "mean_floor", "logmeanexp", "published"])
def test_every_fusion_ranks_distinct_items(overfitted, fusion):
    model, tables, samples, _ = overfitted
    decoder = PathDecoder(model, tables, DecodingOptions(beams=8, fusion=fusion))
    assert decoder.recommend(samples.take(np.arange(8)), 8).items.min() >= 0


def test_four_paths_can_be_asked(overfitted):
    model, tables, samples, _ = overfitted
    names = tuple(task.name for task in tables.tasks if task.kind == "sequence")
    decoder = PathDecoder(model, tables, DecodingOptions(beams=8, paths=names))
    assert set(decoder.by_path(samples.take(np.arange(3)), 8)) == set(names) and len(names) == 4
    assert decoder.recommend(samples.take(np.arange(3)), 8).items.shape == (3, 8)
    with pytest.raises(ValueError, match="no path"):
        PathDecoder(model, tables, DecodingOptions(paths=("text→sound",)))


def test_only_the_newest_items_are_read_and_all_are_masked(overfitted):
    model, tables, _, _ = overfitted
    events = np.random.default_rng(5).permutation(40).astype(np.int32)
    long = Samples(events, np.zeros(1, np.int32), np.array([0]), np.array([33]))
    short = Samples(events, np.zeros(1, np.int32), np.array([30]), np.array([33]))
    decoder = PathDecoder(model, tables, DecodingOptions(beams=40, max_history=3))
    np.testing.assert_array_equal(decoder.recommend(long, 40).items, decoder.recommend(short, 40).items)
    masked = decoder.recommend(long, 7, mask_seen=True)
    assert sorted(masked.items[0]) == sorted(events[33:])
    whole = PathDecoder(model, tables, DecodingOptions(beams=40, max_history=40)).recommend(long, 40)
    assert not np.allclose(whole.scores, decoder.recommend(long, 40).scores, atol=1e-3)
    with pytest.raises(ValueError, match="max_history must be at least 1"):
        DecodingOptions(max_history=0)


def test_narrow_beams_give_k_unseen_items_to_those_who_have_seen_most(overfitted):
    model, tables, _, _ = overfitted
    events = np.random.default_rng(6).permutation(40).astype(np.int32)
    sample = Samples(np.append(events, events[:1]), np.zeros(1, np.int32), np.array([0]), np.array([36]))
    decoder = PathDecoder(model, tables, DecodingOptions(beams=4))
    for ranking in decoder.by_path(sample, 4, mask_seen=True).values():
        assert sorted(ranking.items[0]) == sorted(events[36:])


class Uncached:
    """The scorer of a path that computes everything anew at every step, by the whole model and with all tokens."""

    def __init__(self, model, tables, source, mask, modality):
        self.model, self.source, self.mask = model, source, mask
        self.ranges = tables.vocabulary.ranges(tables.ids[modality])
        self.prefixes = torch.empty(len(source), 1, 0, dtype=torch.int64)

    def first(self):
        beams = self.prefixes.shape[1]
        unread = torch.nn.functional.pad(self.prefixes, (0, 1)).flatten(0, 1)
        repeated = (part.repeat_interleave(beams, 0) for part in (self.source, self.mask))
        logits = self.model(*repeated, unread)[:, -1].unflatten(0, (-1, beams))
        return logits[..., self.ranges[self.prefixes.shape[2]]]

    def next(self, level, parents, codes):
        users = torch.arange(len(parents))[:, None]
        tokens = codes + self.ranges[level - 1].start
        self.prefixes = torch.cat([self.prefixes[users, parents], tokens[..., None]], 2)
        return self.first()


@pytest.mark.parametrize("path", range(4))
def test_cached_beam_search_equals_uncached(overfitted, path):  # T23
    model, tables, samples, _ = overfitted
    events = np.concatenate([samples.items, samples.items])
    few = Samples(
        events, np.arange(6, dtype=np.int32), np.arange(6) * 4, np.arange(6) * 4 + np.array([1, 9, 3, 4, 2, 7])
    )
    which, numbers = torch.full((6,), path), (torch.from_numpy(part) for part in (few.items, few.start, few.lengths))
    source, mask = tables.sources(which, *numbers)
    task = tables.tasks[path]
    trie = CodeTrie.of(tables.ids[task.target])
    expected = beam_search(Uncached(model, tables, source, mask, task.target), trie, 6)
    options = DecodingOptions(beams=6, paths=(task.name,))
    found = PathDecoder(model, tables, options).by_path(few, 6)[task.name]
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("names", [("text→text, sequence", "image→image, sequence"), ()])
@pytest.mark.parametrize("fusion", ["union_rescore", "logmeanexp"])
def test_candidates_are_scored_on_the_paths_that_missed_them(overfitted, names, fusion):
    model, tables, samples, _ = overfitted
    names = names or tuple(task.name for task in tables.tasks if task.kind == "sequence")
    decoder = PathDecoder(model, tables, DecodingOptions(beams=4, paths=names, fusion=fusion))
    few = samples.take(np.arange(9))
    items = candidates(list(decoder.by_path(few, 4).values()))
    scores = [decoder.exact_scores(few, name).astype(np.float64) for name in names]
    known = [np.where(items < 0, -np.inf, np.take_along_axis(one, items.clip(0), 1)) for one in scores]
    expected = fuse([best(items, one, items.shape[1]) for one in known], fusion, 4)
    found = decoder.recommend(few, 4)
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)


def training_of(tables, recipe, histories, seed=0):
    model = T5Generator(len(tables.vocabulary), T5Config.named("tiny"), seed=seed)
    return GeneratorTraining(model, tables, leave_one_out(Histories.from_lists(histories), 5).train, recipe)


HISTORIES = [list(np.random.default_rng(user).integers(0, 24, 9)) for user in range(12)]


def test_the_loss_of_a_row_does_not_depend_on_the_rows_beside_it():  # T22
    training = training_of(tables_of(), GeneratorRecipe(batch=16), HISTORIES)
    training.module.eval()
    rows = training.samples.order(16, 0)[0]
    together = training.generation_loss(training.samples.batch(rows))
    alone = torch.cat([training.generation_loss(training.samples.batch(rows[at : at + 1])) for at in range(len(rows))])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["children", "level", "vocabulary"])
def test_the_loss_is_what_the_definition_says_token_by_token(kind):
    text = tables_of(modalities=("text",)).ids["text"]
    image = SemanticIds.from_codes(np.stack(np.divmod(np.arange(24), 6), 1), ("image_a", "image_b"), (5, 6))
    tables = CodeTables({"text": text, "image": image}, code_tasks(("text", "image")))
    training = training_of(tables, GeneratorRecipe(batch=64, softmax=kind), HISTORIES)
    model, vocabulary = training.module.eval(), tables.vocabulary
    batch = training.batch(0)
    with torch.no_grad():
        found = training.generation_loss(batch)
        for row in range(len(batch.task)):
            ids = tables.ids[tables.tasks[int(batch.task[row])].target]
            written = vocabulary.tokens(ids)[int(batch.item[row])].tolist()
            if kind == "vocabulary":
                written.append(EOS)
            source, mask = batch.source[row : row + 1], batch.mask[row : row + 1]
            logits = model(source, mask, torch.tensor([written]))[0]
            total = 0.0
            for level, token in enumerate(written):
                competing = list(range(len(vocabulary)))
                if kind == "level":
                    competing = competing[vocabulary.ranges(ids)[level]]
                if kind == "children":
                    every = vocabulary.tokens(ids).tolist()
                    competing = sorted({other[level] for other in every if other[:level] == written[:level]})
                total -= float(logits[level, competing].log_softmax(0)[competing.index(token)])
            assert float(found[row]) == pytest.approx(total / len(written), abs=1e-4)


def test_the_implicit_loss_pairs_items_and_the_published_one_does_not():
    tables = tables_of()
    paired = training_of(tables, GeneratorRecipe(batch=64, implicit_items=10), HISTORIES)
    paired.module.eval()
    chosen = torch.arange(10)
    views = [paired.tables.item_tokens(number, chosen) for number in (0, 1)]
    order = torch.randperm(10)
    permuted = [(tokens[order], mask[order]) for tokens, mask in views]
    torch.testing.assert_close(
        implicit_alignment(paired.module.encode, *views), implicit_alignment(paired.module.encode, *permuted)
    )
    published = training_of(tables, GeneratorRecipe(batch=64, implicit="published"), HISTORIES)
    published.module.eval()
    batch = next(batch for batch in map(published.batch, range(published.per_epoch)) if (batch.task >= 4).sum() > 1)
    order = torch.arange(len(batch.task)).flip(0)
    shuffled = type(batch)(*(part[order] for part in batch))
    with torch.no_grad():
        losses = [float(published._published_implicit(one)) for one in (batch, shuffled)]
    assert abs(losses[0] - losses[1]) > 1e-6


def test_one_modality_needs_no_alignment():
    training = training_of(tables_of(modalities=("text",)), GeneratorRecipe(epochs=1, batch=32), HISTORIES)
    events = list(train(training, training.plan()))
    assert set(events[-1].losses) == {"loss", "text→text, sequence"}


def test_a_step_in_slices_has_the_gradient_and_the_terms_of_a_step_in_one(monkeypatch):
    tables = tables_of()
    found = []
    for largest in (2**23, 2000):
        monkeypatch.setattr("macrec.generation.training.LARGEST", largest)
        training = training_of(tables, GeneratorRecipe(batch=64), HISTORIES)
        training.module.eval()  # no dropout, which would be drawn slice by slice
        assert (len(training.slices(training.batch(0))) > 1) == (largest == 2000)
        loss, terms = training.losses(0)
        loss.backward()
        gradients = [parameter.grad for parameter in training.module.parameters()]
        found.append((loss.detach(), {name: term.detach() for name, term in terms.items()}, gradients))
    torch.testing.assert_close(found[0][:2], found[1][:2])
    torch.testing.assert_close(found[0][2], found[1][2], atol=1e-5, rtol=1e-4)
