"""Compare contrastive weights by what MACRec recommends to validation users: `python docs/make_lambda_con.py`.

Writes docs/lambda_con.json; about 40 minutes of CPU time. docs/codebooks.md quotes `paragraph`.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from macrec.evaluation.evaluate import PROTOCOLS
from macrec.evaluation.metrics import ranking_metrics
from macrec.evaluation.significance import paired_bootstrap
from macrec.evaluation.system import System
from macrec.evaluation.validation import split_for
from macrec.experiments import encode_modalities, open_dataset
from macrec.experiments.compare_systems import compare_systems
from macrec.systems import Parameters
from macrec.systems.registry import Context, systems

FILE = Path(__file__).with_name("lambda_con.json")
WEIGHTS = (0.0, 0.001, 0.003, 0.01)
SEEDS = (0, 1, 2)


def measured(folder: Path) -> dict[str, Any]:
    """Train MACRec with every weight from every seed, and rank the catalog for all validation users."""
    data = open_dataset("curio", "demo")
    split = split_for("validation", data.split())
    embeddings = encode_modalities(data, {"text": "tfidf", "image": "hog-color"})
    ranks: dict[tuple[float, bool], Any] = {}
    for weight in WEIGHTS:
        settings = Parameters("demo", lambda_con=weight).settings(data.num_items)
        context = Context(folder, data, data.split(), embeddings, settings)

        def made(seed: int, context: Context = context) -> Mapping[str, System]:
            return systems(context.with_seed(seed), "MACRec")

        measured_ranks = compare_systems(made, data, split, SEEDS).ranks
        ranks |= {(weight, masked): np.stack(list(measured_ranks[masked]["MACRec"].values())) for masked in PROTOCOLS}
    rows = []
    for weight in WEIGHTS:
        row: dict[str, Any] = {"lambda_con": weight}
        for masked in PROTOCOLS:
            mine, none = ranks[weight, masked], ranks[0.0, masked]
            entry: dict[str, Any] = {"NDCG@10": [round(ranking_metrics(seed)["NDCG@10"], 6) for seed in mine]}
            if weight:
                difference = paired_bootstrap(mine, none, "NDCG@10")
                entry |= {name: round(getattr(difference, name), 6) for name in ("difference", "low", "high")}
            row["masked" if masked else "unmasked"] = entry
        rows.append(row)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return {
        "commit": commit.stdout.strip(), "dataset": "curio:demo", "profile": "demo",
        "users": len(split.test), "seeds": list(SEEDS), "weights": rows,
    }  # fmt: skip


def paragraph(study: dict[str, Any]) -> str:
    """What the page on codebooks says of it, each protocol in a sentence."""
    users, seeds = f"{study['users']:,} validation users", f"{len(study['seeds'])} seeds"
    parts = [
        f"**What a recommender says.** MACRec on {users} of the built-in catalog, {seeds}, commit {study['commit']}."
    ]
    for protocol, words in (("unmasked", "Seen items as candidates"), ("masked", "Seen items masked")):
        means = ", ".join(
            f"{np.mean(row[protocol]['NDCG@10']):.4f} at λ={row['lambda_con']:g}" for row in study["weights"]
        )
        differing = []
        for row in study["weights"][1:]:
            entry = row[protocol]
            word = "above" if entry["low"] > 0 else "below" if entry["high"] < 0 else "not clearly different from"
            interval = f"{entry['difference']:+.4f} [{entry['low']:+.4f}, {entry['high']:+.4f}]"
            differing.append(f"λ={row['lambda_con']:g} is {word} λ=0 ({interval})")
        parts.append(f"{words}: NDCG@10 {means}; {'; '.join(differing)}.")
    return " ".join(parts)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILE.write_text(json.dumps(measured(Path(folder)), indent=1) + "\n", encoding="utf-8")
    print(paragraph(json.loads(FILE.read_text(encoding="utf-8"))))
