from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.checkpoint import Checkpoint
from macrec.data import Histories, leave_one_out
from macrec.generation.batches import CodeTables
from macrec.generation.beam import beam_search
from macrec.generation.causal import CausalGenerator, CausalGeneratorConfig, CausalScorer, newest_states
from macrec.generation.causal_training import ITEMS as ITEMS_DRAW
from macrec.generation.causal_training import VIEWS, CausalRecipe, CausalTraining
from macrec.generation.exact import leaf_scores
from macrec.generation.tasks import ITEM, CodeTask, code_tasks
from macrec.generation.trie import CodeTrie
from macrec.models.causal import CausalConfig
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import drain, generator_for, train

ITEMS = 30
SMALL = CausalGeneratorConfig(CausalConfig(width=16, heads=2, layers=2, feed_forward=32, dropout=0.0), head_units=12)
RECIPE = CausalRecipe(epochs=2, batch=8, items=6, max_history=6)


def tables(seed=0):
    rng = np.random.default_rng(seed)
    text = rng.permutation(4 * 4 * 4)[:ITEMS, None] // np.array([16, 4, 1]) % 4
    image = rng.permutation(6 * 6)[:ITEMS, None] // np.array([6, 1]) % 6
    return {
        "text": SemanticIds.from_codes(text, ("text_a", "text_b", "text_c"), (4, 4, 4)),
        "image": SemanticIds.from_codes(image, ("image_a", "image_b"), (6, 6)),
    }


def split(users=25, seed=1):
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(0, ITEMS, length).tolist() for length in rng.integers(4, 14, users)]
    return leave_one_out(Histories.from_lists(sequences))


def model(content=False, seed=0, dense=False, item_vectors=False):
    vectors = {"text": torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(2))} if content else None
    made = CausalGenerator(tables(), vectors, replace(SMALL, dense=dense, item_vectors=item_vectors), seed)
    with torch.no_grad():  # far from the start, where all probabilities are nearly the same
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(4)) * 0.3)
    return made.eval()


def tries():
    return [CodeTrie.of(ids) for ids in tables().values()]


def path(source, target):
    return CodeTask(source, target, "sequence")


@pytest.mark.parametrize("content", [False, True])
@pytest.mark.parametrize("normalize", ["children", "level"])
def test_the_loss_at_every_place_is_that_of_a_search_after_the_history_up_to_it(content, normalize):
    made, samples = model(content, dense=True), split().train.newest(6)
    tasks = code_tasks(("text", "image"), joint=True, dense=True)
    task = CausalTraining(made, CodeTables(tables(), tasks), samples, RECIPE)
    batch = task.windows.batch(0)
    items = task.windows.events[batch.places[batch.inside]].long()
    states = made.states(items, batch.inside)[batch.asked[batch.inside]]
    targets = task.windows.events[batch.places[batch.asked] + 1].long()
    losses = [*made.losses(states, targets, tries(), normalize), made.item_losses(states, targets)]
    # Every asked place as a sample of its own: the history of its window up to it.
    ends = (batch.places[batch.asked] + 1).numpy()
    begins = batch.places[:, :1].expand_as(batch.places)[batch.asked].numpy()
    alone = type(samples)(samples.items, np.zeros(len(ends), np.int64), begins, ends)
    asked, joint = task.tables, len(tasks) - 3
    for number, trie in enumerate([*tries(), CodeTrie.of(asked.table(ITEM))]):
        scores = leaf_scores(made.scorer(asked, joint + number, alone, normalize), trie, normalize)
        expected = -scores.gather(1, trie.leaf[targets].long()[:, None])[:, 0]
        torch.testing.assert_close(losses[number], expected, rtol=1e-4, atol=1e-4)


def test_the_probabilities_of_all_ids_sum_to_one_and_a_wide_beam_finds_the_exact_ranking():
    made, asked = model(), split().test
    for number, trie in enumerate(tries()):
        scores = leaf_scores(CausalScorer(made, path("text", made.modalities[number]), asked), trie, "children")
        torch.testing.assert_close(scores.exp().sum(1), torch.ones(len(asked)), rtol=0, atol=1e-5)
        found = beam_search(CausalScorer(made, path("text", made.modalities[number]), asked), trie, 64, ITEMS)
        best = scores[:, trie.leaf.long()].sort(1, descending=True).values
        np.testing.assert_allclose(found.scores, best.numpy(), atol=1e-5)


def test_the_dense_head_adds_codewords_and_contents_of_every_item():
    made = model(content=True, dense=True)
    states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    logits = made.item_logits(states)
    for item in range(ITEMS):
        codewords = sum(made.codebooks[slot, made.codes[item, slot]] for slot in range(5))
        contents = made.get_buffer("content_text")[item] @ made.dense.projections["text"]
        expected = (states @ made.dense.query) @ (codewords + contents) + made.dense.bias[item]
        torch.testing.assert_close(logits[:, item], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="no dense head"):
        model().item_logits(states)


def test_vectors_of_items_are_read_where_all_modalities_are_and_ranked_by_the_dense_head():
    made, asked = model(dense=True, item_vectors=True), split().test
    scorers = [CausalScorer(made, path(source, "text"), asked) for source in ("text+image", "text", "image")]
    joint, *single = [scorer.state for scorer in scorers]
    states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    logits = made.item_logits(states)
    moved = torch.randn(ITEMS, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        made.item_vectors.add_(moved)
    after = [CausalScorer(made, path(source, "text"), asked).state for source in ("text+image", "text", "image")]
    assert not torch.allclose(after[0], joint)
    assert all(torch.equal(one, other) for one, other in zip(after[1:], single, strict=True))
    expected = logits + (states @ made.dense.query) @ moved.T
    torch.testing.assert_close(made.item_logits(states), expected, rtol=1e-4, atol=1e-4)
    assert model().item_vectors is None


def test_what_is_not_read_changes_nothing():
    made, asked = model(content=True), split().test
    by_image = path("image", "text")
    before = CausalScorer(made, by_image, asked).state
    with torch.no_grad():
        made.codes[:, :3] = made.codes[torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0)), :3]
        made.get_buffer("content_text").add_(1.0)
    assert torch.equal(CausalScorer(made, by_image, asked).state, before)
    assert not torch.equal(CausalScorer(made, path("text", "text"), asked).state, before)


@pytest.mark.parametrize("normalize", ["children", "level"])
def test_losses_that_are_not_asked_are_zero_and_the_others_as_they_are(normalize):
    made, generator = model(), torch.Generator().manual_seed(0)
    states, items = torch.randn(20, 16, generator=generator), torch.randint(ITEMS, (20,), generator=generator)
    asked = torch.rand(2, 20, generator=generator) < 0.5
    every = made.losses(states, items, tries(), normalize)
    torch.testing.assert_close(made.losses(states, items, tries(), normalize, asked), every * asked)
    assert not torch.equal(asked[0], asked[1])


def test_a_loss_is_made_of_its_terms_each_with_its_weight_and_of_the_events_that_follow():
    made, samples = model(dense=True), split().train.newest(6)
    sequences = [task for task in code_tasks(("text", "image"), joint=True, dense=True) if task.kind == "sequence"]
    tasks = (*sequences, CodeTask("text", "image", "item"))
    recipe = replace(RECIPE, item_weight=0.5, dense_weight=0.25, lambda_implicit=0.0, joint_share=0.4)
    task = CausalTraining(made, CodeTables(tables(), tasks), samples, recipe)
    loss, terms = task.losses(3)
    of_ids = loss - 0.25 * terms[ITEM] - 0.5 * terms["item tasks"]
    torch.testing.assert_close(of_ids, mean_of_ids(task, made, 3))
    # From an item of which the text is read to its image ID, and in no other direction.
    chosen = torch.randperm(ITEMS, generator=generator_for(recipe.seed, ITEMS_DRAW, 3))[: recipe.items]
    across = made.losses(made.alone(chosen, [0])[0], chosen, tries(), "children")[1]
    torch.testing.assert_close(terms["item tasks"], across.mean())


def mean_of_ids(task, made, step):
    """The mean over places of the mean loss of the IDs that are written there, by hand."""
    batch = task.windows.batch(step)
    drawn = generator_for(task.recipe.seed, VIEWS, step)
    view = torch.multinomial(task.shares, len(batch.inside), replacement=True, generator=drawn)
    total, places = 0.0, 0
    for row, chosen in enumerate(view.tolist()):
        items = task.windows.events[batch.places[row][batch.inside[row]]].long()
        inside = torch.ones(1, len(items), dtype=torch.bool)
        states = made.states(items, inside, task.reads[chosen][None].float())
        asked = batch.asked[row][batch.inside[row]]
        following = task.windows.events[batch.places[row][batch.inside[row]][asked] + 1].long()
        losses = made.losses(states[asked], following, tries(), "children")[task.writes[chosen][:2]]
        total, places = total + losses.mean(0).sum(), places + int(asked.sum())
    return total / places


def test_the_validation_loss_of_a_path_is_that_of_its_target_alone():
    made, samples = model(dense=True), split()
    tasks = code_tasks(("text", "image"), joint=True, dense=True)
    task = CausalTraining(made, CodeTables(tables(), tasks), samples.train.newest(6), RECIPE)
    asked = samples.test.newest(6)
    targets = torch.from_numpy(asked.targets).long()
    for number, one in enumerate(tasks):
        if one.kind == "sequence":
            state = newest_states(made, one, asked)
            expected = (
                made.item_losses(state, targets)
                if one.target == ITEM
                else made.losses(state, targets, tries(), "children")[made.modalities.index(one.target)]
            )
            assert task.loss_of(asked, [number]) == pytest.approx(expected.mean().item(), rel=1e-5)


def test_every_target_is_asked_once_per_epoch():
    samples = split().train
    task = CausalTraining(model(), CodeTables(tables(), code_tasks(("text", "image"))), samples, RECIPE)
    seen = np.concatenate(
        [batch.places[batch.asked].numpy() + 1 for batch in map(task.windows.batch, range(task.windows.per_epoch))]
    )
    assert np.array_equal(np.sort(seen), np.sort(samples.target))
    assert sum(map(task.batch_size, range(task.windows.per_epoch))) == len(samples)


def test_views_decide_what_is_written():
    samples = split().train
    only = CausalTraining(model(), CodeTables(tables(), [CodeTask("text", "image", "sequence")]), samples, RECIPE)
    assert set(only.losses(0)[1]) == {"image", "implicit"}
    six = CausalTraining(model(), CodeTables(tables(), code_tasks(("text", "image"), joint=True)), samples, RECIPE)
    assert six.reads.tolist() == [[True, False], [False, True], [True, True]] and six.writes.all()
    assert set(six.losses(0)[1]) == {"text", "image", "item tasks", "implicit"}


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_training_resumes_bit_for_bit(tmp_path, optimizer):
    def task():
        config = replace(SMALL, transformer=replace(SMALL.transformer, dropout=0.2))
        recipe = replace(RECIPE, optimizer=optimizer)
        made = CausalGenerator(tables(), None, config, 0)
        return CausalTraining(
            made, CodeTables(tables(), code_tasks(("text", "image"), joint=True)), split().train, recipe
        )

    whole, halves = task(), task()
    drain(train(whole, whole.plan(reports=100), None))
    checkpoint = Checkpoint(tmp_path / "training", {"of": "test"})
    for event in train(halves, halves.plan(reports=100), checkpoint):
        if event.step == 4:
            break
    resumed = task()
    drain(train(resumed, resumed.plan(reports=100), checkpoint))
    for name, value in whole.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name
