"""What other processes on the same cores cost: every job beside 0, 1 and 2 that are always busy.

"Theirs" is the same job with the spin of OpenMP threads as PyTorch's runtime has it by default. Run parts alone with
`python -m benchmarks.busy [codebooks generator …]`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import peak
from macrec.threads import POLICY, SPIN

DEFAULT_SPIN = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}
"""What the runtimes do where nothing is set."""
GOAL = 2.2
"""With one busy neighbor on two cores, half a core is lost of two, and a fair share would cost 1.33 to 2 times."""


def records() -> list[dict[str, Any]]:
    """One record per job."""
    return [record(job) for job in JOBS]


def record(job: str) -> dict[str, Any]:
    """Seconds of a job beside one busy process with our bound and with the default spin; the others in the note."""
    ours = [beside(job, neighbors, SPIN) for neighbors in range(3)]
    theirs = [beside(job, neighbors, DEFAULT_SPIN) for neighbors in range(2)]
    return {
        "name": f"busy machine, {job}",
        "ours": round(ours[1].seconds, 2),
        "theirs": round(theirs[1].seconds, 2),
        "ratio": round(theirs[1].seconds / ours[1].seconds, 2),
        "limit": f"{ours[1].seconds / ours[0].seconds:.2f} times the idle machine with one neighbor (goal {GOAL}), "
        f"{ours[2].seconds / ours[0].seconds:.2f} with two; "
        f"theirs {theirs[1].seconds / theirs[0].seconds:.2f} with one",
        "unit": "s",
        "peak_memory_mb": round(ours[0].peak_mb),
        "note": f"wall clock, {os.cpu_count()} cores; idle {ours[0].seconds:.2f} s, theirs {theirs[0].seconds:.2f} s; "
        "theirs: the same with the default spin of the OpenMP runtime",
    }


def beside(job: str, neighbors: int, spin: dict[str, str]) -> Any:
    """The faster of two runs of a job in a process of its own, beside so many busy processes."""
    before = {name: os.environ.pop(name, None) for name in (POLICY, *SPIN)}
    os.environ.update(spin)
    try:
        with busy(neighbors):
            runs = [peak("benchmarks.busy:run", job=job) for _ in range(2)]
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
    best = min(runs, key=lambda measured: float(measured.result))
    return best._replace(seconds=best.result)


@contextmanager
def busy(neighbors: int) -> Iterator[None]:
    """So many processes that compute all the time."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(neighbors)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def run(job: str) -> float:
    """Seconds of a job, without what it takes to prepare it."""
    work = JOBS[job]()
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def codebooks() -> Callable[[], object]:
    """Some epochs of the demo's cross-modal codebooks on the built-in catalog."""
    from macrec.data import load_dataset
    from macrec.encoders import Embeddings
    from macrec.systems import Parameters
    from macrec.tokenizers import Codebooks

    data = load_dataset("curio:demo")
    values = np.random.default_rng(0).standard_normal((2, data.num_items, 384)).astype(np.float32)
    vectors = {
        name: Embeddings.from_values(name, "random", x) for name, x in zip(("text", "image"), values, strict=True)
    }
    learned = Codebooks(Path(tempfile.mkdtemp()), data, vectors, Parameters("demo").codebooks())
    assert learned.task  # made here, so that only the training is timed
    return lambda: list(takewhile(lambda event: event.step < 96, learned.events()))


def generator() -> Callable[[], object]:
    """Steps of the demo's generator, six tasks and implicit alignment, on the built-in catalog with random IDs."""
    from benchmarks.paper_t5 import random_tables
    from macrec.data import leave_one_out, load_dataset
    from macrec.generation.t5 import T5Generator
    from macrec.generation.training import GeneratorTraining
    from macrec.systems.settings import PROFILES
    from macrec.training import train

    data, profile = load_dataset("curio:demo"), PROFILES["demo"]
    tables = random_tables(data.num_items)
    split = leave_one_out(data.histories, max_history=20)
    training = GeneratorTraining(
        T5Generator(len(tables.vocabulary), profile.t5), tables, split.train, profile.generator
    )
    return lambda: list(takewhile(lambda event: event.step < 40, train(training, training.plan(measurements=1))))


def kmeans() -> Callable[[], object]:
    """Residual k-means, three codebooks of 256, ten iterations, on 20,000 vectors of 128 dimensions."""
    import torch

    from macrec.quantization.residual_kmeans import ResidualKMeans

    x = torch.randn(20_000, 128, generator=torch.Generator().manual_seed(0))
    return lambda: ResidualKMeans((256, 256, 256), iterations=10).fit(x)


def decoding() -> Callable[[], object]:
    """Beam search with 20 beams for 500 users by the demo's generator."""
    from benchmarks.paper_t5 import random_tables
    from macrec.data import leave_one_out, load_dataset
    from macrec.generation.decoder import DecodingOptions, PathDecoder
    from macrec.generation.t5 import T5Generator
    from macrec.systems.settings import PROFILES

    data = load_dataset("curio:demo")
    tables = random_tables(data.num_items)
    decoder = PathDecoder(T5Generator(len(tables.vocabulary), PROFILES["demo"].t5), tables, DecodingOptions())
    users = leave_one_out(data.histories, max_history=20).test.take(np.arange(500))
    return lambda: decoder.recommend(users, 10)


def encoder() -> Callable[[], object]:
    """MiniLM on the texts of 800 items."""
    from macrec.data import load_dataset
    from macrec.encoders.sentence_transformer import SentenceTransformerEncoder

    data, minilm = load_dataset("curio:demo"), SentenceTransformerEncoder("minilm")
    minilm.prepare(data)
    return lambda: minilm.encode(data, np.arange(800))


JOBS: dict[str, Callable[[], Callable[[], object]]] = {
    "codebooks": codebooks,
    "generator": generator,
    "k-means": kmeans,
    "decoding": decoding,
    "encoder": encoder,
}


if __name__ == "__main__":
    print(json.dumps([record(job) for job in sys.argv[1:] or JOBS], indent=2))
