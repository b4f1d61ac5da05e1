"""The generator: beam search and training against Hugging Face T5, and the trie of codes against nested dicts.

Beam search and training have modules of their own; what is named runs alone:
`python -m benchmarks.generation [decoding training trie]`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import decoding, generator_training
from benchmarks.measure import highest_memory_mb, peak
from benchmarks.paper_t5 import CODEWORDS, LEVELS, Clock, one_thread, random_ids
from macrec.generation.trie import CodeTrie, lexical_order
from macrec.quantization.semantic_ids import SemanticIds

TRIE_ITEMS, DICT_ITEMS = 10_000_000, 200_000
HERE = "benchmarks.generation"


def records() -> list[dict[str, Any]]:
    """The records of all three parts."""
    return [record for part in RECORDS.values() for record in part()]


def trie() -> list[dict[str, Any]]:
    """Building the trie of ten million items, against nested dicts of two hundred thousand."""
    with tempfile.TemporaryDirectory() as folder:
        peak(f"{HERE}:write_codes", path=f"{folder}/many.npy", items=TRIE_ITEMS)
        peak(f"{HERE}:write_codes", path=f"{folder}/few.npy", items=DICT_ITEMS)
        measured = peak(f"{HERE}:build", side="ours", path=f"{folder}/many.npy")
        ours = measured.result
        theirs = peak(f"{HERE}:build", side="theirs", path=f"{folder}/few.npy").result
    fast, slow, times = TRIE_ITEMS / ours["cpu"], DICT_ITEMS / theirs["cpu"], TRIE_ITEMS // DICT_ITEMS
    return [
        {
            "name": f"trie of {TRIE_ITEMS:,}",
            "ours": round(fast),
            "theirs": round(slow),
            "ratio": round(fast / slow, 2),
            "limit": f"{ours['wall']:.1f} s and {ours['above_mb']:,.0f} MB above the table; goal 60 s and 1,074 MB; "
            f"sorting alone {ours['sort']:.1f} s",
            "unit": "items/s",
            "peak_memory_mb": round(measured.peak_mb),
            "note": f"per CPU-second, one thread; random distinct IDs, {LEVELS} x {CODEWORDS}; the trie itself is "
            f"{ours['kept_mb']:,.0f} MB; theirs: nested dicts of {DICT_ITEMS:,} items in {theirs['cpu']:.2f} s and "
            f"{theirs['above_mb']:,.0f} MB above the table, which for {times} times as many would be "
            f"{times * theirs['cpu']:,.0f} s and {times * theirs['above_mb']:,.0f} MB",
        }
    ]


def write_codes(path: str, items: int) -> None:
    """Random codes into a file, so that what drawing them takes does not count."""
    np.save(path, random_ids(items).codes)


def build(side: str, path: str) -> dict[str, float]:
    """Seconds of building a trie of the codes in a file, and the memory at its peak beyond that of the codes alone."""
    one_thread()
    codes = np.load(path)
    ids = SemanticIds.from_codes(codes, sizes=(CODEWORDS,) * LEVELS)
    del codes
    held, clock = resident_mb(), Clock()
    with clock:
        built: Any = CodeTrie.of(ids) if side == "ours" else nested_dicts(ids)
    found = {"above_mb": highest_memory_mb() - held, "cpu": clock.cpu, "wall": clock.wall}
    if side == "ours":
        tensors = (*built.start, *built.code, built.items, built.first, built.leaf)
        found["kept_mb"] = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 1e6
        sorting = Clock()
        with sorting:
            lexical_order(ids)
        found["sort"] = sorting.wall
    return found


def nested_dicts(ids: SemanticIds) -> dict[int, Any]:
    """The trie that published decoders keep: code → what follows it."""
    root: dict[int, Any] = {}
    for row in ids.codes.tolist():
        node = root
        for code in row:
            node = node.setdefault(code, {})
    return root


def resident_mb() -> float:
    """The memory of this process now; where the system does not tell, the largest so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return highest_memory_mb()
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


RECORDS = {"decoding": decoding.records, "training": generator_training.records, "trie": trie}


if __name__ == "__main__":
    print(json.dumps([record for part in sys.argv[1:] or RECORDS for record in RECORDS[part]()], indent=2))
