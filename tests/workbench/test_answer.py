"""The answer of a run: every sentence follows from its metrics."""

import json

import pytest

from macrec.errors import DataError
from macrec.experiments.standing import standing
from macrec.workbench.answer import Answer, left_out, winner_sentence
from macrec.workbench.run_record import RunRecord


def paired(difference, low, high):
    return {"metric": "NDCG@10", "difference": difference, "low": low, "high": high, "p": 0.5}


def row(system, score, seed=0):
    return {"system": system, "seed": seed, "HR@10": score, "NDCG@10": score, "HR@10 masked": score,
            "NDCG@10 masked": score}  # fmt: skip


SCORES = {"counts": 0.1, "SASRec": 0.3, "MACRec": 0.25, "oracle": 0.9}
EVALUATION = {
    "systems": {name: {"NDCG@10": score, "NDCG@10 masked": score} for name, score in SCORES.items()},
    "rows": [row(name, score) for name, score in SCORES.items()],
    "reference": "MACRec",
    "ablation": [row("MACRec", 0.25), row("MACRec w/o implicit", 0.24)],
    "differences": {
        "unmasked": {"counts": paired(-0.15, -0.2, -0.1), "SASRec": paired(0.05, 0.01, 0.09)},
        "masked": {"counts": paired(-0.15, -0.2, -0.1), "SASRec": paired(0.05, -0.01, 0.11)},
    },
    "lead": {
        "unmasked": {"best": "SASRec", "next": "MACRec", **paired(0.05, 0.01, 0.09)},
        "masked": {"best": "SASRec", "next": "MACRec", **paired(0.05, -0.01, 0.11)},
    },
}


def answer(records, skipped=(), failed=(), interrupted=(), **settings):
    run = RunRecord("r", None, settings, {}, 0.0, interrupted, failed, dict(skipped))
    return Answer(run, records)


def test_who_wins_is_said_under_both_protocols_with_the_interval():
    assert answer({"08_evaluation": EVALUATION}).winners() == [
        "Unmasked, SASRec wins: NDCG@10 0.3000, before MACRec with 0.2500 (+0.0500, 95% interval +0.0100 to +0.0900 on "
        "the same users). MACRec is clearly below SASRec; clearly above counts.",
        "Masked, no system clearly wins: SASRec has the highest NDCG@10, 0.3000, and is not clearly different from the "
        "next, MACRec, with 0.2500 (+0.0500, 95% interval -0.0100 to +0.1100 on the same users). MACRec is not clearly "
        "different from SASRec; clearly above counts.",
    ]


def test_a_lead_without_an_interval_and_a_system_alone_are_said_to_be_so():
    assert "an interval of that difference was not recorded" in winner_sentence("masked", {"a": 0.1, "b": 0.2}, None)
    assert winner_sentence("masked", {"a": 0.1}, None) == "Masked, a alone was evaluated: NDCG@10 0.1000."
    assert standing("a", {}) == ""


@pytest.mark.parametrize(
    ("records", "run", "why"),
    [
        ({}, {}, "was not run"),
        ({}, {"skipped": {"08_evaluation": "No test users; add some."}}, "was skipped"),
        ({}, {"failed": ("08_evaluation",)}, "failed"),
        ({"08_evaluation": {"systems": {}, "rows": []}}, {}, "was interrupted before it had measured a system"),
    ],
)
def test_without_an_evaluation_the_answer_says_why_there_is_none(records, run, why):
    found = answer(records, **run)
    assert found.winners() == [f"This run compares no systems: notebook 08, the evaluation, {why}."]
    assert not found.evaluation and found.parts() == []


def test_every_part_that_was_measured_has_a_line():
    row_of = {"seed": 0, "modality": "text", "information": 0.5}
    variants = (("cross-modal λ=0.01", 0.1), ("independent", 0.2))
    records = {
        "08_evaluation": EVALUATION,
        "03_codebooks": {"comparison": [{**row_of, "variant": name, "conflict_rate": rate} for name, rate in variants]},
        "06_generation": {
            "fusions": [
                {"paths": "text→text", "fusion": "", "NDCG@10": 0.2},
                {"paths": "image→image", "fusion": "", "NDCG@10": 0.1},
                {"paths": "2 paths", "fusion": "tuned", "NDCG@10": 0.25},
            ]
        },
        "07_alignment": {
            "alignment": {"before": {}, "after": {"recall@10/text→image": 0.5, "items": 100.0}},
            "against": {"after": {"recall@10/text→image": 0.2, "items": 100.0}},
        },
    }
    less = {"metric": "NDCG@10", "difference": -0.1, "low": -0.2, "high": -0.05, "p": 0.01}
    records["09_fusion"] = {
        "subsets": {"text": {}, "text + image": {}, "oracle": {}},
        "differences": {"unmasked": {"text": less}},
        "new_items": {"LIGER": {"HR@10 cold": 0.1, "HR@10 in-set": 0.2}},
    }
    parts = dict(answer(records, lambda_con=0.01, system="MACRec", against="MQL4GRec").parts())
    assert [name[-3:-1] for name in parts] == ["08", "03", "06", "07", "09"]
    ablation, codebooks, fusion, alignment, modalities = parts.values()
    assert "reading text + image is clearly above text (+0.1000, +0.0500 to +0.2000)" in modalities
    assert "LIGER finds new items with HR@10 0.1000, the others with 0.2000" in modalities
    assert "MACRec w/o implicit -0.0100" in ablation
    assert "text: lower from this one seed, 10.00% against 20.00%" in codebooks
    assert "NDCG@10 0.2500 of 2 paths" in fusion and "text→text: +0.0500" in fusion
    assert "MACRec against MQL4GRec: text→image 50.0% against 20.0%; by chance 10.0%" in alignment


def group(users, **others):
    differences = {name: paired(*interval) for name, interval in others.items() if interval}
    return {
        "users": users, "scores": dict.fromkeys(("MACRec", *others), 0.2), "differ": dict.fromkeys(others, 3),
        "differences": differences,
    }  # fmt: skip


def test_targets_where_ids_should_help_are_told_with_their_users():
    groups = {"head": group(9, SASRec=(0.1, 0.05, 0.2)), "tail": group(40, SASRec=(-0.1, -0.2, -0.05)),
              "without picture": group(12, SASRec=None)}  # fmt: skip
    record = EVALUATION | {"groups": {"masked": groups}}
    said = dict(answer({"08_evaluation": record}).parts())["MACRec by target (notebook 08)"]
    assert said == (
        "NDCG@10, masked, by 95% intervals on the same users: Tail (40 users): MACRec is clearly above SASRec. Without "
        "picture (12 users): Fewer than 10 users differ, too few for an interval: SASRec (3)."
    )


def test_ablation_and_fusion_have_their_intervals_where_these_were_recorded():
    ablation = {"unmasked": {"MACRec w/o implicit": paired(-0.01, -0.02, 0.005)}}
    fusions = [{"paths": "a", "fusion": "", "NDCG@10": 0.2}, {"paths": "b", "fusion": "tuned", "NDCG@10": 0.25}]
    groups = {"all": group(40, a=(-0.05, -0.08, -0.02)), "without picture": group(30, a=(-0.1, -0.2, -0.05))}
    records = {
        "08_evaluation": EVALUATION | {"ablation_differences": ablation},
        "06_generation": {"fusions": fusions, "groups": groups},
    }
    of_terms, of_paths = dict(answer(records).parts()).values()
    assert "not clearly different from MACRec w/o implicit (+0.0100, -0.0050 to +0.0200)" in of_terms
    assert "+0.0500, 95% interval +0.0200 to +0.0800 on the same users. Without picture (30 users): " in of_paths
    assert "No interval" not in of_terms + of_paths


def test_an_ablation_that_was_not_run_is_named_with_its_parameter():
    [(_, sentence)] = answer({"08_evaluation": EVALUATION | {"ablation": [row("MACRec", 0.25)]}}).parts()
    assert "ablation=true" in sentence


def test_what_is_missing_is_named_once_with_its_notebooks():
    class Notebook:
        def __init__(self, name, *lines):
            self.name, self.left_out = name, list(lines)

    line = "Left out: image, as none of the items have a picture."
    run = answer({}, {"07_alignment": "Too few."}, ("05_audit",), ("03_codebooks",)).run
    assert left_out(run, [Notebook("02_embeddings", line), Notebook("08_evaluation", line)]) == [
        "07_alignment skipped: Too few.",
        "05_audit failed.",
        "A training of 03_codebooks was interrupted; what was finished is shown.",
        "Left out: image, as none of the items have a picture (notebooks 02 and 08).",
    ]


@pytest.mark.parametrize(
    "damage",
    [{"systems": [1]}, {"systems": {"a": {"NDCG@10": "x"}}}, {"rows": [{"system": 1, "seed": 0}]},
     {"differences": {"masked": {"a": {}}}}, {"lead": {"masked": {"best": "a"}}},
     {"groups": {"masked": {"tail": {"users": -1}}}}],
)  # fmt: skip
def test_metrics_that_no_notebook_writes_are_refused_with_their_place(tmp_path, damage):
    (tmp_path / "metrics.json").write_text(json.dumps({"08_evaluation": EVALUATION | damage}))
    with pytest.raises(DataError, match=r"metrics\.json, field \"08_evaluation\.\S+: this is not what macrec writes"):
        Answer.of(RunRecord("r", tmp_path, {}, {}, 0.0))
