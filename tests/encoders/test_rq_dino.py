"""RQ-DINO as a training and as an encoder: what is quantized, what moves what, resumption, and the encoder contract."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from macrec.checkpoint import Checkpoint
from macrec.data.curio import curio
from macrec.encoders import EmbeddingStore, make_encoder
from macrec.encoders.distillation import task as of_task
from macrec.encoders.distillation.crops import Crops, multi_crop
from macrec.encoders.distillation.dino import distillation_loss, teacher_probabilities
from macrec.encoders.distillation.labels import category_labels
from macrec.encoders.distillation.model import RQDINO, as_floats, codes_of
from macrec.encoders.distillation.pictures import load_pictures
from macrec.encoders.distillation.recipe import DistillationRecipe
from macrec.encoders.distillation.task import CROPS, DistillationTask, sizes_for
from macrec.encoders.registry import located_spec
from macrec.encoders.rq_dino import RQDINOEncoder
from macrec.errors import DataError
from macrec.training import drain, generator_for, train

SMALL = DistillationRecipe(
    pixels=20, global_pixels=12, local_pixels=8, local_crops=2, width=16, prototypes=16, hidden=32, bottleneck=16,
    levels=2, codewords=8, steps=12, batch=32, warmup=0.25, ramp=0.1,
)  # fmt: skip
WARMUP = SMALL.warmup_steps


@pytest.fixture(scope="module")
def data():
    return curio("tiny")


@pytest.fixture(scope="module")
def pictures(data):
    return load_pictures(data, np.flatnonzero(data.images.present), SMALL.pixels)


def new_task(pictures, recipe=SMALL):
    return DistillationTask(RQDINO(recipe, sizes_for(recipe, len(pictures))), pictures)


def after(pictures, recipe=SMALL, steps=None):
    """The task after a training of `recipe`, or of its first `steps`."""
    task = new_task(pictures, recipe)
    running = train(task, replace(task.plan(), report_every=1, measure_every=100))
    for event in running:
        if event.step == steps:
            break
    running.close()
    task.module.train()
    return task


def same(one, other):
    return all(torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items())


@pytest.fixture(scope="module")
def started(pictures):
    """The state of a training after four steps with codebooks."""
    return {name: value.clone() for name, value in after(pictures, steps=WARMUP + 4).module.state_dict().items()}


def resumed(pictures, started, recipe=SMALL):
    task = new_task(pictures, recipe)
    task.module.load_state_dict(started)
    return task


def test_the_teacher_gets_no_gradient_and_follows(pictures, started):
    task = resumed(pictures, started)
    task.losses(WARMUP + 4)[0].backward()
    teacher = [*task.module.teacher.parameters(), *task.module.teacher_head.parameters()]
    assert all(weight.grad is None for weight in teacher) and not any(weight.requires_grad for weight in teacher)
    moved = [weight.grad is not None for weight in (*task.module.student.parameters(), *task.module.head.parameters())]
    assert all(moved) and all(book.grad is None for book in task.module.quantizer.codebooks)
    before = {name: value.clone() for name, value in task.module.state_dict().items()}
    task.stepped(SMALL.steps // 2)  # where the momentum is halfway to 1
    momentum = 1 - (1 - SMALL.momentum) / 2
    for name, value in task.module.teacher.named_parameters():
        expected = momentum * before[f"teacher.{name}"] + (1 - momentum) * before[f"student.{name}"]
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("quantize", ["student", "both", "none"])
def test_what_the_heads_see(pictures, started, quantize):
    """As many values as there are IDs, where a branch is quantized; else as many as there are crops."""
    recipe = replace(SMALL, quantize=quantize, levels=2, codewords=2, warmup=0.0, ramp=0.0)
    task = new_task(pictures, recipe)
    seen = {}
    for name, head in (("student", task.module.head), ("teacher", task.module.teacher_head)):
        head.layers.register_forward_pre_hook(lambda _, given, name=name: seen.update({name: given[0].detach()}))
    _, terms = task.losses(0)
    values = {name: len(np.unique(x.numpy().round(4), axis=0)) for name, x in seen.items()}
    assert ("commitment" in terms) == (quantize != "none")
    for name, crops in (("student", 4 * 32), ("teacher", 2 * 32)):
        quantized = quantize == "both" or quantize == name
        assert values[name] <= 2**2 if quantized else values[name] > crops / 2


def test_without_a_quantizer_it_is_plain_dino(pictures):
    recipe = replace(SMALL, quantize="none")
    task = new_task(pictures, recipe)
    step = 7
    loss, terms = task.losses(step)
    module = RQDINO(recipe, task.module.quantizer.sizes)
    crops = multi_crop(as_floats(pictures[task.batch(step)]), recipe, generator_for(recipe.seed, CROPS, step))
    by_size = [views.flatten(0, 1) for views in crops]
    said = module.teacher_head(module.teacher(by_size[0])).unflatten(0, (2, -1))
    each = torch.cat([module.student(views) for views in by_size])  # normalized size by size
    student = module.head(each).unflatten(0, (4, -1))
    probabilities = teacher_probabilities(said, torch.zeros(recipe.prototypes), recipe.teacher_temperature)
    assert [*terms] == ["distillation"]
    assert loss.item() == pytest.approx(distillation_loss(student, probabilities, 0.1).item(), rel=1e-5)
    # Before its codebooks are there, a training with a quantizer is the same.
    assert same(after(pictures, recipe, WARMUP).module, after(pictures, SMALL, WARMUP).module)
    assert not after(pictures, recipe).module.quantizer.initialized


def test_only_global_crops_move_codewords(pictures, started, monkeypatch):
    def codebooks_with(shown_whole=None, shown_part=None):
        def crops(*given):
            made = multi_crop(*given)
            return Crops(*(each if other is None else other(each) for each, other in
                           zip(made, (shown_whole, shown_part), strict=True)))  # fmt: skip

        monkeypatch.setattr(of_task, "multi_crop", crops)
        task = resumed(pictures, started)
        task.losses(WARMUP + 4)
        return torch.cat([*task.module.quantizer.codebooks])

    usual = codebooks_with()
    assert torch.equal(usual, codebooks_with(shown_part=lambda crops: 1 - crops))
    assert not torch.equal(usual, codebooks_with(shown_whole=lambda crops: 1 - crops))


def test_codebooks_start_at_all_pictures_and_the_vectors_move_to_them_by_and_by(pictures):
    task = after(pictures, steps=WARMUP)
    assert not task.module.quantizer.initialized
    copy = new_task(pictures).module
    copy.load_state_dict(task.module.state_dict())
    copy.quantizer.initialize(copy.eval().embed(pictures, teacher=False), SMALL.seed)
    task.losses(WARMUP)
    for level, codebook in enumerate(copy.quantizer.codebooks):
        assert torch.equal(codebook, task.module.teacher_codebooks[level])  # which have not moved since
    ramps = [new_task(pictures, replace(SMALL, steps=100, ramp=0.04)).ramp(step) for step in (24, 25, 26, 27, 28, 60)]
    assert ramps == [0, 0.25, 0.5, 0.75, 1, 1]


def test_a_killed_training_goes_on_bit_for_bit(pictures, tmp_path):
    whole = new_task(pictures)
    events = drain(train(whole, whole.plan(), Checkpoint(tmp_path / "whole", {}))).events
    for stop in (2, WARMUP + 2):  # before and after the codebooks are there
        checkpoint = Checkpoint(tmp_path / str(stop), {})
        killed = new_task(pictures)
        list(itertools.islice(running := train(killed, killed.plan(), checkpoint), stop))
        running.close()
        again = new_task(pictures)
        resumed_events = drain(train(again, again.plan(), checkpoint)).events
        assert same(whole.module, again.module)
        assert [(event.losses, event.measured) for event in resumed_events] == [
            (event.losses, event.measured) for event in events
        ]
    measured = events[-1].measured
    assert {"teacher_entropy", "perplexity/image/0", "perplexity/image/1", "conflict_rate/image"} <= measured.keys()
    assert "knn_accuracy" not in measured and [len(counts) for counts in events[-1].usage["image"]] == [8, 8]


def test_a_collapse_breaks_the_training_off(pictures, monkeypatch):
    monkeypatch.setattr(RQDINO, "vectors", lambda self, given: torch.zeros(len(given), SMALL.width))
    with pytest.raises(DataError, match="codes of RQ-DINO have collapsed"):
        after(pictures)  # at the last step, where it is measured
    after(pictures, steps=WARMUP)


def test_the_teacher_can_be_read_out(pictures):
    task = after(pictures, replace(SMALL, readout="teacher"))
    module = task.module
    assert torch.equal(module.vectors(pictures), module.embed(pictures, teacher=True))
    assert torch.equal(module.codebooks[0], module.teacher_codebook_0)
    assert not torch.equal(module.codebooks[0], module.quantizer.codebooks[0])
    whole = codes_of(module.vectors(pictures), module.codebooks)
    assert torch.equal(whole[5:9], codes_of(module.vectors(pictures)[5:9], module.codebooks))


# ------------------------------------------------------------------------------------------------------ the encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return RQDINOEncoder(SMALL, tmp_path_factory.mktemp("rq-dino"))


def test_it_is_an_encoder_that_is_trained_once(encoder, data, tmp_path, monkeypatch):
    vectors = EmbeddingStore(tmp_path).get(data, encoder, progress=False)
    present = np.flatnonzero(data.images.present)
    assert vectors.modality == "image" and vectors.dim == SMALL.width
    assert np.array_equal(vectors.present, data.images.present) and not vectors.values[~vectors.present].any()
    rows = present[[7, 0, 3]]
    alone = np.concatenate([encoder.encode(data, rows[place : place + 1]) for place in range(3)])
    np.testing.assert_allclose(encoder.encode(data, rows), alone, atol=1e-5)
    np.testing.assert_allclose(vectors.values[rows], alone, atol=1e-5)
    assert len(np.unique(vectors.values[present], axis=0)) > 0.9 * len(present)
    # Another process finds the training, and needs no pictures but those it encodes.
    monkeypatch.setattr(of_task.DistillationTask, "losses", None)
    again = RQDINOEncoder(SMALL, encoder.folder)
    np.testing.assert_allclose(again.encode(data, rows), alone, atol=1e-5)
    assert again.distillation(data).codes(alone).tolist() == encoder.distillation(data).codes(alone).tolist()
    assert [event.step for event in again.events(data)][-1] == SMALL.steps


def test_its_name_makes_it_again_and_says_what_is_not_the_default(encoder, tmp_path):
    assert make_encoder("rq-dino") == RQDINOEncoder() and RQDINOEncoder().name == "rq-dino"
    assert make_encoder(encoder.name) == RQDINOEncoder(SMALL)
    assert make_encoder("rq-dino:seed=1,steps=20").name == "rq-dino:steps=20,seed=1"
    assert make_encoder("rq-dino:seed=1").settings != make_encoder("rq-dino").settings
    with pytest.raises(DataError, match="no setting stepz"):
        make_encoder("rq-dino:stepz=1")
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"one")
    spec = f"rq-dino:network=vit_small_patch16_224/{weights}"
    assert located_spec(spec, "image_encoder") == spec and located_spec("rq-dino:seed=1", "image_encoder").endswith(
        "=1"
    )
    one = make_encoder(spec).settings
    weights.write_bytes(b"two")
    assert make_encoder(spec).settings != one
    with pytest.raises(DataError, match="there is no such file"):
        located_spec(f"rq-dino:network=vit_small_patch16_224/{tmp_path}/none.pt", "image_encoder")


def test_a_network_without_weights_is_refused(pictures):
    for network in ("resnet18", "vit_small_patch16_224/nowhere.pt"):
        with pytest.raises(DataError, match="names no network with its weights"):
            new_task(pictures, replace(SMALL, network=network))


@pytest.mark.slow
def test_a_network_of_timm_learns_too_and_its_name_says_that_it_began_at_random(pictures, data, tmp_path):
    recipe = replace(SMALL, network="vit_tiny_patch16_224/random", pixels=32, global_pixels=32, local_pixels=16,
                     steps=3, batch=8, warmup=0.4, learning_rate=1e-5)  # fmt: skip
    encoder = RQDINOEncoder(recipe, tmp_path)
    assert "vit_tiny_patch16_224/random" in encoder.name
    task = new_task(pictures, recipe)
    drain(train(task, replace(task.plan(), measure_every=100)))
    assert task.module.vectors(pictures[:3]).shape == (3, 192)


def test_labels_are_the_categories_that_several_items_have(data):
    labels = category_labels(data)
    names = data.items["categories"].list.last().to_list()
    for one, other in itertools.combinations(range(40), 2):
        if labels[one] >= 0 and labels[other] >= 0:
            assert (labels[one] == labels[other]) == (names[one] == names[other])
    assert (labels >= 0).any()
