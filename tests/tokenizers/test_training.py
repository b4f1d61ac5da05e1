"""Training codebooks on a small catalog: order, warm-up, initialization, seeds, and a process that is killed.

Run as a program with a folder, this file trains there, or goes on, and saves the codes: the test of a killed process
needs one.
"""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from macrec.checkpoint import Checkpoint
from macrec.encoders.embeddings import Embeddings
from macrec.errors import DataError
from macrec.quantization.health import codebook_health
from macrec.quantization.residual_quantizer import ResidualQuantizer
from macrec.quantization.semantic_ids import SemanticIds
from macrec.tokenizers.autoencoder import RQVAEConfig
from macrec.tokenizers.cross_modal import CrossModalConfig, CrossModalRQVAE
from macrec.tokenizers.loss_terms import LossTerm, summed_over_levels
from macrec.tokenizers.measures import cross_modal_information
from macrec.tokenizers.training import (
    CodebookRecipe,
    CodebookTask,
)
from macrec.training import drain, train

CONFIG = CrossModalConfig(
    RQVAEConfig(projection=None, hidden=(16,), width=4, sizes=(6, 5, 4)),
    lambda_con=(0.0, 0.01, 0.01),
    lambda_align=0.01,
)
RECIPE = CodebookRecipe(epochs=10, batch=40, learning_rate=5e-3, warmup_share=0.2)
ITEMS = 120  # three batches an epoch, of which two epochs are plain


def catalog():
    """Two modalities that agree in part on which items are alike; one item has no image."""
    rng = np.random.default_rng(0)
    groups = rng.integers(6, size=(ITEMS, 2))
    vectors, labels = {}, {}
    for number, (name, dim) in enumerate({"text": 8, "image": 6}.items()):
        centers = rng.normal(size=(6, dim))
        values = centers[groups[:, number]] + 0.5 * centers[groups[:, 0]] + 0.3 * rng.normal(size=(ITEMS, dim))
        vectors[name] = (3 + values).astype(np.float32)
        labels[name] = groups[:, number].astype(np.int32)
    vectors["image"][11], labels["image"][11] = 0, -1
    return {name: Embeddings.from_values(name, "test", values) for name, values in vectors.items()}, labels


def task_of(recipe=RECIPE, config=CONFIG, **options):
    embeddings, labels = catalog()
    module = CrossModalRQVAE({name: vectors.dim for name, vectors in embeddings.items()}, config, recipe.seed)
    return CodebookTask(module, embeddings, labels, recipe, **options)


def trained(*arguments, **options):
    """A trained task and its events."""
    task = task_of(*arguments, **options)
    return task, list(train(task, task.plan(reports=1000, measurements=10)))


def codes(task):
    return {name: ids.codes for name, ids in task.semantic_ids().items()}


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in ("text", "image"))


def books(task):
    return [
        book.detach().clone() for name in ("text", "image") for book in task.module.branch(name).quantizer.codebooks
    ]


def test_the_loss_falls_and_events_name_what_is_drawn():
    task, events = trained(replace(RECIPE, epochs=40))
    assert len(events) == task.steps == 120
    for name in ("text", "image"):
        losses = [event.losses[f"reconstruction/{name}"] for event in events[30:]]
        assert np.mean(losses[-9:]) < 0.8 * np.mean(losses[:9])
    assert set(events[-1].losses) == {
        "loss", "alignment",
        *(f"{term}/{name}" for term in ("reconstruction", "quantization", "contrastive") for name in ("text", "image")),
    }  # fmt: skip
    last, ids = events[-1], task.semantic_ids()
    for name in ("text", "image"):
        health = codebook_health(ids[name])
        assert last.measured[f"conflict_rate/{name}"] == health.conflict_rate
        assert last.measured[f"dead_codes/{name}"] == sum(level.dead_codes for level in health.levels)
        for level, size in enumerate((6, 5, 4)):
            assert last.measured[f"utilization/{name}/{level}"] == health.levels[level].utilization
            assert last.measured[f"perplexity/{name}/{level}"] == health.levels[level].perplexity
            counts = [int((ids[name].codes[:, level] == code).sum()) for code in range(size)]
            assert last.usage[name][level].tolist() == counts
    assert len(last.measured) == 2 * (2 + 2 * 3)


@pytest.mark.parametrize(("items_per_batch", "batches"), [(40, 3), (50, 2), (7, 17), (1000, 1)])
def test_the_batches_of_an_epoch_are_a_permutation_in_equal_parts(items_per_batch, batches):
    task = task_of(replace(RECIPE, batch=items_per_batch))
    assert task.per_epoch == batches
    orders = []
    for epoch in (0, 5):
        parts = [task.batch(epoch * batches + part) for part in range(batches)]
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        orders.append(torch.cat(parts))
        assert sorted(orders[-1].tolist()) == list(range(ITEMS))
    assert not torch.equal(*orders)
    assert torch.equal(task.batch(0), task_of(replace(RECIPE, batch=items_per_batch)).batch(0))


def test_plain_epochs_leave_the_codebooks_untouched_and_kmeans_starts_them_once(monkeypatch):
    task, started = task_of(), []
    before, original = books(task), ResidualQuantizer.initialize

    def initialize(self, z, seed, iterations=25):
        started.append((events, len(z), z.clone(), seed))
        assert not self.initialized
        original(self, z, seed, iterations)

    monkeypatch.setattr(ResidualQuantizer, "initialize", initialize)
    assert task.warmup_steps == 6
    events = 0
    for event in train(task, task.plan(reports=1000)):
        events = event.step
        if event.step <= 6:
            assert all(torch.equal(book, start) for book, start in zip(books(task), before, strict=True))
            assert set(event.losses) == {"loss", "reconstruction/text", "reconstruction/image"}
            assert not event.measured  # codes would mean nothing yet
    assert [(step, size) for step, size, _, _ in started] == [(6, ITEMS), (6, ITEMS - 1)]  # one item has no image
    assert started[0][3] != started[1][3]


def test_kmeans_of_the_first_batch_sees_that_batch_only(monkeypatch):
    seen = []
    monkeypatch.setattr(ResidualQuantizer, "initialize", lambda self, z, seed: seen.append(z))
    task = task_of(replace(RECIPE, kmeans_init="batch", warmup_share=0.0))
    expected = task.latents(task.batch(0))
    task.losses(0)
    assert torch.equal(seen[0], expected["text"]) and torch.equal(seen[1], expected["image"])
    seen.clear()
    none = task_of(replace(RECIPE, kmeans_init="none", warmup_share=0.0))
    none.losses(0)
    assert not seen and not none.module.branch("text").quantizer.initialized


def test_codebooks_wait_for_a_batch_that_has_their_modality():
    task = task_of(replace(RECIPE, kmeans_init="batch", warmup_share=0.0))
    task.labels["image"][task.batch(0)] = -1
    for step in (0, 1):
        task.losses(step)
        started = [bool(task.module.branch(name).quantizer.initialized) for name in ("text", "image")]
        assert started == [True, step == 1] and task.module.training
    assert task.measure()[0]


def test_the_cross_modal_weights_climb_from_zero_once_the_plain_epochs_are_over():
    task = task_of(replace(RECIPE, ramp=0.5))  # over 15 of 30 steps
    ramp = [task.ramp(step) for step in range(task.steps)]
    assert ramp[:6] == [0.0] * 6
    assert ramp[6:21] == pytest.approx([step / 15 for step in range(1, 16)]) and set(ramp[21:]) == {1.0}
    assert {task_of(replace(RECIPE, ramp=0.0)).ramp(step) for step in (6, 29)} == {1.0}
    for step in (8, 25):
        task.module.eval()
        loss, _ = task.losses(step)
        outputs = task.module({name: x[task.batch(step)] for name, x in task.x.items()})
        terms = task.module.losses(outputs, {name: label[task.batch(step)] for name, label in task.labels.items()})
        weights = task.module.weights(ramp[step])
        torch.testing.assert_close(loss, sum(weights[name] * term for name, term in terms.items()))


def test_seeds_give_the_codes():
    """T20: two runs with one seed agree, whatever else is drawn; another seed does not."""
    recipe = replace(RECIPE, epochs=5)
    torch.manual_seed(1)
    one, events = trained(recipe)
    torch.manual_seed(2)
    two, again = trained(recipe)
    assert same(codes(one), codes(two))
    assert [event.losses for event in events] == [event.losses for event in again]
    assert not same(codes(one), codes(trained(replace(recipe, seed=1))[0]))


@pytest.mark.parametrize(
    "change",
    [
        {"lambda_con": (0.01, 0.01, 0.01)},
        {"lambda_con": (0.0, 0.0, 0.01)},
        {"temperature": 0.5},
        {"lambda_align": 0.1},
    ],
)
def test_settings_reach_the_training(change):
    """T20: begin level, weights and temperature."""
    recipe = replace(RECIPE, epochs=4, warmup_share=0.0, ramp=0.0)
    one, other = (trained(recipe, config)[1] for config in (CONFIG, replace(CONFIG, **change)))
    assert abs(one[0].losses["loss"] - other[0].losses["loss"]) > 1e-6
    assert one[-1].losses["reconstruction/text"] != other[-1].losses["reconstruction/text"]


def test_the_loss_of_a_step_depends_on_nothing_that_was_drawn_before():
    losses = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        task = task_of(replace(RECIPE, warmup_share=0.0), replace(CONFIG, positives="sampled"))
        losses.append(float(task.losses(0)[0].detach()))
    assert losses[0] == losses[1]


def test_a_resumed_training_keeps_its_codebooks_and_reaches_the_same_codes(tmp_path, monkeypatch):
    """T20: the published code starts its codebooks anew, as its flag is no buffer. Also with dropout and Sinkhorn."""
    config = replace(
        CONFIG, rqvae=replace(CONFIG.rqvae, dropout=0.1, quantizer="sinkhorn:epsilon=0.05"), positives="sampled"
    )
    recipe = replace(RECIPE, epochs=6, warmup_share=0.34)
    expected, events = trained(recipe, config)
    plan = expected.plan(reports=1000, measurements=10)
    for last in (3, 7, 11):  # in a plain epoch, right after the codebooks started, at the end of an epoch
        task = task_of(recipe, config)
        running = train(task, plan, Checkpoint(tmp_path / str(last), {}))
        for event in running:
            if event.step == last:
                break
        running.close()
        again = task_of(recipe, config)
        with monkeypatch.context() as patch:
            if last >= 7:
                patch.setattr(ResidualQuantizer, "initialize", lambda *_: pytest.fail("initialized again"))
            resumed = list(train(again, plan, Checkpoint(tmp_path / str(last), {})))
        assert [event.losses for event in resumed] == [event.losses for event in events]
        assert [event.measured for event in resumed] == [event.measured for event in events]
        for name, value in expected.module.state_dict().items():
            assert torch.equal(again.module.state_dict()[name], value)
        assert same(codes(again), codes(expected))


def test_dead_codewords_are_revived_after_every_epoch_but_the_last_ones(monkeypatch):
    revived = []
    monkeypatch.setattr(ResidualQuantizer, "revive", lambda self, z, generator: revived.append((step, len(z))) or 0)
    task = task_of(replace(RECIPE, epochs=20, warmup_share=0.1))
    step = 0
    for event in train(task, task.plan(reports=1000, measurements=1)):
        step = event.step
    # Steps are counted before the one that ends an epoch; epochs 1 and 2 are plain, 20 lies in the last 5 percent.
    assert [before + 1 for before, _ in revived[::2]] == [3 * epoch for epoch in range(3, 20)]
    assert len(revived) == 34 and {size for _, size in revived[::2]} == {40}
    revived.clear()
    task = task_of(replace(RECIPE, revive=False))
    list(train(task, task.plan()))
    assert not revived


def test_revival_brings_codewords_to_life():
    config = replace(CONFIG, rqvae=replace(CONFIG.rqvae, sizes=(24, 24, 24)))
    recipe = replace(RECIPE, epochs=15, kmeans_init="none", warmup_share=0.0)
    with_, without = (trained(replace(recipe, revive=revive), config)[1][-1].measured for revive in (True, False))
    for name in ("text", "image"):
        assert with_[f"dead_codes/{name}"] < 0.5 * without[f"dead_codes/{name}"]


def test_ema_codebooks_learn_without_gradient():
    task, events = trained(
        replace(RECIPE, epochs=20), replace(CONFIG, rqvae=replace(CONFIG.rqvae, quantizer="ema:decay=0.9"))
    )
    assert not any(book.requires_grad for book in task.module.branch("text").quantizer.codebooks)
    assert events[-1].losses["reconstruction/text"] < 0.8 * events[13].losses["reconstruction/text"]


def test_the_published_recipe_takes_every_modality_from_its_own_best_measurement(monkeypatch):
    recipe = replace(RECIPE, epochs=4).published()
    task = task_of(recipe, CONFIG.published())
    rates = {3: (0.5, 0.4), 6: (0.2, 0.3), 9: (0.4, 0.1), 12: (0.3, 0.2)}
    weights = {}

    def measure():
        step = 3 * (len(weights) + 1)
        weights[step] = {name: value.clone() for name, value in task.module.state_dict().items()}
        return dict(zip(("conflict_rate/text", "conflict_rate/image"), rates[step], strict=True)), {}

    monkeypatch.setattr(task, "measure", measure)
    list(train(task, task.plan(measurements=4)))
    best = {"text": weights[6], "image": weights[9]}
    for name, value in task.module.state_dict().items():
        assert torch.equal(value, best[name.split(".")[1]][name])
    for modality in ("text", "image"):
        name = f"branches.{modality}.encoder.0.weight"
        assert not torch.equal(task.module.state_dict()[name], weights[12][name])
    monkeypatch.undo()
    last = task_of(replace(recipe, keep="last"), CONFIG.published())
    list(train(last, last.plan()))
    assert all(torch.equal(value, weights[12][name]) for name, value in last.module.state_dict().items())


def test_the_published_recipe_trains_on_raw_vectors():
    embeddings, _ = catalog()
    raw, standard = task_of(RECIPE.published()), task_of()
    assert np.array_equal(raw.x["text"].numpy(), embeddings["text"].values)
    assert (raw.module.branch("text").mean == 0).all() and (raw.module.branch("text").std == 1).all()
    assert standard.x["text"].mean(0).abs().max() < 1e-5
    assert (standard.x["image"][11] == 0).all()
    published = RECIPE.published()
    assert (published.epochs, published.batch, published.warmup_share, published.ramp, published.revive) == (
        10,
        40,
        0.0,
        0.0,
        False,
    )


def test_two_best_waits_until_there_are_codes():
    _, events = trained(replace(RECIPE, epochs=5, keep="two_best"))
    assert any(event.measured for event in events)


def test_codes_are_those_of_raw_embeddings_and_follow_the_rows_that_are_asked_for():
    task, _ = trained(replace(RECIPE, epochs=4))
    embeddings, labels = catalog()
    names = pl.Series([f"item {row}" for row in range(ITEMS)])
    shuffled = torch.randperm(ITEMS, generator=torch.Generator().manual_seed(0))
    for rows in (None, torch.tensor([5, 11, 3, 90]), shuffled):
        for name, ids in task.semantic_ids(names, rows).items():
            expected = [row for row in (range(ITEMS) if rows is None else rows.tolist()) if labels[name][row] >= 0]
            assert ids.item_ids.to_list() == [f"item {row}" for row in expected]
            whole = task.module.branch(name).encode(embeddings[name]).numpy()
            assert np.array_equal(ids.codes, whole[expected])


def test_reconstruction_is_the_error_of_decoded_codes_in_deviations():
    for recipe in (replace(RECIPE, epochs=4), replace(RECIPE, epochs=4, standardize=False)):
        task, _ = trained(recipe)
        embeddings, _ = catalog()
        for name, error in task.reconstruction().items():
            branch, std = task.module.branch(name), torch.from_numpy(embeddings[name].std)
            output = branch(task.x[name])
            difference = (branch.decoder(output.quantized.words) - task.x[name])[embeddings[name].present]
            scaled = difference if recipe.standardize else difference / std
            assert error == pytest.approx(scaled.square().mean().item(), rel=1e-4)


def test_a_large_catalog_is_measured_by_a_sample():
    task = task_of(replace(RECIPE, warmup_share=0.0), sample=30)
    task.losses(0)
    measured, usage = task.measure()
    assert len(task.measured) == len(set(task.measured.tolist())) == 30
    assert [level.sum() for level in usage["text"]] == [30, 30, 30]
    rows = task.semantic_ids(rows=task.measured)
    assert measured["conflict_rate/text"] == codebook_health(rows["text"]).conflict_rate


def test_measuring_leaves_the_module_as_it_is():
    task = task_of(replace(RECIPE, warmup_share=0.0))
    task.losses(0)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    task.measure()
    assert all(torch.equal(value, before[name]) for name, value in task.module.state_dict().items())


def test_terms_are_summed_over_levels():
    terms = {
        LossTerm("contrastive", "text", 1): 2.0, LossTerm("contrastive", "text", 2): 3.0,
        LossTerm("contrastive", "image", 2): 5.0, LossTerm("alignment"): 7.0, LossTerm("quantization", "text"): 11.0,
    }  # fmt: skip
    found = summed_over_levels({term: torch.tensor(value) for term, value in terms.items()})
    assert {name: float(value) for name, value in found.items()} == {
        "contrastive/text": 5.0, "contrastive/image": 5.0, "alignment": 7.0, "quantization/text": 11.0,
    }  # fmt: skip


def test_events_carry_the_weights_of_their_terms_also_when_they_come_back(tmp_path):
    """Terms times their weights sum to the loss, but for the mean over steps, when the ramp is over."""
    task = task_of(replace(RECIPE, ramp=0.5))
    checkpoint = Checkpoint(tmp_path / "c", {})
    events = drain(train(task, task.plan(reports=task.steps), checkpoint)).events
    assert [event.weights["alignment"] for event in events] == pytest.approx(
        [task.ramp(step) * 0.01 for step in range(task.steps)]
    )
    for event in events:
        weighted = sum(event.weights[name] * value for name, value in event.losses.items() if name != "loss")
        assert weighted == pytest.approx(event.losses["loss"], rel=1e-5)
    again = task_of(replace(RECIPE, ramp=0.5))
    assert [event.weights for event in train(again, again.plan(reports=again.steps), checkpoint)] == [
        event.weights for event in events
    ]


def resumable(checkpoint=None):
    """The codes of a training that goes on from `checkpoint` if there is one, and saves at every event."""
    task = task_of(replace(RECIPE, epochs=50, warmup_share=0.04))
    drain(train(task, task.plan(reports=50), checkpoint, checkpoint_seconds=0))
    return codes(task)


def test_a_training_that_is_killed_and_resumed_reaches_the_same_codes(tmp_path):
    """In two processes of their own, the first of which gets SIGKILL once its codebooks are learning."""
    command = [sys.executable, __file__, str(tmp_path), str(torch.get_num_threads())]
    file, step, deadline = tmp_path / "checkpoint.json", 0, time.monotonic() + 120
    with subprocess.Popen(command) as process:
        while step < 12:
            assert process.poll() is None and time.monotonic() < deadline, "no checkpoint was seen in time"
            time.sleep(0.001)
            if file.exists():
                step = json.loads(file.read_text())["state"]["step"]
        process.kill()
        assert process.wait() == -signal.SIGKILL
    left = json.loads(file.read_text())["state"]
    assert 12 <= left["step"] < 150 and not left["finished"]
    subprocess.run(command, check=True, timeout=120)
    assert same(np.load(tmp_path / "codes.npz"), resumable())


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]))
    folder = Path(sys.argv[1])
    np.savez(folder / "codes.npz", **resumable(Checkpoint(folder, {"test": "kill"})))


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch": 0}, {"warmup_share": 1.0}, {"ramp": -0.1}])
def test_a_recipe_that_cannot_be_followed_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        CodebookRecipe(**bad)


def test_a_modality_that_no_item_has_is_named():
    vectors = {name: Embeddings.from_values(name, "toy", np.ones((4, 3), np.float32)) for name in ("text", "image")}
    model = CrossModalRQVAE({"text": 3, "image": 3}, CONFIG)
    labels = {"text": np.zeros(4, np.int32), "image": np.full(4, -1, np.int32)}
    with pytest.raises(DataError, match="no item has the modality image"):
        CodebookTask(model, vectors, labels, RECIPE)
    with pytest.raises(ValueError, match="image has 4 vectors and 3 labels for 4 items"):
        CodebookTask(model, vectors, labels | {"image": np.zeros(3, np.int32)}, RECIPE)


def test_codes_that_follow_the_other_modality_tell_its_entropy_and_random_ones_nothing():
    rng = np.random.default_rng(0)
    other = rng.integers(0, 4, 3000).astype(np.int32)
    own = np.zeros(3000, np.int32)
    own[::10] = -1  # these have no ID
    other[::7] = -1  # these have an ID, but nothing to compare it with
    rows = own >= 0
    codes = np.stack([np.maximum(other, 0), rng.integers(0, 4, 3000)], 1)[rows]
    found = cross_modal_information(SemanticIds.from_codes(codes), "text", {"text": own, "image": other})
    assert found[0] == pytest.approx(np.log(4), abs=0.01) and abs(found[1]) < 0.01


def test_information_is_the_mean_over_the_other_modalities():
    rng = np.random.default_rng(0)
    one, two = rng.integers(0, 4, (2, 3000)).astype(np.int32)
    ids = SemanticIds.from_codes(one[:, None])
    labels = {"text": np.zeros(3000, np.int32), "image": one, "sound": two}
    assert cross_modal_information(ids, "text", labels)[0] == pytest.approx(np.log(4) / 2, abs=0.01)


def test_the_published_recipe_keeps_its_rate_and_does_not_ramp():
    recipe = CodebookRecipe(epochs=7, batch=9, seed=4).published()
    assert (recipe.schedule, recipe.ramp, recipe.warmup_share, recipe.revive) == ("constant", 0.0, 0.0, False)
    assert (recipe.epochs, recipe.batch, recipe.seed) == (7, 9, 4)
