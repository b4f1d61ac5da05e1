"""The causal generator: recommending against the encoder-decoder and SASRec, and what its training step is made of.

Catalogs have random IDs; both generators write them by two paths, and read histories of five items on average.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import peak
from benchmarks.paper_t5 import Clock, matmul_rate, one_thread, random_ids
from macrec.data.load import load_dataset
from macrec.data.ranking import top_k
from macrec.data.split import Samples, leave_one_out
from macrec.data.windows import places_between
from macrec.generation.batches import CodeTables
from macrec.generation.causal import CausalGenerator
from macrec.generation.causal_training import CausalRecipe, CausalTraining
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.exact import asked_prefixes, is_certain
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.trie import CodeTrie
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.sasrec_network import SASRecNetwork, SASRecRecipe
from macrec.training.muon import Muon

LEVELS, CODEWORDS, BEAMS, STEPS = 3, 128, 20, 4
ITEMS = (2_000, 10_000, 100_000)
USERS = {2_000: 64, 10_000: 64, 100_000: 2}
"""Users whose items are all scored, of these many: as many as take the encoder-decoder some seconds."""
HERE = "benchmarks.causal"


def records() -> list[dict[str, Any]]:
    """Recommending with all items scored and with a beam, for every size of the catalog; and the training step."""
    return [record for items in ITEMS for record in recommending(items)] + learning()


def recommending(items: int) -> list[dict[str, Any]]:
    """Users per CPU-second of the causal generator, the encoder-decoder and SASRec, in one process."""
    measured = peak(f"{HERE}:recommend", items=items)
    found = measured.result
    return [
        {
            "name": f"{name} {items:,}",
            "ours": round(found[name]["causal"], 1),
            "theirs": round(found[name]["t5"], 1),
            "ratio": round(found[name]["causal"] / found[name]["t5"], 2),
            "limit": limit(found[name]["causal"], found[name]["needed"], found["rate"], "users"),
            "unit": "users/s",
            "peak_memory_mb": round(measured.peak_mb),
            "note": f"per CPU-second, one thread; {items:,} items, two paths of {LEVELS} x {CODEWORDS} codes, "
            "untrained; "
            f"{found[name]['needed'] / 1e6:,.1f} MFLOP per user needed; theirs: the encoder-decoder of the demo; "
            f"{found[name]['causal'] / found['sasrec']:.3f} times SASRec, which scores and ranks all items for "
            f"{found['sasrec']:,.0f} users/s; memory is that of all three in one process",
        }
        for name in ("exact", f"beam {BEAMS}")
    ]


def limit(reached: float, needed: float, rate: float, unit: str) -> str:
    """What the FLOPs allow, and the share of it that is reached."""
    return (
        f"{rate / needed:,.0f} {unit}/s at the {rate / 1e9:.0f} GFLOP/s of a large product, of which this is "
        f"{reached * needed / rate:.0%}"
    )


def recommend(items: int) -> dict[str, Any]:
    """Users per CPU-second of each side, FLOPs that a user needs, and the FLOP/s of a large product."""
    one_thread()
    tables = random_ids_of(items)
    asked, many = histories(items, USERS[items]), histories(items, 128)
    joint, apart = (code_tasks(tuple(tables), joint=both) for both in (True, False))
    causal = CausalGenerator(tables).eval()
    words = CodeTables(tables, apart)
    sides = {
        "causal": PathDecoder(causal, CodeTables(tables, joint), DecodingOptions(beams=BEAMS)),
        "t5": PathDecoder(
            T5Generator(len(words.vocabulary), T5Config.named("demo")).eval(), words, DecodingOptions(beams=BEAMS)
        ),
    }
    exact = {side: per_second(partial(of.exact, asked, BEAMS), len(asked)) for side, of in sides.items()}
    beam = {side: per_second(partial(of.recommend, many, BEAMS), len(many)) for side, of in sides.items()}
    decoder = sides["causal"]
    return {
        "exact": exact | {"needed": needed_flops(causal, decoder, float(asked.lengths.mean()), None)},
        f"beam {BEAMS}": beam | {"needed": needed_flops(causal, decoder, float(many.lengths.mean()), BEAMS)},
        "sasrec": per_second(partial(sasrec, SASRecNetwork(items, SASRecRecipe()).eval(), many), len(many)),
        "rate": matmul_rate(),
    }


def needed_flops(model: CausalGenerator, decoder: PathDecoder, events: float, beams: int | None) -> float:
    """FLOPs of the products that a user needs: reading the history once, and the logits of the children of every
    prefix, which are those that branch (`beams` None) or so many of each depth.

    What a head makes of a prefix alone is the same for all users, and counts only where prefixes are their own.
    """
    width, hidden = model.config.transformer.width, model.config.head_units
    total = events * event_flops(model)
    for trie in decoder.tries.values():
        nodes = [1, *(len(code) for code in trie.code)]
        total += trie.levels * 2 * width * (width + hidden)  # what the heads make of the state
        if beams is None:
            total += 2 * width * (asked_prefixes(trie, "children") * hidden + asked_children(trie))
            continue
        for depth, (parents, below) in enumerate(pairwise(nodes)):
            kept = min(parents, beams)
            per_prefix = hidden * width + (width * (width + hidden) if depth else 0) + width * below / parents
            total += kept * 2 * per_prefix
    return float(total)


def asked_children(trie: CodeTrie) -> int:
    """How many codes exist after all prefixes that are asked about."""
    total = 0
    for depth, start in enumerate(trie.start):
        asked = ~is_certain(trie, depth, torch.arange(len(start) - 1), "children")
        total += int(start.diff()[asked].sum())
    return total


def event_flops(model: CausalGenerator) -> int:
    """FLOPs of the products that the Transformer needs for a place, attention left out."""
    shape = model.config.transformer
    return 2 * shape.layers * (4 * shape.width**2 + 2 * shape.width * shape.feed_forward)


@torch.no_grad()
def sasrec(network: SASRecNetwork, samples: Samples) -> None:
    """The best items by the product of a state with every item."""
    places, inside = places_between(torch.from_numpy(samples.start), torch.from_numpy(samples.target))
    states = network(torch.from_numpy(samples.items)[places[inside]], inside)
    top_k(network.logits(states[inside.sum(1).cumsum(0) - 1]).numpy(), BEAMS)


def random_ids_of(items: int) -> dict[str, SemanticIds]:
    """Distinct random IDs in two modalities."""
    return {name: random_ids(items, name, seed, LEVELS, CODEWORDS) for seed, name in enumerate(("text", "image"))}


def histories(items: int, users: int) -> Samples:
    """Random histories of 1 to 9 items, 5 on average."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 10, users)
    end = np.cumsum(lengths + 1)
    events = rng.integers(0, items, end[-1]).astype(np.int32)
    return Samples(events, np.arange(users, dtype=np.int32), end - lengths - 1, end - 1)


def per_second(call: Callable[[], object], count: int, seconds: float = 1.0) -> float:
    """How many of `count` per call are done in a CPU-second, after a call that warms up."""
    call()
    clock, times = Clock(), 0
    while clock.cpu < seconds:
        with clock:
            call()
        times += 1
    return count * times / clock.cpu


def learning() -> list[dict[str, Any]]:
    """A step packed against the same step padded, and a step of Muon against that of PyTorch's."""
    measured = peak(f"{HERE}:learn")
    found = measured.result
    events, places, targets = found["events"], found["places"], found["targets"]
    return [
        {
            "name": "learn, packed",
            "ours": round(found["packed"], 1),
            "theirs": round(found["padded"], 1),
            "ratio": round(found["packed"] / found["padded"], 2),
            "limit": limit(found["packed"], found["needed"], found["rate"], "steps"),
            "unit": "steps/s",
            "peak_memory_mb": round(measured.peak_mb),
            "note": f"forward and backward per CPU-second, one thread, without optimizer and item tasks; the built-in "
            f"catalog, batches of 128 histories: {events:,.0f} events in {places:,.0f} places, {targets:,.0f} targets; "
            f"{found['needed'] / 1e9:.2f} GFLOP needed; theirs: the same with padding computed",
        },
        {
            "name": "muon",
            "ours": round(found["muon"], 1),
            "theirs": round(found["torch_muon"], 1),
            "ratio": round(found["muon"] / found["torch_muon"], 2),
            "limit": "none computed",
            "unit": "steps/s",
            "peak_memory_mb": round(measured.peak_mb),
            "note": "per CPU-second, one thread, the matrices of the causal Transformer's blocks; ours in float32, "
            "those of one shape together; theirs: torch.optim.Muon, in bfloat16",
        },
    ]


def learn() -> dict[str, float]:
    """Steps per CPU-second, packed and padded, and of both Muons; what a step consists of; FLOPs; the FLOP/s."""
    one_thread()
    data = load_dataset("curio:demo")
    tables = random_ids_of(data.num_items)
    model = CausalGenerator(tables)
    tasks = CodeTables(tables, code_tasks(tuple(tables), joint=True))
    training = CausalTraining(model, tasks, leave_one_out(data.histories).train, CausalRecipe())
    batches = [training.windows.batch(number) for number in range(STEPS)]
    events, places, targets = (
        float(np.mean([int(count(batch)) for batch in batches]))  # type: ignore[no-untyped-call]
        for count in (lambda of: of.inside.sum(), lambda of: of.inside.numel(), lambda of: of.asked.sum())
    )
    width, hidden = model.config.transformer.width, model.config.head_units
    head = 2 * (2 * width * width + 3 * width * hidden + width * CODEWORDS)
    matrices = [parameter for parameter in model.transformer.blocks.parameters() if parameter.ndim == 2]
    for matrix in matrices:
        matrix.grad = torch.randn_like(matrix)
    optimizers = {"muon": Muon(matrices, lr=0.0), "torch_muon": torch.optim.Muon(matrices, lr=0.0)}
    muons = {name: per_second(partial(step, optimizer), 1) for name, optimizer in optimizers.items()}
    return muons | {
        "packed": per_second(partial(passes, training, False), STEPS),
        "padded": per_second(partial(passes, training, True), STEPS),
        "events": events,
        "places": places,
        "targets": targets,
        # Forward, and twice as much backward.
        "needed": 3 * (events * event_flops(model) + targets * len(model.sizes) * head),
        "rate": matmul_rate(),
    }


def step(optimizer: torch.optim.Optimizer) -> None:
    """A step with the gradients that are there."""
    optimizer.step()


def passes(training: CausalTraining, padded: bool) -> None:
    """Forward and backward through the first batches."""
    for number in range(STEPS):
        loss(training, number, padded).backward()  # type: ignore[no-untyped-call]


def loss(training: CausalTraining, step: int, padded: bool) -> Tensor:
    """The loss of the IDs of one batch, all read; `padded`: with the padding as if it were events."""
    batch, events, model = training.windows.batch(step), training.windows.events, training.module
    inside = torch.ones_like(batch.inside) if padded else batch.inside
    items = events[batch.places.clamp(max=len(events) - 1)[inside]].long()
    states = model.states(items, inside)[batch.asked[inside]]
    targets = events[batch.places[batch.asked] + 1].long()
    return model.losses(states, targets, training.tries, "children").mean()
