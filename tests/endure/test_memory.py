"""What is asked or trained for long takes no more memory in the end. `--endure N`: up to 5,000 times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psutil

from macrec.data.split import Samples
from macrec.generation.batches import CodeTables
from macrec.generation.decoder import DecodingOptions, PathDecoder
from macrec.generation.t5 import T5Generator
from macrec.generation.tasks import code_tasks
from macrec.generation.training import GeneratorRecipe, GeneratorTraining
from macrec.models.t5 import T5Config
from macrec.quantization.semantic_ids import SemanticIds
from macrec.training import train

SHORT, LONG = 60, 5_000
MOST = 24 << 20
"""Bytes that an allocator may keep for itself; a leak of half a megabyte a time is seen in the short form."""


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def generator(items=40):
    """A small generator over random IDs, and 32 histories of three items."""
    rng = np.random.default_rng(0)
    ids = {}
    for name in ("text", "image"):
        codes = np.stack(np.unravel_index(rng.permutation(5**3)[:items], (5, 5, 5)), 1)
        ids[name] = SemanticIds.from_codes(codes, tuple(f"{name}_{letter}" for letter in "abc"), (5, 5, 5))
    tables = CodeTables(ids, code_tasks(("text", "image")))
    at = np.arange(32, dtype=np.int64) * 4
    samples = Samples(rng.integers(0, items, 128).astype(np.int32), np.arange(32, dtype=np.int32), at, at + 3)
    config = replace(T5Config.named("tiny"), num_layers=1, num_decoder_layers=1)
    return T5Generator(len(tables.vocabulary), config, seed=0), tables, samples


def test_asking_again_and_again_takes_no_more_memory(endure):
    model, tables, samples = generator()
    decoder, few = PathDecoder(model.eval(), tables, DecodingOptions(beams=5)), samples.take(np.arange(2))
    times = min(endure, LONG) or SHORT
    before = 0
    for time in range(times + times // 4):
        decoder.recommend(few, 5)
        before = resident() if time == times // 4 else before  # warm
    assert resident() - before < MOST


def test_a_long_training_takes_no_more_memory(endure):
    model, tables, samples = generator()
    task = GeneratorTraining(model, tables, samples, GeneratorRecipe(epochs=(min(endure, LONG) or SHORT), batch=256))
    plan = task.plan(reports=50)
    sizes = [(event.step / plan.steps, resident()) for event in train(task, plan)]
    begin = next(size for done, size in sizes if done >= 0.2)
    assert sizes[-1][1] - begin < MOST
