"""A training step of the generator against Hugging Face T5 as published: its vocabulary, padding to the longest.

Both sides learn the six tasks from the same samples. Ours draws batches of about equally wide sources, and a token
competes with its codebook; theirs mixes the samples, so that almost every batch has a full history in it, and a token
competes with all. The samples are those of Amazon Instruments where that dataset stands beside the checkout, else of
generated histories about as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.measure import ROOT, peak
from benchmarks.paper_t5 import (
    CODEWORDS,
    CONFIG,
    LEVELS,
    PUBLISHED_WORDS,
    Clock,
    encoder_flops,
    forward_flops,
    hugging_face,
    matmul_rate,
    one_thread,
    random_tables,
    spent_flops,
)
from macrec.data.histories import Histories
from macrec.data.load import load_dataset
from macrec.data.split import leave_one_out
from macrec.generation.batches import TokenBatch
from macrec.generation.t5 import T5Generator
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.models.t5 import T5
from macrec.quantization.vocabulary import EOS

BATCH = 256
STEPS = {"ours": 12, "theirs": 4}
"""How many batches are timed: ours are of all widths, evenly; theirs are all of one width."""
INSTRUMENTS = ROOT.parent / "shared" / "data" / "amazon_instruments_2018" / "mql4grec"


def records() -> list[dict[str, Any]]:
    """With and without implicit alignment, which theirs never has."""
    theirs = peak("benchmarks.generator_training:learn", side="theirs", implicit=False, steps=STEPS["theirs"])
    found = []
    for implicit in (True, False):
        ours = peak("benchmarks.generator_training:learn", side="ours", implicit=implicit, steps=STEPS["ours"])
        one, two = ours.result, theirs.result
        wall = one["samples_wall"] / two["samples_wall"]
        floor = one["matmul_rate"] / one["needed"]
        found.append(
            {
                "name": "learn, implicit" if implicit else "learn, no implicit",
                "ours": round(one["samples_cpu"], 1),
                "theirs": round(two["samples_cpu"], 1),
                "ratio": round(one["samples_cpu"] / two["samples_cpu"], 2),
                "limit": f"{floor:.0f} samples/s at the {one['matmul_rate'] / 1e9:.0f} GFLOP/s of a large product; "
                "goal: a ratio of 4",
                "unit": "samples/s",
                "peak_memory_mb": round(ours.peak_mb),
                "note": f"per CPU-second, one thread (wall clock: ratio {wall:.2f}); {one['data']}, six tasks, batches "
                f"of {BATCH}, paper-size T5, dropout {CONFIG.dropout_rate}, AdamW; MFLOP per sample: "
                f"{one['needed'] / 1e6:,.0f} needed, {one['spent'] / 1e6:,.0f} spent, "
                f"{two['spent'] / 1e6:,.0f} theirs; tokens that are no padding {one['real']:.0%}, theirs "
                f"{two['real']:.0%}; theirs: T5ForConditionalGeneration with {PUBLISHED_WORDS:,} words, "
                f"{STEPS['theirs']} batches of the same samples made beforehand, {theirs.peak_mb:,.0f} MB",
            }
        )
    return found


def learn(side: str, implicit: bool, steps: int) -> dict[str, Any]:
    """Samples per CPU-second and per second, FLOPs per sample needed and spent, and the share of real tokens.

    FLOPs are counted in a first round, which also warms up; the second is timed.
    """
    one_thread()
    training, data = our_training(implicit)
    numbers = evenly_wide(training, steps if side == "ours" else STEPS["ours"])
    order = training.samples.order(BATCH, (training.recipe.seed, 0))
    if side == "ours":
        module: nn.Module = training.module
        rows = [order[number] for number in numbers]
        losses = [partial(our_loss, training, number) for number in numbers]
    else:
        mixed = np.random.default_rng(0).permutation(np.concatenate([order[number] for number in numbers]))
        rows = [mixed[at * BATCH : (at + 1) * BATCH] for at in range(steps)]
        module = hugging_face(T5(PUBLISHED_WORDS, CONFIG))
        losses = [partial(their_loss, module, training.samples.batch(chosen)) for chosen in rows]
    module.train()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    counted = losses if side == "ours" else losses[:1]  # theirs are all alike
    spent = sum(spent_flops(partial(step, module, optimizer, loss)) for loss in counted) / len(counted)
    clock = Clock()
    with clock:
        for loss in losses:
            step(module, optimizer, loss)
    masks = [training.samples.batch(chosen).mask for chosen in rows]
    return {
        "data": data,
        "samples_cpu": steps * BATCH / clock.cpu,
        "samples_wall": steps * BATCH / clock.wall,
        "needed": needed_flops(training.samples.lengths[np.concatenate(rows)], training.recipe),
        "spent": spent / BATCH,
        "real": sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks),
        "matmul_rate": matmul_rate(),
    }


def our_training(implicit: bool) -> tuple[GeneratorTraining, str]:
    """Six tasks over the training samples, with random IDs; and which samples these are."""
    if INSTRUMENTS.is_dir():
        histories, data = load_dataset(INSTRUMENTS).histories, "Amazon Instruments 2018"
    else:
        histories, data = generated_histories(), "generated histories"
    tables = random_tables(int(histories.items.max()) + 1)
    recipe = GeneratorRecipe(batch=BATCH, lambda_implicit=0.01 if implicit else 0.0)
    model = T5Generator(len(tables.vocabulary), CONFIG)
    return GeneratorTraining(model, tables, leave_one_out(histories, max_history=20).train, recipe), data


def generated_histories(users: int = 17_000, items: int = 6_000) -> Histories:
    """Histories of five items or more, eight on average."""
    rng = np.random.default_rng(0)
    offsets = np.append(0, np.cumsum(4 + rng.geometric(1 / 4, users)))
    return Histories(offsets, rng.integers(0, items, offsets[-1]).astype(np.int32))


def evenly_wide(training: GeneratorTraining, count: int) -> list[int]:
    """Steps of the first epoch whose batches stand for all of its batches: every so many of them by width."""
    order = training.samples.order(BATCH, (training.recipe.seed, 0))
    full = [number for number, rows in enumerate(order) if len(rows) == BATCH]
    full.sort(key=lambda number: float(training.samples.lengths[order[number]].mean()))
    return [full[int((place + 0.5) * len(full) / count)] for place in range(count)]


def our_loss(training: GeneratorTraining, number: int) -> Tensor:
    """The loss of a step, its batch drawn from the tables as in training."""
    return training.losses(number)[0]


def their_loss(model: nn.Module, batch: TokenBatch) -> Tensor:
    """The loss of a batch; the target ends with the token that ends it, without which `generate` could not stop."""
    labels = torch.nn.functional.pad(batch.target, (0, 1), value=EOS)
    loss: Tensor = model(input_ids=batch.source, attention_mask=batch.mask.long(), labels=labels).loss
    return loss


def step(module: nn.Module, optimizer: torch.optim.Optimizer, loss: Callable[[], Tensor]) -> None:
    """Forward, backward, clip, update."""
    optimizer.zero_grad()
    loss().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()


def needed_flops(width: NDArray[np.int64], recipe: GeneratorRecipe) -> float:
    """FLOPs per sample, forward and twice that backward, for sources of `width` tokens; with implicit alignment also
    the encoder over the IDs of `implicit_items` items in two modalities per batch.
    """
    forward = float(forward_flops(width, [1] * LEVELS, CODEWORDS).mean())
    if recipe.lambda_implicit:
        forward += 2 * encoder_flops(LEVELS + 1) * recipe.implicit_items / recipe.batch
    return 3 * forward
