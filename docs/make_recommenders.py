"""Write docs/recommenders.md from docs/recommenders.json: `python docs/make_recommenders.py [NAME=RUN_FOLDER …]`.

The json holds what was measured, study by study, and every figure of the page comes from it; a test holds the page against
it. NAME=RUN_FOLDER puts the rows of notebook 08, from the run's metrics.json, in the place of those of the study NAME.
"""

# ruff: noqa: E501 (the prose is as wide as the pages are)

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import polars as pl
from page import markdown

from macrec.experiments.results import METRICS, masked
from macrec.viz.efforts import effort_table
from macrec.viz.figures.results import results_table
from macrec.viz.figures.system_rows import MARKS

PAGE = Path(__file__).with_name("recommenders.md")
DATA = PAGE.with_suffix(".json")
METRIC = "NDCG@10"

INTRODUCTION = """# Which recommender wins?

*Written by docs/make_recommenders.py from docs/recommenders.json; change these.*

Measured as notebook 08 does it: the last item of every user is hidden, every item of the catalog is a candidate, nothing is
sampled. *Masked* means that items of the history are no candidates. Both rankings come from one training. Mean ± standard
deviation over seeds; systems that count have no seed. Differences are of the same users, with 95 % intervals over users and
seeds; only an interval that leaves out zero lets this page say "above" or "below".

## What the numbers say
"""

METHOD = """
## How settings are chosen, and how much each system may learn

Weights are chosen on validation users: of every measurement during a training the best is kept, and a training with patience ends
when neither its NDCG@10 nor its loss on them has got better for so many measurements. So are the weights of the paths that a generator
fuses, and, for each protocol, the settings of item-kNN and of the transition graph. Settings of trainings are chosen on the same users,
by notebook 08 with `asked=validation`, which ranks them in the place of the test users:

    macrec sweep 08 -p asked=validation -p lambda_con=0,0.001,0.003,0.01 -p seed=0,1,2 --out runs/choice
    macrec compare runs/choice

Then notebook 08 with what was chosen, once, on the test users. How the weight of the contrastive term was chosen stands in
[docs/codebooks.md](codebooks.md).

An epoch of MACRec, with six tasks, has about four times the samples of one of TIGER. The tables of generators below are of equal epochs.
`budget=steps` gives every generator as many optimizer steps as MACRec takes for its epochs, `budget=seconds` as many as take the same
CPU time (the pace of each is measured once and kept, so a training is found again); the table of efforts says what each took. Two
controls stand in the table: the TIGERs on text and on pictures *fused late*, which have two modalities and twice the budget but learn
nothing together, and in the ablation MACRec without any of its terms.

Weight decay is for matrices alone. Before, AdamW also drew norms, biases and the looked-up tables towards zero, the tables of short
trainings at thirty times the rate. NDCG@10 on the built-in catalog, unmasked:

| system, profile | seed | all decayed | matrices alone |
| --- | --- | --- | --- |
| SASRec (1,600 steps) | 0 | .2004 | .2005 |
| SASRec (1,600 steps) | 1 | .1982 | .1980 |
| SASRec (1,280 and 1,472 steps) | 2 | .1970 | .1992 |
| TIGER (image), demo (480 steps) | 0 | .0879 | .0858 |
| TIGER (image), demo | 1 | .0889 | .0913 |
| TIGER (image), demo | 2 | .0967 | .0887 |

SASRec differs by +.0001, -.0002 and +.0022, TIGER by -.0021, +.0024 and -.0080: three seeds do not tell either from chance. Trainings
of many epochs were not measured.

## What generators took to learn at all

The first generators here were below popularity, for three reasons, none of them in the generator's code. The codes said next to
nothing about the items, as standardized directions of an SVD make noise as loud as meaning, and a narrow autoencoder was far from
trained. Embeddings and position biases, which start far larger than the other weights, learned too slowly at the same rate. And
the contrastive term was too strong: fusion lives on what only one modality knows.
"""


def page(studies: list[dict[str, Any]]) -> str:
    """The whole page."""
    said = "\n".join(f"- {sentence}" for study in studies for sentence in sentences(study))
    return INTRODUCTION + "\n" + said + "\n" + METHOD + "".join("\n" + section(study) for study in studies)


def sentences(study: dict[str, Any]) -> list[str]:
    """What the rows of a study say, each figure from them."""
    means = {name: mean_of(study["rows"], name) for name in dict.fromkeys(row["system"] for row in study["rows"])}
    systems = [name for name in means if name not in MARKS]
    if not systems:
        return []
    found = []
    best = [max(systems, key=lambda name: means[name][metric]) for metric in (METRIC, *masked([METRIC]))]
    values = [means[name][metric] for name, metric in zip(best, (METRIC, *masked([METRIC])), strict=True)]
    found.append(
        f"**{study['name']}**, systems of the first two tables. Highest mean {METRIC}: {best[0]} with {values[0]:.4f} "
        f"unmasked, {best[1]} with {values[1]:.4f} masked."
    )
    for protocol, differences in study["differences"].items():
        found[-1] += f"\n  - Against the {study['reference']}, {protocol}: {verdicts(differences)}."
    if "oracle" in means:
        share = means[best[0]][METRIC] / means["oracle"][METRIC]
        found[-1] += (
            f"\n  - {best[0]} reaches {share:.0%} of the oracle's {means['oracle'][METRIC]:.4f}. With all rules known, text "
            f"alone gives {means['reads only'][METRIC]:.4f} and pictures alone {means['sees only'][METRIC]:.4f}."
        )
    return found


def verdicts(differences: dict[str, dict[str, Any]]) -> str:
    """Which systems are above and below, and which neither, by their intervals."""
    words: dict[str, list[str]] = {"above": [], "below": [], "not clearly different": []}
    for name, found in differences.items():
        word = "above" if found["low"] > 0 else "below" if found["high"] < 0 else "not clearly different"
        words[word].append(f"{name} ({found['difference']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}])")
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in words.items() if names)


def mean_of(rows: list[dict[str, Any]], system: str) -> dict[str, float]:
    """The mean of every metric of a system over its seeds."""
    mine = [row for row in rows if row["system"] == system]
    every = (*METRICS, *masked(METRICS))
    return {metric: statistics.fmean(row[metric] for row in mine) for metric in every if metric in mine[0]}


def section(study: dict[str, Any]) -> str:
    """The tables of a study: what was measured anew, what it took, and older rows with their commit."""
    parts = [f"## {study['name']}", study["about"]]
    if study["rows"]:
        rows = pl.DataFrame(study["rows"], infer_schema_length=None)
        as_masked = rows.drop(METRICS).rename(dict(zip(masked(METRICS), METRICS, strict=True)))
        parts += [f"{study['users']:,} test users, measured at {study['commit']}. Seen items are candidates:"]
        parts += [markdown(results_table(rows, METRICS)), "Seen items are masked:"]
        parts += [markdown(results_table(as_masked, METRICS))]
        if "steps" in rows.columns:
            parts += ["What trainings took:", markdown(effort_table(rows))]
    for earlier in study.get("earlier", []):
        table = pl.DataFrame(earlier["rows"], schema=earlier["columns"], orient="row")
        parts += [f"Measured at {earlier['commit']}: {earlier['about']}", markdown(table)]
    return "\n\n".join(parts) + "\n"


def replace_rows(study: dict[str, Any], folder: Path) -> None:
    """Put what notebook 08 recorded in `folder` in the place of the rows of `study`; the older rows stay."""
    run = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    recorded = run["08_evaluation"]
    study |= {name: recorded[name] for name in ("rows", "reference", "differences")}
    study["commit"] = run.get("environment", {}).get("commit", "an unknown commit")


def main() -> None:
    """Take in the runs of the command line, and write the page."""
    studies = json.loads(DATA.read_text(encoding="utf-8"))
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        replace_rows(next(study for study in studies if study["name"] == name), Path(folder))
    DATA.write_text(json.dumps(studies, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
