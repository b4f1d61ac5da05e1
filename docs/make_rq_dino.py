"""What do the codes of RQ-DINO say of a picture? Writes docs/rq_dino.json: `python docs/make_rq_dino.py [SEED …]`.

Measures the built-in catalog from each seed (default: 0, 1, 2), and puts the rows in the place of those of these
seeds. What is read from what: `macrec.experiments.readability`. Trainings and vectors are kept in the cache, so a
measurement that was stopped goes on.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from macrec.data import load_dataset
from macrec.encoders.rq_dino import RQDINOEncoder
from macrec.experiments.readability import attributes_of, readability_rows, readable_pictures

DATA = Path(__file__).with_name("rq_dino.json")
DATASET = "curio"
SEEDS = (0, 1, 2)


def measured(seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows from one seed, and the training of RQ-DINO: what it took, and what was measured on its way."""
    data, encoder = load_dataset(DATASET), RQDINOEncoder(replace(RQDINOEncoder().recipe, seed=seed))
    readable = readable_pictures(data, encoder)
    rows = readability_rows(readable, attributes_of(data, np.flatnonzero(data.images.present)), seed)
    events = list(encoder.events(data))
    course = [
        {"step": event.step} | {k: round(v, 4) for k, v in event.measured.items()} for event in events if event.measured
    ]
    last = events[-1]
    return rows, {"seed": seed, "cpu_seconds": round(last.cpu_seconds, 1), "samples": last.samples, "course": course}


def main() -> None:
    """Measure and write."""
    known = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else {"rows": [], "trainings": []}
    recipe = {name: value for name, value in asdict(RQDINOEncoder().recipe).items() if name != "seed"}
    if known.get("recipe") != recipe:
        known = {"rows": [], "trainings": []}  # of other settings
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=True, cwd=DATA.parent).stdout.strip()
    for seed in [int(argument) for argument in sys.argv[1:]] or SEEDS:
        begin = time.perf_counter()
        rows, training = measured(seed)
        for name, new in (("rows", rows), ("trainings", [training])):
            known[name] = sorted([row for row in known[name] if row["seed"] != seed] + new, key=lambda row: row["seed"])
        study = {"dataset": DATASET, "commit": commit, "recipe": recipe, **known}
        DATA.write_text(json.dumps(study, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        for row in rows:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        print(f"seed {seed}: {time.perf_counter() - begin:,.0f} seconds", flush=True)


if __name__ == "__main__":
    main()
