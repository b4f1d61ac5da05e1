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
from macrec.models.dense_head import CosineConfig
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


def test_the_cosine_head_ranks_by_what_is_read_of_contents():
    made, items = model(content=True, dense=CosineConfig(0.5)), torch.arange(ITEMS)
    states = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    vectors = made.get_buffer("content_text") @ made.projections["text"]
    expected = torch.nn.functional.cosine_similarity(states[:, None], vectors, dim=2) / 0.5
    torch.testing.assert_close(made.item_logits(states), expected, rtol=1e-4, atol=1e-4)
    # The vector that ranks an item is also what is read of it beside its codes, unless only codes are read.
    codes = torch.stack([made.words(items, made.slots(number)) for number in range(2)]).sum(0) + made.input_bias
    torch.testing.assert_close(made.inputs(items), codes + vectors)
    unread = model(content=True, dense=CosineConfig(0.5, read=False))
    torch.testing.assert_close(unread.inputs(items), codes)
    assert torch.equal(unread.item_logits(states), made.item_logits(states))
    with pytest.raises(ValueError, match="by contents needs some"):
        model(dense=CosineConfig())


def test_known_cosines_give_known_losses():
    """The state (3, 4) and the items (1, 0), (0, 1) and (4, 3): cosines .6, .8 and .96."""
    codes = {"text": SemanticIds.from_codes(np.arange(3)[:, None], ("text_a",), (3,))}
    contents = {"text": torch.tensor([[1.0, 0.0], [0.0, 1.0], [4.0, 3.0]])}
    config = CausalGeneratorConfig(CausalConfig(width=2, heads=1), head_units=2, dense=CosineConfig())
    made = CausalGenerator(codes, contents, config)
    with torch.no_grad():
        made.projections["text"].copy_(torch.eye(2))
    state, item = torch.tensor([[3.0, 4.0]]), torch.tensor([1])
    torch.testing.assert_close(made.item_logits(state) * 0.07, torch.tensor([[0.6, 0.8, 0.96]]))
    assert made.item_losses(state, item).item() == pytest.approx(2.387858, abs=1e-5)
    among = torch.tensor([True, True, False])
    assert made.item_losses(state, item, among).item() == pytest.approx(0.055844, abs=1e-6)


def liger_training(recipe=RECIPE, dense=CosineConfig(), tasks=("text", ITEM)):  # noqa: B008 - it is frozen
    """A training of which the last items are never part, and which of the items these are."""
    sequences = [(np.random.default_rng(user).integers(0, ITEMS - 5, 9)).tolist() for user in range(12)]
    train = leave_one_out(Histories.from_lists(sequences)).train
    ids, asked = {"text": tables()["text"]}, [CodeTask("text", target, "sequence") for target in tasks]
    contents = {"text": torch.randn(ITEMS, 5, generator=torch.Generator().manual_seed(2))}
    made = CausalGenerator(ids, contents, replace(SMALL, dense=dense))
    cold = ~torch.isin(torch.arange(ITEMS), torch.from_numpy(train.items[train.target].astype(np.int64)))
    cold &= ~torch.isin(torch.arange(ITEMS), torch.from_numpy(train.items[train.start].astype(np.int64)))
    return CausalTraining(made, CodeTables(ids, asked), train, replace(recipe, lambda_implicit=0.0)), cold


def test_items_without_training_events_are_not_learned_to_be_unlikely():
    (one, cold), (other, _) = liger_training(), liger_training()
    assert cold.sum() >= 5 and torch.equal(one.among, ~cold)
    with torch.no_grad():
        other.module.get_buffer("content_text")[cold] += 3.0
    state = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    moved = (one.module.item_logits(state) != other.module.item_logits(state)).all(0)
    assert torch.equal(moved, cold)
    losses = [task.losses(0)[0] for task in (one, other)]
    assert torch.equal(*losses)
    for loss in losses:
        loss.backward()
    for name, parameter in one.module.named_parameters():
        assert torch.equal(parameter.grad, dict(other.module.named_parameters())[name].grad), name


def test_a_cosine_head_of_weight_0_leaves_the_generator_as_it_is():
    (alone, _) = liger_training(dense=False, tasks=("text",))
    (beside, _) = liger_training(replace(RECIPE, dense_weight=0.0))
    assert list(alone.module.state_dict()) == list(beside.module.state_dict())
    assert all(torch.equal(*pair) for pair in zip(alone.module.parameters(), beside.module.parameters(), strict=True))
    assert torch.equal(alone.losses(0)[0], beside.losses(0)[0])


def test_a_dense_head_can_learn_alone():
    task, _ = liger_training(tasks=(ITEM,))
    loss, terms = task.losses(0)
    assert set(terms) == {ITEM} and torch.equal(loss, terms[ITEM])


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
