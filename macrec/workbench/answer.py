"""What a run has answered, in sentences made from its metrics: who wins, what each part gave, what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from macrec.evaluation.by_group import GroupComparison
from macrec.evaluation.cold import COLD_METRICS
from macrec.evaluation.metric_names import OWN_WEIGHT
from macrec.evaluation.significance import Comparison
from macrec.experiments.modalities import listed
from macrec.experiments.results import HEADLINE, MASKED
from macrec.experiments.standing import standing, standing_in_group
from macrec.viz.figures.comparison import verdict
from macrec.viz.figures.result_rows import gains_over, seeds_each, spread
from macrec.viz.figures.system_rows import MARKS
from macrec.workbench.executed import Executed
from macrec.workbench.run import Run
from macrec.workbench.run_files import Every, count, number, number_or_none, text
from macrec.workbench.run_record import EVALUATION, RunRecord

NEW, OTHERS = "HR@10 cold", "HR@10 in-set"

METRIC = "NDCG@10"
REPORTED_GROUPS = ("tail", "cold", "without picture")
"""The groups of targets where semantic IDs, or a second modality, should help."""

_SCORES = Every(Every(number_or_none))
_ROWS = [{"system": text, "seed": number, **{f"{metric}?": number_or_none for metric in (*HEADLINE, *COLD_METRICS)}}]
_PAIRED = {"metric": text, "difference": number, "low": number, "high": number, "p": number}
_GROUP = {"users": count, "scores": Every(number), "differ": Every(count), "differences": Every(_PAIRED)}
SHAPES = {
    "03_codebooks?": {
        "comparison?": [
            {"variant": text, "seed": number, "modality": text, "conflict_rate": number_or_none,
             "information": number_or_none}
        ]
    },
    "06_generation?": {
        "fusions?": [{"paths": text, "fusion": text, METRIC: number_or_none}], "groups?": Every(_GROUP),
    },
    "07_alignment?": {"alignment?": _SCORES, "against?": _SCORES},
    "09_fusion?": {"subsets?": _SCORES, "differences?": Every(Every(_PAIRED)), "new_items?": _SCORES},
    f"{EVALUATION}?": {
        "systems?": _SCORES, "caption?": text, "reference?": text, "rows?": _ROWS, "ablation?": _ROWS,
        "differences?": Every(Every(_PAIRED)), "ablation_differences?": Every(Every(_PAIRED)),
        "groups?": Every(Every(_GROUP)), "lead?": Every({"best": text, "next": text, **_PAIRED}),
    },
}  # fmt: skip
"""The shape of what is read here of metrics.json; see `macrec.workbench.run_files`."""


@dataclass(frozen=True)
class Answer:
    """The answer of one run: `records` is its metrics.json."""

    run: RunRecord
    records: Mapping[str, Any]

    @classmethod
    def of(cls, run: RunRecord) -> Answer:
        """That of a run. Raises DataError for a metrics.json that notebooks do not write."""
        return cls(run, Run(run.folder).read("metrics.json", SHAPES))

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """What notebook 08 recorded; empty where it measured no system."""
        record: Mapping[str, Any] = self.records.get(EVALUATION, {})
        return record if record.get("systems") and record.get("rows") else {}

    @property
    def reference(self) -> str:
        """The system that the others are compared with."""
        return str(self.evaluation.get("reference", ""))

    @property
    def differences(self) -> dict[str, dict[str, Comparison]]:
        """Protocol → system → its difference from the reference."""
        return {
            protocol: {name: Comparison(**paired) for name, paired in of_protocol.items()}
            for protocol, of_protocol in self.evaluation.get("differences", {}).items()
        }

    @property
    def rows(self) -> pl.DataFrame:
        """One row per system and seed with the `columns`."""
        return _frame(self.evaluation["rows"], ("system", "seed", *self.columns))

    @property
    def columns(self) -> tuple[str, ...]:
        """The metrics of the table: `HEADLINE`, and those of cold targets where they were measured."""
        of_cold = (metric for metric in COLD_METRICS if any(metric in row for row in self.evaluation["rows"]))
        return (*HEADLINE, *of_cold)

    def winners(self) -> list[str]:
        """Who wins by how much under both protocols, and how the reference stands; or why that is not known."""
        if not self.evaluation:
            why = "was skipped" if EVALUATION in self.run.skipped else "was not run"
            why = "failed" if EVALUATION in self.run.failed else why
            measured_nothing = EVALUATION in self.records
            why = "was interrupted before it had measured a system" if measured_nothing else why
            return [f"This run compares no systems: notebook 08, the evaluation, {why}."]
        sentences = []
        for protocol, ending in (("unmasked", ""), ("masked", MASKED)):
            scores = {name: row.get(METRIC + ending) for name, row in self.evaluation["systems"].items()}
            known = {name: score for name, score in scores.items() if score is not None and name not in MARKS}
            if known:
                winner = winner_sentence(protocol, known, self.evaluation.get("lead", {}).get(protocol))
                sentences.append(f"{winner} {standing(self.reference, self.differences.get(protocol, {}))}".strip())
        return sentences

    def parts(self) -> list[tuple[str, str]]:
        """What each part of the method gave, as far as it was measured: its name, and a sentence."""
        found = {
            f"Terms of {self.reference or 'the reference'} (notebook 08)": self._ablation(),
            f"{self.reference or 'The reference'} by target (notebook 08)": self._groups(),
            "Cross-modal codebooks (notebook 03)": self._codebooks(),
            "Fusion of paths (notebook 06)": self._fusion(),
            "Alignment (notebook 07)": self._alignment(),
            "What people do (notebook 09)": self._modalities(),
        }
        return [(name, sentence) for name, sentence in found.items() if sentence]

    def _ablation(self) -> str:
        """What leaving out each term changes, seed by seed."""
        full, rows = self.reference, self.evaluation.get("ablation", [])
        if not self.evaluation:
            return ""
        names = dict.fromkeys(row["system"] for row in rows if row["system"] != full)
        frame = _frame(rows, ("system", "seed", METRIC))
        gains = {name: of_seeds for name in names if len(of_seeds := gains_over(frame, name, full, METRIC)[1])}
        if not gains:
            return "no term was left out; ablation=true trains the reference without each."
        recorded = self.evaluation.get("ablation_differences", {}).get("unmasked", {})
        if recorded:
            paired = standing(full, {name: Comparison(**recorded[name]) for name in recorded}, intervals=True)
            return f"{METRIC} minus that without the term, and the 95% interval on the same users: {paired}"
        parts = ", ".join(f"{name} {spread(of_seeds, '+')}" for name, of_seeds in gains.items())
        seeds = seeds_each([len(of_seeds) for of_seeds in gains.values()])
        return f"{METRIC} minus that of {full} with the same seed, {seeds}: {parts}. No interval was recorded."

    def _groups(self) -> str:
        """How the reference stands where semantic IDs, or a second modality, should help."""
        sentences = []
        for protocol, recorded in self.evaluation.get("groups", {}).items():
            found = {name: GroupComparison.read(recorded[name]) for name in REPORTED_GROUPS if name in recorded}
            lines = [sentence_on(name, group) for name, group in found.items()]
            sentences += (
                [f"{METRIC}, {protocol}, by 95% intervals on the same users: {' '.join(lines)}"] if lines else []
            )
        return " ".join(sentences)

    def _codebooks(self) -> str:
        """Whether the cross-modal terms lower conflicts, and what codes of one modality tell of the other."""
        rows = self.records.get("03_codebooks", {}).get("comparison", [])
        weight = self.run.settings.get("lambda_con")
        if not rows or not number(weight):
            return ""
        measures = ("conflict_rate", "information")
        frame = _frame(rows, ("variant", "seed", "modality", *measures))
        own = f"{OWN_WEIGHT}={weight:g}"
        if own not in frame["variant"]:
            return f"codebooks at λ = {weight:g} were not compared."
        informed = frame["information"].drop_nulls().len() > 0
        return " ".join(verdict(frame, own, "independent", measure) for measure in measures[: 1 + informed])

    def _fusion(self) -> str:
        """What fusing the paths gives beside the best of them."""
        rows = self.records.get("06_generation", {}).get("fusions", [])
        rows = [row for row in rows if row[METRIC] is not None]
        fused = next((row for row in rows if row["fusion"] == "tuned"), None)
        best = max((row for row in rows if not row["fusion"]), key=lambda row: row[METRIC], default=None)
        if fused is None or best is None:
            return f"only one path, {best['paths']}: there is nothing to fuse." if best else ""
        said = (
            f"{METRIC} {fused[METRIC]:.4f} of {fused['paths']} with weights chosen on validation users, "
            f"{best[METRIC]:.4f} of the best single path, {best['paths']}: {fused[METRIC] - best[METRIC]:+.4f}"
        )
        groups = self.records["06_generation"].get("groups", {})
        found = {name: GroupComparison.read(group) for name, group in groups.items()}
        if "all" not in found or best["paths"] not in found["all"].differences:
            return f"{said}. No interval was recorded."
        paired = found["all"].differences[best["paths"]]
        lines = [sentence_on(name, found[name]) for name in REPORTED_GROUPS if name in found]
        interval = f", 95% interval {-paired.high:+z.4f} to {-paired.low:+z.4f} on the same users."
        return " ".join([said + interval, *lines])

    def _alignment(self) -> str:
        """How often an item's state in one modality finds its state in the other, beside the other system."""
        record = self.records.get("07_alignment", {})
        last, other = ([*record.get(name, {}).values(), {}][-2:][0] for name in ("alignment", "against"))
        shares = {
            key.partition("/")[2]: (share, other[key])
            for key, share in last.items()
            if key.startswith("recall@10/") and share is not None and other.get(key) is not None
        }
        if not shares or not last.get("items"):
            return ""
        parts = [f"{direction} {own:.1%} against {theirs:.1%}" for direction, (own, theirs) in shares.items()]
        ours, theirs = (str(self.run.settings.get(name, words)) for name, words in
                        (("system", "the system"), ("against", "the other system")))  # fmt: skip
        return (
            f"share of {last['items']:,.0f} items whose state in one modality has their state in the other among "
            f"its 10 nearest, {ours} against {theirs}: {listed(parts)}; by chance {min(1, 10 / last['items']):.1%}."
        )

    def _modalities(self) -> str:
        """How reading all modalities stands to reading some of them, and how often new items are found."""
        record = self.records.get("09_fusion", {})
        differences = record.get("differences", {}).get("unmasked", {})
        if not differences:
            return ""
        whole = next((name for name in record.get("subsets", {}) if name not in (*differences, *MARKS)), "all")
        paired = standing(f"reading {whole}", {name: Comparison(**found) for name, found in differences.items()}, True)
        said = f"{METRIC} of one training on the same users, with 95% intervals: {paired}"
        found = record.get("new_items", {}).get("LIGER", {})
        if found.get(NEW) is None:
            return said
        return f"{said} LIGER finds new items with HR@10 {found[NEW]:.4f}, the others with {found[OTHERS]:.4f}."


def winner_sentence(protocol: str, scores: Mapping[str, float], lead: Mapping[str, Any] | None) -> str:
    """Who has the highest score under a protocol, and whether that is clearly more than the next.

    `scores`: system → score; `lead`: the difference between the best and the next with its interval, where recorded.
    """
    best, *others = sorted(scores, key=scores.__getitem__, reverse=True)
    start = protocol.capitalize()
    if not others:
        return f"{start}, {best} alone was evaluated: {METRIC} {scores[best]:.4f}."
    if lead is None or lead["best"] not in scores or lead["next"] not in scores:
        return (
            f"{start}, {best} has the highest {METRIC}, {scores[best]:.4f}, before {others[0]} with "
            f"{scores[others[0]]:.4f}; an interval of that difference was not recorded."
        )
    best, second = lead["best"], lead["next"]
    interval = f"{lead['difference']:+.4f}, 95% interval {lead['low']:+.4f} to {lead['high']:+.4f} on the same users"
    if lead["low"] > 0:
        won = f"{METRIC} {scores[best]:.4f}, before {second} with {scores[second]:.4f}"
        return f"{start}, {best} wins: {won} ({interval})."
    return (
        f"{start}, no system clearly wins: {best} has the highest {METRIC}, {scores[best]:.4f}, and is not clearly "
        f"different from the next, {second}, with {scores[second]:.4f} ({interval})."
    )


def sentence_on(group: str, comparison: GroupComparison) -> str:
    """How the reference stands in a group of users, as a sentence."""
    return standing_in_group(f"{group[0].upper()}{group[1:]}", comparison)


def left_out(run: RunRecord, notebooks: Sequence[Executed]) -> list[str]:
    """What was skipped, failed or interrupted, and what notebooks went on without: a sentence each."""
    said: dict[str, list[str]] = {}
    for notebook in notebooks:
        for line in notebook.left_out:
            said.setdefault(line, []).append(notebook.name[:2])
    return [
        *run.said_skips(),
        *(f"{name} failed." for name in run.failed),
        *(f"A training of {name} was interrupted; what was finished is shown." for name in run.interrupted),
        *(
            f"{line.removesuffix('.')} (notebook{'s' if len(numbers) > 1 else ''} {listed(numbers)})."
            for line, numbers in said.items()
        ),
    ]


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pl.DataFrame:
    """Rows as a table of these columns, numbers as floats; null where a row lacks one."""
    words = ("system", "variant", "modality")
    types = {name: pl.String if name in words else pl.Int64 if name == "seed" else pl.Float64 for name in columns}
    return pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=types, strict=False)
