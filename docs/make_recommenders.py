"""Write docs/recommenders.md from docs/recommenders.json: `python docs/make_recommenders.py [NAME=RUN_FOLDER …]`.

The json holds what was measured, study by study, and every figure of the page comes from it; a test holds the page against
it. NAME=RUN_FOLDER puts the rows of notebook 08, from the run's metrics.json, in the place of those of the study NAME;
NAME:ablation=RUN_FOLDER does so with its ablation. What a study is about is written into the json by hand.
"""

# ruff: noqa: E501 (the prose is as wide as the pages are)

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import polars as pl
from page import interval, markdown, recorded_in, verdict

from macrec.experiments.results import METRICS, masked
from macrec.viz.efforts import effort_table
from macrec.viz.figures.ablation import ablation_table
from macrec.viz.figures.results import results_table
from macrec.viz.figures.system_rows import MARKS

PAGE = Path(__file__).with_name("recommenders.md")
DATA = PAGE.with_suffix(".json")
CHOICES = PAGE.with_name("choices.json")
METRIC = "NDCG@10"

INTRODUCTION = """# Which recommender wins?

*Written by docs/make_recommenders.py from docs/recommenders.json; change these.*

Measured as notebook 08 does it: the last item of every user is held out, every item of the catalog is a candidate, nothing
is sampled. *Masked* means that items of the history are no candidates. Both rankings come from one training. Mean ± standard
deviation over seeds; systems that count have no seed. Differences are paired by user, with 95 % intervals over users and
seeds; "above" and "below" mean that the interval excludes zero.

## Summary
"""

METHOD = """
## How settings are chosen, and the budget of each system

Checkpoints are chosen on validation users: each training keeps its best measurement, and a training with patience stops when
neither NDCG@10 nor the loss on them has improved for so many measurements. So are the weights of the paths that a generator
fuses, and, for each protocol, the settings of item-kNN and of the transition graph. Training parameters are chosen on the same users,
by notebook 08 with `asked=validation`, which ranks them in place of the test users:

    macrec sweep 08 -p asked=validation -p lambda_con=0,0.001,0.003,0.01 -p seed=0,1,2 --out runs/choice
    macrec compare runs/choice

Then notebook 08 runs once on the test users with the chosen values. [docs/codebooks.md](codebooks.md) compares forms of the
contrastive term, and other codebooks, in this way.

A causal generator, the default, reads every history once per epoch and asks every place of it for the IDs of the next item, whatever
its tasks: equal epochs are equal steps for TIGER, MQL4GRec and MACRec, and each table of efforts lists what they took. On the
backbone `t5`, the published encoder-decoder, an epoch of MACRec, with six tasks, has about four times the samples of one of TIGER.
`budget=steps` gives every generator as many optimizer steps as MACRec takes for its epochs, `budget=seconds` as many as take the same
CPU time (the pace of each is measured once and stored, so its checkpoint can be reused). There are two controls: the TIGERs on text
and on pictures *fused late*, which have two modalities and twice the budget but are trained separately, and in the ablation MACRec
without any of its terms. *MACRec with dense head* also ranks the items themselves, which MACRec as published does not.

Weight decay applies to matrices only. Before, AdamW also decayed norms, biases and embedding tables, the tables of short trainings
at thirty times the rate. NDCG@10 on the built-in catalog, unmasked:

| system, profile | seed | all decayed | matrices alone |
| --- | --- | --- | --- |
| SASRec (1,600 steps) | 0 | .2004 | .2005 |
| SASRec (1,600 steps) | 1 | .1982 | .1980 |
| SASRec (1,280 and 1,472 steps) | 2 | .1970 | .1992 |
| TIGER (image), demo (480 steps) | 0 | .0879 | .0858 |
| TIGER (image), demo | 1 | .0889 | .0913 |
| TIGER (image), demo | 2 | .0967 | .0887 |

SASRec differs by +.0001, -.0002 and +.0022, TIGER by -.0021, +.0024 and -.0080: with three seeds, neither can be distinguished from chance. Trainings
of many epochs were not measured.

## Changes after the first generators

The first generators here scored below popularity. Three things were changed together, and their separate effects were not measured:
SVD directions were standardized, which amplifies noise, and quantized by a narrow autoencoder trained for few epochs; embeddings and
position biases had the learning rate of the other weights, although their values are far larger; and the weight of the contrastive
term was larger.
"""


def page(studies: list[dict[str, Any]]) -> str:
    """The whole page."""
    summary = "\n".join(f"- {sentence}" for study in studies for sentence in sentences(study))
    choices = json.loads(CHOICES.read_text(encoding="utf-8"))
    sections = "".join("\n" + section(study) for study in studies)
    return INTRODUCTION + "\n" + summary + "\n" + METHOD + "\n" + tried(choices) + sections


def tried(choices: dict[str, Any]) -> str:
    """The tables of what was tried on validation users before the test users were asked."""
    tables = "\n\n".join(markdown(pl.DataFrame(rows)) for rows in choices["tables"])
    return f"## {choices['name']}\n\n{choices['about']}\n\n{tables}\n"


def sentences(study: dict[str, Any]) -> list[str]:
    """Summarize the rows of a study in sentences; each figure is computed from them."""
    means = {name: mean_of(study["rows"], name) for name in dict.fromkeys(row["system"] for row in study["rows"])}
    systems = [name for name in means if name not in MARKS]
    if not systems:
        return []
    summary = []
    best = [max(systems, key=lambda name: means[name][metric]) for metric in (METRIC, *masked([METRIC]))]
    values = [means[name][metric] for name, metric in zip(best, (METRIC, *masked([METRIC])), strict=True)]
    summary.append(
        f"**{study['name']}**, systems of the first two tables. Highest mean {METRIC}: {best[0]} with {values[0]:.4f} "
        f"unmasked, {best[1]} with {values[1]:.4f} masked."
    )
    for protocol, differences in study["differences"].items():
        against = study["reference"]
        article = "the " if against[0].islower() else ""
        summary[-1] += f"\n  - Against {article}{against}, {protocol}: {verdicts(differences)}."
    if "oracle" in means:
        share = means[best[0]][METRIC] / means["oracle"][METRIC]
        summary[-1] += (
            f"\n  - {best[0]} reaches {share:.0%} of the oracle's {means['oracle'][METRIC]:.4f}. The text-only "
            f"oracle reaches {means['text-only oracle'][METRIC]:.4f} and the image-only oracle {means['image-only oracle'][METRIC]:.4f}."
        )
    return summary


def verdicts(differences: dict[str, dict[str, Any]]) -> str:
    """Group the systems by their intervals: above, below, or not clearly different."""
    words: dict[str, list[str]] = {"above": [], "below": [], "not clearly different": []}
    for name, difference in differences.items():
        words[verdict(difference)].append(f"{name} ({interval(difference)})")
    return "; ".join(f"{word}: {', '.join(names)}" for word, names in words.items() if names)


def mean_of(rows: list[dict[str, Any]], system: str) -> dict[str, float]:
    """The mean of every metric of a system over its seeds."""
    mine = [row for row in rows if row["system"] == system]
    every = (*METRICS, *masked(METRICS))
    return {metric: statistics.fmean(row[metric] for row in mine) for metric in every if metric in mine[0]}


def section(study: dict[str, Any]) -> str:
    """The tables of a study: what was measured last, its training effort, and older rows with their commit."""
    parts = [f"## {study['name']}", study["about"]]
    if study["rows"]:
        rows = pl.DataFrame(study["rows"], infer_schema_length=None)
        as_masked = rows.drop(METRICS).rename(dict(zip(masked(METRICS), METRICS, strict=True)))
        parts += [f"{study['users']:,} test users, measured at {study['commit']}. Seen items are candidates:"]
        parts += [markdown(results_table(rows, METRICS)), "Seen items are masked:"]
        parts += [markdown(results_table(as_masked, METRICS))]
        if "steps" in rows.columns:
            parts += ["Training effort:", markdown(effort_table(rows))]
    if ablation := study.get("ablation"):
        parts.append(ablation_section(ablation))
    for earlier in study.get("earlier", []):
        table = pl.DataFrame(earlier["rows"], schema=earlier["columns"], orient="row")
        parts += [f"Measured at {earlier['commit']}: {earlier['about']}", markdown(table)]
    return "\n\n".join(parts) + "\n"


def ablation_section(ablation: dict[str, Any]) -> str:
    """What each term gives: the rows, and what the intervals say of each variant."""
    rows = pl.DataFrame(ablation["rows"], infer_schema_length=None)
    steps, full = sorted(set(rows["steps"].drop_nulls().to_list())), ablation["reference"]
    said = [
        f"- {protocol}, against {full} with all terms: {verdicts(differences)}."
        for protocol, differences in ablation["differences"].items()
    ]
    made = f"{' or '.join(f'{count:,}' for count in steps)} optimizer steps each; measured at {ablation['commit']}."
    table = markdown(ablation_table(rows, full, [METRIC, *masked([METRIC])]))
    return "\n\n".join([f"### What each term gives\n\n{ablation['about']} {made}", table, "\n".join(said)])


def replace_ablation(study: dict[str, Any], folder: Path) -> None:
    """Replace the ablation of `study` by that which notebook 08 recorded in `folder`."""
    recorded, commit = recorded_in(folder)
    about = study.get("ablation", {}).get("about", "")
    study["ablation"] = {
        "about": about, "commit": commit, "reference": recorded["reference"],
        "rows": recorded["ablation"], "differences": recorded["ablation_differences"],
    }  # fmt: skip


def replace_rows(study: dict[str, Any], folder: Path) -> None:
    """Replace the rows of `study` by those that notebook 08 recorded in `folder`; the older rows stay."""
    recorded, study["commit"] = recorded_in(folder)
    study |= {name: recorded[name] for name in ("rows", "reference", "differences")}


def main() -> None:
    """Put the runs named on the command line into the json, and write the page."""
    studies = json.loads(DATA.read_text(encoding="utf-8"))
    for argument in sys.argv[1:]:
        name, _, folder = argument.partition("=")
        name, _, part = name.partition(":")
        named = {study["name"]: study for study in studies}
        if name not in named or part not in ("", "ablation"):
            sys.exit(
                f"There is no study {argument.partition('=')[0]}; name one of {', '.join(named)}, or NAME:ablation."
            )
        (replace_ablation if part else replace_rows)(named[name], Path(folder))
    DATA.write_text(json.dumps(studies, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
