"""Beam search: ours against Hugging Face `generate` with a function of allowed tokens, on the same weights.

Both vocabularies, the published and the compact one, and both ways of scoring: among the codes that exist after the
prefix, which is ours by default and which `generate` does with `renormalize_logits`; and among all tokens, which is
what `generate` does by itself and ours under "vocabulary". So the lists that are compared must be the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import Measured, peak
from benchmarks.paper_t5 import (
    CODEWORDS,
    CONFIG,
    LEVELS,
    PUBLISHED_WORDS,
    Clock,
    forward_flops,
    hugging_face,
    matmul_rate,
    one_thread,
    random_tables,
    spent_flops,
)
from macrec.data.split import Samples
from macrec.generation.batches import CodeTables
from macrec.generation.beam import Normalize
from macrec.generation.decoder import DecodingOptions, PathDecoder, parts
from macrec.generation.t5 import T5Generator
from macrec.quantization.vocabulary import EOS, PAD

ITEMS, BEAMS, BATCH, HISTORY = 10_000, 20, 64, 20
PATH = "text→text, sequence"
BATCHES = {"ours": 8, "theirs": 2}
"""How many batches are timed; `generate` needs minutes for what takes us seconds."""

Decode = Callable[[Samples], NDArray[Any]]


def records() -> list[dict[str, Any]]:
    """One record per vocabulary and way of scoring."""
    compact = len(random_tables(10).vocabulary)
    ways: list[tuple[int, Normalize]] = [
        (words, normalize) for words in (PUBLISHED_WORDS, compact) for normalize in ("children", "vocabulary")
    ]
    return [record(words, normalize) for words, normalize in ways]


def record(words: int, normalize: Normalize) -> dict[str, Any]:
    """Both sides, in a process each."""
    ours, theirs = (
        peak("benchmarks.decoding:decode", side=side, words=words, normalize=normalize, batches=BATCHES[side])
        for side in ("ours", "theirs")
    )
    needed, rate = needed_flops(words, normalize), ours.result["matmul_rate"]
    same = same_lists(ours, theirs)
    wall = ours.result["users_wall"] / theirs.result["users_wall"]
    among = "the codes that exist" if normalize == "children" else "all tokens"
    return {
        "name": f"decode {words:,}{' published' if normalize == 'vocabulary' else ''}",
        "ours": round(ours.result["users_cpu"], 2),
        "theirs": round(theirs.result["users_cpu"], 2),
        "ratio": round(ours.result["users_cpu"] / theirs.result["users_cpu"], 2),
        "limit": f"{rate / needed:.0f} users/s at the {rate / 1e9:.0f} GFLOP/s of a large product; goal: a ratio of 10",
        "unit": "users/s",
        "peak_memory_mb": round(ours.peak_mb),
        "note": f"per CPU-second, one thread (wall clock: ratio {wall:.2f}); {BEAMS} beams, {LEVELS} x {CODEWORDS} "
        f"codes, {ITEMS:,} items, paper-size T5 of {words:,} words, batches of {BATCH}, histories of {HISTORY}; p "
        f"among {among}; the same {BEAMS} items in the same order for {same:.1%} of {len(theirs.result['items'])} "
        f"users; MFLOP per user: {needed / 1e6:,.0f} needed, {ours.result['flops'] / 1e6:,.0f} spent, "
        f"{theirs.result['flops'] / 1e6:,.0f} theirs; theirs: generate with prefix_allowed_tokens_fn"
        f"{' and renormalize_logits' if normalize == 'children' else ''}, {BATCHES['theirs'] * BATCH} users, "
        f"{theirs.peak_mb:,.0f} MB",
    }


def needed_flops(words: int, normalize: Normalize) -> float:
    """FLOPs that one user needs: one beam, then all; among all tokens also their logits, and a step for the end."""
    if normalize == "vocabulary":
        return float(forward_flops(LEVELS * HISTORY + 1, [1] + [BEAMS] * LEVELS, words))
    return float(forward_flops(LEVELS * HISTORY + 1, [1] + [BEAMS] * (LEVELS - 1), CODEWORDS))


def same_lists(ours: Measured, theirs: Measured) -> float:
    """The share of users, of those that both sides have served, with the same items in the same order."""
    both = zip(ours.result["items"], theirs.result["items"], strict=False)
    return float(np.mean([own == other for own, other in both]))


def decode(side: str, words: int, normalize: Normalize, batches: int) -> dict[str, Any]:
    """The items of all users, users per CPU-second and per second, FLOPs per user, and the rate of a large product.

    FLOPs are counted on a batch before the others, which are timed.
    """
    one_thread()
    tables, samples = random_tables(ITEMS), histories((batches + 1) * BATCH)
    model = T5Generator(words, CONFIG).eval()
    run = our_decoder(model, tables, normalize) if side == "ours" else their_decoder(model, tables, normalize)
    first, *others = parts(samples, BATCH)
    items: list[list[int]] = []
    flops = spent_flops(lambda: items.extend(run(first).tolist()))
    clock = Clock()
    for part in others:
        with clock:
            found = run(part)
        items.extend(found.tolist())
    return {
        "items": items,
        "users_cpu": batches * BATCH / clock.cpu,
        "users_wall": batches * BATCH / clock.wall,
        "flops": flops / BATCH,
        "matmul_rate": matmul_rate(),
    }


def histories(users: int) -> Samples:
    """Random histories of `HISTORY` items; fewer users are the first of many."""
    items = np.random.default_rng(1).integers(0, ITEMS, users * (HISTORY + 1)).astype(np.int32)
    start = np.arange(users, dtype=np.int64) * (HISTORY + 1)
    return Samples(items, np.arange(users, dtype=np.int32), start, start + HISTORY)


def our_decoder(model: T5Generator, tables: CodeTables, normalize: Normalize) -> Decode:
    """One path of our decoder."""
    decoder = PathDecoder(model, tables, DecodingOptions(paths=(PATH,), normalize=normalize))
    return lambda samples: decoder.by_path(samples, BEAMS)[PATH].items


def their_decoder(model: T5Generator, tables: CodeTables, normalize: Normalize) -> Decode:
    """`generate`, with a dict from every prefix to the tokens after it, and from every sequence to its item."""
    theirs = hugging_face(model).eval()
    sequences = [(PAD, *row, EOS) for row in tables.vocabulary.tokens(tables.ids["text"]).tolist()]
    item = {sequence: row for row, sequence in enumerate(sequences)}
    after: dict[tuple[int, ...], set[int]] = {}
    for sequence in sequences:
        for length in range(1, len(sequence)):
            after.setdefault(sequence[:length], set()).add(sequence[length])
    allowed = {prefix: sorted(tokens) for prefix, tokens in after.items()}

    def run(samples: Samples) -> NDArray[Any]:
        numbers = (torch.from_numpy(part) for part in (samples.items, samples.start, samples.lengths))
        source, mask = tables.sources(torch.zeros(len(samples), dtype=torch.int64), *numbers)
        found = theirs.generate(
            input_ids=source,
            attention_mask=mask.long(),
            max_new_tokens=LEVELS + 1,
            num_beams=BEAMS,
            num_return_sequences=BEAMS,
            early_stopping=True,
            renormalize_logits=normalize == "children",
            prefix_allowed_tokens_fn=lambda _, tokens: allowed.get(tuple(tokens.tolist()), [PAD]),
        )
        return np.array([item[tuple(sequence)] for sequence in found.tolist()]).reshape(len(samples), BEAMS)

    return run
