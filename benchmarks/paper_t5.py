"""What the benchmarks of generation share: the paper-size T5 on both sides, a catalog with random IDs, and FLOPs.

Everything comes from fixed seeds, so that processes that never meet hold the same weights, items and histories.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from macrec.encoders.torchvision_compat import import_torchvision
from macrec.generation.batches import CodeTables
from macrec.generation.tasks import code_tasks
from macrec.models.t5 import T5, T5Config
from macrec.models.t5_hugging_face import to_hugging_face
from macrec.quantization.semantic_ids import SemanticIds

CONFIG = T5Config.named("paper")
LEVELS, CODEWORDS = 4, 256
PUBLISHED_WORDS = 34_148
"""The vocabulary of the published code: that of T5 itself with the codes behind it. Ours has the codes alone."""

Numbers = TypeVar("Numbers", int, NDArray[np.int64])


def one_thread() -> None:
    """What every side runs under: one thread, and numbers too small to matter taken for zero, as in our training."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def random_ids(
    items: int, modality: str = "text", seed: int = 0, levels: int = LEVELS, codewords: int = CODEWORDS
) -> SemanticIds:
    """Distinct random IDs, of four levels with 256 codewords each unless others are named."""
    rng = np.random.default_rng(seed)
    keys = np.unique(rng.integers(0, codewords**levels, items + items // 20 + 100))
    keys = rng.permutation(keys)[:items]
    codes = np.empty((items, levels), np.int32)
    for level in range(levels):
        codes[:, level] = keys // codewords ** (levels - 1 - level) % codewords
    return SemanticIds.from_codes(
        codes, tuple(f"{modality}_{letter}" for letter in "abcd"[:levels]), (codewords,) * levels
    )


def random_tables(items: int) -> CodeTables:
    """The tables of two modalities with random IDs and the six tasks of the paper: 2,066 tokens."""
    ids = {name: random_ids(items, name, seed) for seed, name in enumerate(("text", "image"))}
    return CodeTables(ids, code_tasks(tuple(ids)))


def hugging_face(model: T5) -> Any:
    """A `transformers.T5ForConditionalGeneration` with the weights of `model`."""
    import_torchvision()
    with tempfile.TemporaryDirectory() as folder:
        to_hugging_face(model, folder)
        return import_module("transformers").T5ForConditionalGeneration.from_pretrained(folder)


def encoder_flops(source: Numbers, config: T5Config = CONFIG) -> Numbers:
    """FLOPs of the matrix products that the encoder needs for sequences of `source` tokens, nothing padded.

    Two FLOPs per multiplication; norms, softmax and sums are left out.
    """
    per_token = 8 * config.d_model * config.inner + 4 * config.d_model * config.d_ff
    return config.num_layers * (source * per_token + 4 * source**2 * config.inner)


def forward_flops(source: Numbers, queries: Sequence[int], logits: int, config: T5Config = CONFIG) -> Numbers:
    """The same of a whole pass. `queries`: how many beams write at each place of the target, all reading one encoder;
    `logits`: how many tokens compete there.
    """
    projection = 2 * config.d_model * config.inner  # query, key, value or output of one token
    total = encoder_flops(source, config) + config.num_decoder_layers * source * 2 * projection
    for place, beams in enumerate(queries):
        attention = 4 * (place + 1 + source) * config.inner
        layer = 6 * projection + 4 * config.d_model * config.d_ff + attention
        total = total + beams * (config.num_decoder_layers * layer + 2 * config.d_model * logits)
    return total


def spent_flops(call: Callable[[], object]) -> int:
    """FLOPs of the matrix products and attentions that a call really makes, as PyTorch counts them."""
    # PyTorch has no formula for its fused attention on the CPU, which has no backward pass in what is measured here.
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    with FlopCounterMode(display=False, custom_mapping={fused: _fused_attention}) as counter:
        call()
    return int(counter.get_total_flops())


def _fused_attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def matmul_rate(size: int = 2048, times: int = 7) -> float:
    """FLOPs per CPU-second of a plain product of two large float32 matrices: what this machine can reach."""
    one, two = torch.randn(2, size, size)
    seconds = []
    for _ in range(times):
        begin = time.process_time()
        torch.mm(one, two)
        seconds.append(time.process_time() - begin)
    return 2 * size**3 / float(np.median(seconds))


class Clock:
    """CPU and wall seconds of what runs inside `with`, summed over all uses."""

    cpu = 0.0
    wall = 0.0

    def __enter__(self) -> None:
        self._begin = time.process_time(), time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.cpu += time.process_time() - self._begin[0]
        self.wall += time.perf_counter() - self._begin[1]
