"""Which codebooks serve the generator? Writes docs/codebooks.md from docs/codebooks.json.

`python docs/make_codebooks.py` writes the page. `python docs/make_codebooks.py FOLDER NAME=DATASET …` first measures: it
trains MACRec with every entry of `FORMS` and `SETTINGS` and ranks for the validation users. DATASET is as for any
notebook, and may be followed by ",newest=20" (events of each user) and ",users=1500" (of them, at random). Trainings
are kept in FOLDER and found again, so a measurement that was stopped goes on.
"""

# ruff: noqa: E501 (the prose is as wide as the pages are)

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from page import interval, markdown, verdict

from macrec.evaluation.evaluate import PROTOCOLS
from macrec.evaluation.metrics import ranking_metrics
from macrec.evaluation.significance import paired_bootstrap
from macrec.evaluation.validation import split_for
from macrec.experiments import encode_modalities, modality_specs, open_dataset
from macrec.experiments.compare_systems import compare_systems
from macrec.experiments.compare_tokenizers import codebook_rows
from macrec.systems import Parameters
from macrec.systems.registry import Context, systems
from macrec.tokenizers.kinds import open_tokenizer
from macrec.training import drain

PAGE = Path(__file__).with_name("codebooks.md")
DATA = PAGE.with_suffix(".json")
METRIC = "NDCG@10"

WORDS = {"newest": "the newest {:,} events of each", "users": "{:,} users drawn at random"}
"""What the options of a catalog are called."""

NONE = "no cross-modal term"
FORMS: dict[str, dict[str, Any]] = {
    NONE: {"lambda_con": 0.0, "lambda_align": 0.0},
    "contrast by labels, λ=0.003": {"lambda_con": 0.003, "contrast": "labels"},
    "contrast by prefix, λ=0.03": {"lambda_con": 0.03, "contrast": "prefix"},
}
"""Forms of the contrastive term: measured from each of `SEEDS`."""
SEEDS = (0, 1, 2)

SETTINGS: dict[str, dict[str, Any]] = {
    "rkmeans": {"tokenizer": "rkmeans"},
    "rkmeans+": {"tokenizer": "rkmeans+"},
    "rkmeans, 4 × 256": {"tokenizer": "rkmeans", "levels": 4, "codewords": 256},
}
"""Other codebooks, from the first seed: one seed tells only large differences."""


def measured(name: str, dataset: str, folder: Path) -> dict[str, Any]:
    """The rows of one catalog: every form from every seed, every other setting from the first, and differences to none."""
    path, *options = dataset.split(",")
    chosen = {key: int(value) for key, _, value in (option.partition("=") for option in options)}
    if unknown := chosen.keys() - WORDS.keys():
        sys.exit(f"There is no option {', '.join(unknown)}; choose from {', '.join(WORDS)}.")
    describe = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=True, cwd=PAGE.parent).stdout.strip()
    data = open_dataset(path, "demo", users=chosen.get("users", 0), newest=chosen.get("newest", 0))
    split, embeddings = data.split(), encode_modalities(data, modality_specs("tfidf", "hog-color", ""))
    rows, ranks = [], {}
    for variant, options_of in (FORMS | SETTINGS).items():
        settings = Parameters("demo", **options_of).settings(data.num_items)
        context = Context(folder, data, split, embeddings, settings)
        seeds = SEEDS if variant in FORMS else SEEDS[:1]
        results = compare_systems(
            lambda seed, context=context: systems(context.with_seed(seed), "MACRec"),  # type: ignore[misc]
            data, split_for("validation", split), seeds,
        )  # fmt: skip
        for masked in PROTOCOLS:
            ranks[variant, masked] = np.stack(list(results.ranks[masked]["MACRec"].values()))
        for place, seed in enumerate(seeds):
            row: dict[str, Any] = {"variant": variant, "seed": seed}
            for masked in PROTOCOLS:
                column = METRIC + (" masked" if masked else "")
                row[column] = round(ranking_metrics(ranks[variant, masked][place])[METRIC], 6)
            tokenizer = open_tokenizer(folder / "codebooks", data, embeddings, settings.with_seed(seed).codebooks)
            drain(tokenizer.events())  # which the training of MACRec has stored
            for codes in codebook_rows(tokenizer, variant):
                for measure in ("conflict_rate", "reconstruction"):
                    row[f"{measure} {codes['modality']}"] = round(codes[measure], 6)
            rows.append(row)
            print(json.dumps(row, ensure_ascii=False), flush=True)
    differences: dict[str, Any] = {}
    for variant in FORMS:
        if variant != NONE:
            differences[variant] = {}
            for masked in PROTOCOLS:
                found = paired_bootstrap(ranks[variant, masked], ranks[NONE, masked], METRIC)
                differences[variant]["masked" if masked else "unmasked"] = {
                    key: round(getattr(found, key), 6) for key in ("difference", "low", "high")
                }
    about = ", ".join(WORDS[key].format(value) for key, value in chosen.items())
    sizes = list(Parameters("demo").codebooks(data.num_items).config.rqvae.sizes)
    return {
        "name": name, "options": about, "items": data.num_items, "users": len(split.valid), "sizes": sizes,
        "commit": commit, "rows": rows, "differences": differences,
    }  # fmt: skip


INTRODUCTION = """# Which codebooks serve the generator?

*Written by docs/make_codebooks.py from docs/codebooks.json; change these.*

MACRec is trained over codebooks made in several ways, all else equal, and ranks the catalog for the **validation** users; test users
are not asked. Text is encoded by TF-IDF, pictures by HOG with colors. *Conflict rate* is before resolution, among the items that have
the modality; *reconstruction error* is squared and per dimension, where 1 is the error of always predicting the mean. Random IDs
have few conflicts too, so read both together. ± is the standard deviation over seeds; intervals are paired by user, 95 %, over users
and seeds.

## Forms of the cross-modal term

The paper's contrastive term draws together the residuals of items that share a pseudo-label of the other modality, and pushes all others
apart (*by labels*). Nothing in it keeps two items from one ID: items that are alike in both modalities are drawn together. The form
*by prefix* (`contrast=prefix lambda_con=0.03`) looks at the pairs that can end in conflict: items with the same codes so far are pushed apart where
the pseudo-labels of the other modality differ, or one of them lacks it. Both act on the upper half of the levels, beside the alignment of the reconstructed
latents; *no cross-modal term* has neither. The weight .03 was chosen among .003, .01 and .03 by the conflicts of the built-in catalog,
first seed. The default is the published form, unless another gives better recommendations on every
catalog.
"""

OTHERS = """
## Other settings

One seed: only large differences mean anything. Levels × codewords follow the size of the catalog unless said otherwise; with more
codewords than items residual k-means keeps every item as it is.
"""


def page(studies: list[dict[str, Any]]) -> str:
    """The whole page."""
    forms = "".join("\n" + section(study) for study in studies)
    return INTRODUCTION + forms + "\n" + summary(studies) + OTHERS + "".join("\n" + others(study) for study in studies)


def title(study: dict[str, Any]) -> str:
    """The heading of a catalog."""
    sizes = f"{len(study['sizes'])} × {study['sizes'][0]} codewords"
    options = f" ({study['options']})" if study["options"] else ""
    return f"### {study['name']}\n\n{study['items']:,} items, {study['users']:,} validation users{options}; {sizes}; measured at {study['commit']}."


def spread(values: list[float], form: str) -> str:
    """Mean ± standard deviation, or the value where there is one."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{format(float(np.mean(values)), form)} ± {format(float(np.std(values, ddof=1)), form)}"


def table(study: dict[str, Any], variants: list[str]) -> str:
    """One row per variant."""
    made = []
    for variant in variants:
        rows = [row for row in study["rows"] if row["variant"] == variant]
        made.append(
            {"codebooks": variant}
            | {
                f"conflicts, {modality}": spread([row[f"conflict_rate {modality}"] for row in rows], ".2%")
                for modality in ("text", "image")
            }
            | {
                f"reconstruction, {modality}": spread([row[f"reconstruction {modality}"] for row in rows], ".3f")
                for modality in ("text", "image")
            }
            | {column: spread([row[column] for row in rows], ".4f") for column in (METRIC, f"{METRIC} masked")}
        )
    return markdown(pl.DataFrame(made))


def section(study: dict[str, Any]) -> str:
    """The forms of the term in one catalog."""
    return f"{title(study)}\n\n{table(study, list(FORMS))}\n\n{sentences(study)}\n"


def sentences(study: dict[str, Any]) -> str:
    """What the rows say of each form, seed by seed for conflicts and by intervals for recommendations."""
    said = []
    for variant, of in study["differences"].items():
        parts = [f"{modality} conflicts {counted(study, variant, modality)}" for modality in ("text", "image")]
        parts += [f"{METRIC} {protocol} {verdict(found)} ({interval(found)})" for protocol, found in of.items()]
        said.append(f"- *{variant}* against {NONE}: {'; '.join(parts)}.")
    return "\n".join(said)


def counted(study: dict[str, Any], variant: str, modality: str) -> str:
    """In how many seeds a variant has fewer conflicts than none."""
    by = {(row["variant"], row["seed"]): row[f"conflict_rate {modality}"] for row in study["rows"]}
    fewer = sum(by[variant, seed] < by[NONE, seed] for seed in SEEDS)
    return f"fewer from {fewer} of {len(SEEDS)} seeds"


def summary(studies: list[dict[str, Any]]) -> str:
    """Where the paper's claim, fewer conflicts and better recommendations, holds."""
    lines = ["### Does the claim hold?", ""]
    for variant in (name for name in FORMS if name != NONE):
        holds = []
        for modality in ("text", "image"):
            fewer = sum(counted(study, variant, modality).startswith(f"fewer from {len(SEEDS)}") for study in studies)
            holds.append(f"{modality} conflicts are fewer from all seeds in {fewer} of {len(studies)} catalogs")
        words = [verdict(of) for study in studies for of in study["differences"][variant].values()]
        tally = ", ".join(f"{word} in {words.count(word)}" for word in ("above", "not clearly different", "below"))
        lines.append(
            f"- *{variant}*: {'; '.join(holds)}; recommendations are {tally} of {len(words)} comparisons (catalogs and protocols)."
        )
    return "\n".join(lines) + "\n"


def others(study: dict[str, Any]) -> str:
    """The other settings in one catalog, beside the first seed of the forms."""
    first = dict(study, rows=[row for row in study["rows"] if row["seed"] == SEEDS[0]])
    return f"### {study['name']}, seed {SEEDS[0]}\n\n{table(first, list(dict.fromkeys(row['variant'] for row in first['rows'])))}\n"


def main() -> None:
    """Measure the catalogs of the command line, if any, and write the page."""
    studies = json.loads(DATA.read_text(encoding="utf-8")) if DATA.exists() else []
    for argument in sys.argv[2:]:
        name, _, dataset = argument.partition("=")
        study = measured(name, dataset, Path(sys.argv[1]) / name.replace(" ", "_"))
        by_name = {other["name"]: other for other in studies} | {name: study}
        studies = list(by_name.values())
        DATA.write_text(json.dumps(studies, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(studies), encoding="utf-8")


if __name__ == "__main__":
    main()
