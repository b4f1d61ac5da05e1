"""Codebooks without training: residual k-means, encoding, resolving conflicts, and the positives of a batch.

Every side runs in a process of its own on the same generated vectors. Run it with `python -m benchmarks.quantization
[rows]`; `rows` are those of the largest table (1,000,000), and the others shrink with it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measure import peak
from macrec.published.conflicts import resolve_published
from macrec.quantization.conflicts import resolve_conflicts
from macrec.quantization.nearest import chunks
from macrec.quantization.residual_kmeans import ResidualKMeans
from macrec.quantization.tuples import pack
from macrec.tokenizers.contrastive import sample_positives, supervised_contrastive

DIM, SIZES, ITERATIONS = 768, (256, 256, 256), 10
BATCH, CLUSTERS = 2048, 512
HERE = "benchmarks.quantization"


def records(rows: int = 1_000_000) -> list[dict[str, Any]]:
    """One record per comparison; where a library is missing, ValueError says which extra brings it."""
    if find_spec("faiss") is None:
        raise ValueError('faiss is missing: pip install "macrec[bench]" brings what the benchmarks compare with')
    with tempfile.TemporaryDirectory() as temporary:
        return [*fitting(temporary, rows // 10), *encoding(temporary, rows), *mining(), *resolving(rows)]


# --- Residual k-means -------------------------------------------------------------------------------------------------


def fitting(folder: str, rows: int) -> list[dict[str, Any]]:
    """Three codebooks of 256 on `rows` vectors against faiss and scikit-learn, level by level with their own starts."""
    path = write_vectors(Path(folder) / "fit.npy", rows)
    ours = peak(f"{HERE}:fit", path=path, side="ours")
    found = []
    for side, what in (
        ("faiss", "faiss.Kmeans on all rows, random start"),
        ("sklearn", "KMeans(n_init=1, algorithm='lloyd'), k-means++"),
    ):
        theirs = peak(f"{HERE}:fit", path=path, side=side)
        distortion = theirs.result["distortion"] / ours.result["distortion"]
        found.append(
            {
                "name": f"residual k-means, {side}",
                "ours": round(ours.result["seconds"], 1),
                "theirs": round(theirs.result["seconds"], 1),
                "ratio": round(theirs.result["seconds"] / ours.result["seconds"], 2),
                "limit": f"{ours.result['gemm']:.1f} s for the products of the assignments alone",
                "unit": "s",
                "peak_memory_mb": round(ours.peak_mb),
                "note": f"{rows:,} x {DIM}, 3 x 256, {ITERATIONS} iterations; their distortion is {distortion:.4f} of "
                f"ours; theirs: {what}, {theirs.peak_mb:,.0f} MB",
            }
        )
    return found


def fit(path: str, side: str) -> dict[str, float]:
    """Seconds and the mean squared error of what the three levels leave; and the time of the products alone."""
    x = np.load(path)
    begin = time.perf_counter()
    if side == "ours":
        quantizer = ResidualKMeans(SIZES, iterations=ITERATIONS).fit(torch.from_numpy(x))
        seconds = time.perf_counter() - begin
        rest = x - quantizer.decode(quantizer.encode(x)).numpy()
        gemm = (ITERATIONS + 1) * products(x, quantizer.codebooks)
        return {"seconds": seconds, "distortion": float(np.square(rest).sum(1).mean()), "gemm": gemm}
    rest = x
    for level, size in enumerate(SIZES):
        rest = rest - THEIRS[side](rest, size, level)
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "distortion": float(np.square(rest).sum(1).mean())}


def faiss_level(x: NDArray[np.float32], size: int, seed: int) -> NDArray[np.float32]:
    """The codeword of every row by faiss, which by itself would take 256 rows per centroid at most."""
    faiss = import_module("faiss")
    model = faiss.Kmeans(x.shape[1], size, niter=ITERATIONS, seed=seed, max_points_per_centroid=len(x))
    model.train(x)
    codewords: NDArray[np.float32] = model.centroids[model.index.search(x, 1)[1][:, 0]]
    return codewords


def sklearn_level(x: NDArray[np.float32], size: int, seed: int) -> NDArray[np.float32]:
    """The codeword of every row by scikit-learn, without its early stop."""
    model = import_module("sklearn.cluster").KMeans(
        size, n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd", random_state=seed
    )
    labels = model.fit_predict(x)
    codewords: NDArray[np.float32] = model.cluster_centers_[labels]
    return codewords


THEIRS = {"faiss": faiss_level, "sklearn": sklearn_level}


# --- Encoding ---------------------------------------------------------------------------------------------------------


def encoding(folder: str, rows: int) -> list[dict[str, Any]]:
    """Codes of `rows` vectors from a file, against the matrix products alone; and the memory at a quarter of them."""
    path = write_vectors(Path(folder) / "encode.npy", rows)
    large = peak(f"{HERE}:encode", path=path, rows=rows)
    small = peak(f"{HERE}:encode", path=path, rows=rows // 4)
    ours, theirs = large.result["seconds"], large.result["gemm"]
    return [
        {
            "name": "encode 3 x 256",
            "ours": round(rows / ours),
            "theirs": round(rows / theirs),
            "ratio": round(theirs / ours, 2),
            "limit": "torch.mm of the same chunks alone is theirs; goal: a ratio of 0.6",
            "unit": "rows/s",
            "peak_memory_mb": round(large.peak_mb),
            "note": f"{rows:,} x {DIM} float32, memory-mapped; {small.peak_mb:,.0f} MB at {rows // 4:,} rows",
        }
    ]


def encode(path: str, rows: int) -> dict[str, float]:
    """Seconds of encoding the first `rows` of a memory-mapped file, and of the products alone."""
    x = np.load(path, mmap_mode="r")[:rows]
    quantizer = ResidualKMeans(SIZES, iterations=1).fit(torch.from_numpy(np.array(x[:5000])))
    quantizer.encode(x[:5000])
    begin = time.perf_counter()
    quantizer.encode(x)
    return {"seconds": time.perf_counter() - begin, "gemm": products(x, quantizer.codebooks)}


def products(x: NDArray[np.float32], codebooks: list[torch.Tensor]) -> float:
    """Seconds of the products with all codewords, in the chunks in which the rows are encoded; reading not counted."""
    seconds = 0.0
    for _, rows in chunks(x, SIZES[0] + 3 * DIM, torch.device("cpu")):
        begin = time.perf_counter()
        for codewords in codebooks:
            torch.mm(rows, codewords.T)
        seconds += time.perf_counter() - begin
    return seconds


# --- Positives --------------------------------------------------------------------------------------------------------


def mining() -> list[dict[str, Any]]:
    """One positive per anchor of a batch, for a small and a large catalog."""
    found = []
    for items in (6_250, 1_000_000):
        ours, theirs = (peak(f"{HERE}:mine", items=items, side=side) for side in ("ours", "theirs"))
        assert ours.result["anchors"] == theirs.result["anchors"]
        found.append(
            {
                "name": f"positives, {items:,}",
                "ours": round(1e3 * ours.result["seconds"], 2),
                "theirs": round(1e3 * theirs.result["seconds"], 2),
                "ratio": round(theirs.result["seconds"] / ours.result["seconds"]),
                "limit": f"goal 1 ms; the whole loss with all positives: {1e3 * ours.result['loss']:.1f} ms, a mask of "
                f"equal labels (it uses none): {1e3 * ours.result['mask']:.1f} ms",
                "unit": "ms",
                "peak_memory_mb": round(ours.peak_mb),
                "note": f"batch {BATCH:,}, {CLUSTERS} labels; theirs: the published procedure, anchor after anchor "
                "through the set of all items with its label",
            }
        )
    return found


def mine(items: int, side: str) -> dict[str, float]:
    """Seconds per batch, and how many anchors have a positive."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLUSTERS, items)
    batch = rng.permutation(items)[:BATCH]
    if side == "theirs":
        classes: dict[int, list[int]] = defaultdict(list)
        for item, label in enumerate(labels.tolist()):
            classes[label].append(item)
        place = {item: row for row, item in enumerate(batch.tolist())}
        begin = time.perf_counter()
        anchors = sum(row >= 0 for row in official_positives(batch.tolist(), labels[batch].tolist(), classes, place))
        return {"seconds": time.perf_counter() - begin, "anchors": anchors}
    own, generator = torch.from_numpy(labels[batch]), torch.Generator().manual_seed(0)
    vectors = torch.randn(BATCH, 32, generator=generator)
    return {
        "seconds": typical(lambda: sample_positives(own, generator)),
        "mask": typical(lambda: own[:, None] == own),
        "loss": typical(lambda: supervised_contrastive(vectors, own)),
        "anchors": int((sample_positives(own, generator) >= 0).sum()),
    }


def official_positives(
    batch: list[int], labels: list[int], classes: dict[int, list[int]], place: dict[int, int]
) -> list[int]:
    """The row of a random other item of the batch with the label of each anchor, or -1."""
    chosen = []
    for item, label in zip(batch, labels, strict=True):
        others = set(classes[label]) - {item}
        rows = [place[other] for other in others if other in place]
        chosen.append(random.choice(rows) if rows else -1)
    return chosen


def typical(call: Any, times: int = 50) -> float:
    """The median seconds of a call."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


# --- Conflicts --------------------------------------------------------------------------------------------------------


def resolving(rows: int) -> list[dict[str, Any]]:
    """A tenth of the rows with 10 percent in conflict, all with 5, against the published procedure on a hundredth."""
    found = []
    for items, share, goal in ((rows // 10, 0.1, "1 s"), (rows, 0.05, "20 s and 2,147 MB")):
        few = rows // 100
        ours = peak(f"{HERE}:resolve", items=items, share=share, side="ours")
        theirs = peak(f"{HERE}:resolve", items=few, share=share, side="theirs")
        same = peak(f"{HERE}:resolve", items=few, share=share, side="ours")
        assert ours.result["left"] == same.result["left"] == 0
        fast, slow = items / ours.result["seconds"], few / theirs.result["seconds"]
        found.append(
            {
                "name": f"resolve {items:,}",
                "ours": round(fast),
                "theirs": round(slow),
                "ratio": round(fast / slow),
                "limit": f"{ours.result['seconds']:.2f} s in all; goal {goal}",
                "unit": "items/s",
                "peak_memory_mb": round(ours.peak_mb),
                "note": f"{share:.0%} of the items share the codes of another; theirs: the published procedure on "
                f"{few:,} items, {theirs.peak_mb:,.0f} MB, {theirs.result['left']} left in conflict under NumPy 2, "
                f"error added {theirs.result['added'] / max(same.result['added'], 1e-12):.1f} times ours",
            }
        )
    return found


def resolve(items: int, share: float, side: str) -> dict[str, float]:
    """Seconds, items left in conflict, and the squared error added, where `share` of the items repeat codes."""
    rng = np.random.default_rng(0)
    books = [(rng.standard_normal((256, 32)) / 2**level).astype(np.float32) for level in range(4)]
    first = items - round(items * share)
    keys = np.unique(rng.integers(0, 256**4, first + first // 10))
    keys = rng.permutation(keys)[:first]
    keys = rng.permutation(np.concatenate([keys, rng.choice(keys, items - first)]))
    codes = np.stack([keys // 256 ** (3 - level) % 256 for level in range(4)], 1).astype(np.int32)
    vectors = rng.standard_normal((items, 32), dtype=np.float32) / 16
    for level, book in enumerate(books):
        vectors += book[codes[:, level]]
    begin = time.perf_counter()
    if side == "ours":
        resolved = resolve_conflicts(codes, vectors, books)[0]
    else:
        resolved = resolve_published(codes, vectors, books, numpy2_bug=True).codes
    seconds = time.perf_counter() - begin
    left = items - len(np.unique(pack(resolved, (256,) * 4)))
    changed = np.flatnonzero((resolved != codes).any(1))
    added = squared_error(resolved, vectors, books, changed) - squared_error(codes, vectors, books, changed)
    return {"seconds": seconds, "left": left, "added": added}


def squared_error(
    codes: NDArray[np.int32], vectors: NDArray[Any], books: list[NDArray[Any]], rows: NDArray[np.int64]
) -> float:
    """The summed squared error of some rows."""
    rest = vectors[rows].astype(np.float64)
    for level, book in enumerate(books):
        rest -= book[codes[rows, level]]
    return float(np.square(rest).sum())


# --- Shared -----------------------------------------------------------------------------------------------------------


def write_vectors(path: Path, rows: int) -> str:
    """`rows` float32 vectors around 1,000 centers, chunk by chunk into a file."""
    rng = np.random.default_rng(0)
    centers = rng.standard_normal((1000, DIM), dtype=np.float32)
    file = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, DIM))
    noise = rng.standard_normal((min(rows, 50_000), DIM), dtype=np.float32)
    for begin in range(0, rows, len(noise)):
        part = file[begin : begin + len(noise)]
        part[:] = noise[: len(part)] + centers[rng.integers(0, len(centers), len(part))]
    file.flush()
    return str(path)


if __name__ == "__main__":
    print(json.dumps(records(*map(int, sys.argv[1:])), indent=2))
