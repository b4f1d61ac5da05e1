"""Fill the figures into docs/systems/NAME.md from docs/systems/NAME.json: `python docs/make_systems.py NAME [STUDY=RUN …]`.

A page is prose with blocks between `<!-- study: … -->`, `<!-- claims -->` or `<!-- readability -->` (of docs/rq_dino.json)
and `<!-- end -->`. A block is written from the json, which holds what was measured, study by study, and the claims; a test holds the pages against it. STUDY=RUN puts what
notebook 08 recorded in the run's folder, metrics.json and the ranks of every user, in the place of the study's. What a study
is about, and what a claim says, is written into the json by hand.
"""

# ruff: noqa: E501 (the prose is as wide as the pages are)

import json
import re
import statistics
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from page import interval, markdown, recorded_in, verdict

from macrec.evaluation.significance import paired_bootstrap
from macrec.experiments.results import masked
from macrec.experiments.saved_ranks import SavedRanks
from macrec.viz.efforts import effort_table
from macrec.viz.figures.result_rows import spread
from macrec.viz.figures.results import results_table

HERE = Path(__file__).with_name("systems")
METRICS = ("HR@10", "NDCG@10", *masked(("HR@10", "NDCG@10")))
COLD = ("HR@10 in-set", "HR@10 cold", "NDCG@10 in-set", "NDCG@10 cold", "exposure@10")
BLOCK = re.compile(r"(<!-- (study: [^>]+?|claims|readability) -->\n).*?(<!-- end -->)", re.DOTALL)
ATTRIBUTES = ("shape", "pattern", "palette", "category")
OWN, AFTERWARDS = ("rq-dino", "codes"), ("rq-dino without quantizer", "codes")
"""The codes that RQ-DINO learned, and those made afterwards of the same network without its quantizer."""
GROUPS = {"cold": "new items", "not cold": "others", "tail": "rare items", "head": "popular items"}


def filled(page: str, about: Mapping[str, Any]) -> str:
    """The page with all its blocks written from `about`. Raises KeyError for a study that there is none of."""

    def block(found: re.Match[str]) -> str:
        what = found[2]
        if what == "readability":
            body = readability(json.loads(HERE.with_name("rq_dino.json").read_text(encoding="utf-8")))
        else:
            body = claims(about) if what == "claims" else study(about["studies"][what.removeprefix("study: ")])
        return f"{found[1]}{body}\n{found[3]}"

    return BLOCK.sub(block, page)


def study(found: Mapping[str, Any]) -> str:
    """How a study was measured, its results, and what each training took."""
    if not found.get("rows"):
        return f"Not measured yet: `{found['command']}`."
    rows = pl.DataFrame(found["rows"], infer_schema_length=None)
    runs = len(set(rows["seed"].to_list()))
    seeds = "one seed" if runs == 1 else f"mean ± standard deviation over {runs} seeds"
    head = (
        f"{found['about']} {found['users']:,} {found.get('asked', 'test')} users, every item a candidate, nothing sampled; {seeds}. "
        f"*Masked*: without the items of the history. Measured at {found['commit']}: `{found['command']}`"
    )
    cold = [metric for metric in COLD if metric in rows.columns]
    tables = [markdown(results_table(rows, [*METRICS, *cold]))]
    if "steps" in rows.columns:
        tables += ["What each training took, codebooks left out:", markdown(effort_table(rows))]
    return "\n\n".join([head, *tables])


def readability(found: Mapping[str, Any]) -> str:
    """What codes and vectors of pictures say, over the seeds, and whether learned codes say more (D6)."""
    of: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        of.setdefault((row["pictures by"], row["read from"]), []).append(row)
    table = [
        [*name, *(spread(np.array([row[attribute] for row in rows])) for attribute in ATTRIBUTES)]
        for name, rows in of.items()
    ]
    words = []
    for attribute in ATTRIBUTES:
        pairs = [(own[attribute], after[attribute]) for own, after in zip(of[OWN], of[AFTERWARDS], strict=True)]
        above = sum(own > after for own, after in pairs)
        words.append(f"{attribute} from {above} of {len(pairs)} seeds")
    taken = ", ".join(f"{training['cpu_seconds']:.0f}" for training in found["trainings"])
    recipe = found["recipe"]
    return "\n\n".join(
        [
            f"{recipe['steps']} steps of {recipe['batch']} pictures of {recipe['pixels']} pixels, {taken} CPU seconds; measured at "
            f"{found['commit'][:7]}: `python docs/make_rq_dino.py`. The share of items whose attribute logistic regression "
            "reads correctly, of items that it has not seen:",
            markdown(pl.DataFrame(table, schema=["pictures by", "read from", *ATTRIBUTES], orient="row")),
            f"D6, learned codes above those made afterwards of the network without a quantizer: {'; '.join(words)}.",
        ]
    )


def claims(about: Mapping[str, Any]) -> str:
    """One row per claim: what it says, what was measured, and whether it holds."""
    rows = [[claim["id"], claim["says"], *measured(claim)] for claim in about["claims"]]
    return markdown(pl.DataFrame(rows, schema=["check", "claim", "measured", "verdict"], orient="row"))


def measured(claim: Mapping[str, Any]) -> tuple[str, str]:
    """The figures of a claim in words, and the verdict."""
    found, metric = claim.get("found"), claim["metric"]
    if not found:
        return "not measured yet", "–"
    if claim["kind"] == "ratio":
        part, whole = (GROUPS[group] for group in claim["parts"])
        pairs = [f"{few:.4f} / {many:.4f}" for few, many in zip(found["part"], found["whole"], strict=True)]
        return f"{metric} of {part} / of {whole}, by seed: {', '.join(pairs)}", verdict_of(claim)
    group = claim.get("group", "")
    where = "".join(f", {word}" for word in (GROUPS.get(group, group), "masked" if claim.get("masked") else "") if word)
    said = f"{metric}{where}: {found['system']:.4f} against {found['against']:.4f}, {interval(found)}"
    return said, verdict_of(claim)


def verdict_of(claim: Mapping[str, Any]) -> str:
    """Whether a claim holds: a difference where its interval says so, a ratio where every seed does.

    Of a difference without an expected direction: which it has.
    """
    found, expected = claim["found"], claim.get("expected", "")
    if claim["kind"] == "ratio":
        shares = [part / whole for part, whole in zip(found["part"], found["whole"], strict=True)]
        reached = [claim.get("least", 0.0) <= share <= claim.get("most", float("inf")) for share in shares]
        some = f"holds for {sum(reached)} of {len(reached)} seeds" if any(reached) else "does not hold"
        return "holds" if all(reached) else some
    word = verdict(found)
    if not expected:
        return word
    if expected == "not below":
        return "does not hold" if word == "below" else "holds"
    return (
        "holds"
        if word == expected
        else "not shown"
        if word == "not clearly different"
        else "does not hold: the opposite"
    )


def measure(claim: Mapping[str, Any], ranks: Mapping[str, SavedRanks]) -> dict[str, Any]:
    """What the ranks of the studies of a claim say of it."""
    metric, masked, own = claim["metric"], bool(claim.get("masked")), ranks[claim["study"]]
    if claim["kind"] == "ratio":
        part, whole = (own.by_seed(claim["system"], metric, masked, group) for group in claim["parts"])
        return {"part": part, "whole": whole}
    group, other = claim.get("group", ""), ranks[claim.get("against_study", claim["study"])]
    of = {"system": (own, claim["system"]), "against": (other, claim["against"])}
    mine, theirs = (saved.of(name, masked, group) for saved, name in of.values())
    difference = paired_bootstrap(mine, theirs, metric)
    means = {role: statistics.fmean(saved.by_seed(name, metric, masked, group)) for role, (saved, name) in of.items()}
    return asdict(difference) | means


def take(about: dict[str, Any], folders: Mapping[str, Path]) -> None:
    """Put what notebook 08 recorded in the folder of each study into it, and into the claims on these studies."""
    ranks = {}
    for name, folder in folders.items():
        recorded, commit = recorded_in(folder)
        known = {row["system"] for row in recorded["rows"]}
        rows = recorded["rows"] + [row for row in recorded["ablation"] if row["system"] not in known]
        ranks[name] = SavedRanks.load(folder / "artifacts" / "ranks.parquet")
        about["studies"][name] |= {"commit": commit, "users": ranks[name].users, "rows": [kept(row) for row in rows]}
    for claim in about["claims"]:
        if {claim["study"], claim.get("against_study", claim["study"])} <= ranks.keys():
            claim["found"] = measure(claim, ranks)


def kept(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row that the page shows."""
    wanted = ("system", "seed", *METRICS, *COLD, "samples", "steps", "cpu_seconds")
    return {name: row[name] for name in wanted if name in row}


def main() -> None:
    """Put the runs named on the command line into the json of a page, and write the page."""
    name, *runs = sys.argv[1:] or sys.exit(__doc__)
    data, page = HERE / f"{name}.json", HERE / f"{name}.md"
    about = json.loads(data.read_text(encoding="utf-8"))
    folders = {study: Path(folder) for study, _, folder in (run.rpartition("=") for run in runs)}
    if unknown := folders.keys() - about["studies"].keys():
        sys.exit(f"There is no study {', '.join(unknown)}; name some of {', '.join(about['studies'])}.")
    take(about, folders)
    data.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    page.write_text(filled(page.read_text(encoding="utf-8"), about), encoding="utf-8")


if __name__ == "__main__":
    main()
