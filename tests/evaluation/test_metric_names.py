"""What metrics are called: words for every part of a key, each name once."""

import pytest

from macrec.evaluation.metric_names import metric_names, metric_words

WORDS = {
    "03_codebooks.comparison.cross-modal λ.text.information": (
        "information on the other modality (nats) of text, cross-modal codebooks"
    ),
    "03_codebooks.comparison.cross-modal λ=0.01.image.conflict_rate": (
        "conflict rate of image, cross-modal codebooks at λ = 0.01"
    ),
    "03_codebooks.independent.utilization/text/title/2": "utilization of text, title, level 2, trained independently",
    "05_audit.gradients.corrected.0.gradient": "gradient norm of level 0, the corrected form",
    "06_generation.measured.NDCG@10/validation": "NDCG@10, validation users",
    "06_generation.fusions.2 paths.tuned.HR@10": "HR@10 of tuned fusion, 2 paths",
    "07_alignment.alignment.after.recall@10/text→image": "recall@10 of text→image, after training",
    "08_evaluation.systems.TIGER (text).NDCG@10 masked": "NDCG@10 of TIGER (text), masked",
    "08_evaluation.systems.LIGER.NDCG@10 cold": "NDCG@10 of targets without training events, LIGER",
    "08_evaluation.systems.LIGER.HR@10 in-set masked": "HR@10 of targets with training events, LIGER, masked",
    "08_evaluation.systems.LIGER.exposure@10": "exposure@10 of LIGER",
    "08_evaluation.differences.unmasked.SASRec.low": (
        "lower end of the 95% interval of the difference of SASRec, unmasked, from the reference"
    ),
    "08_evaluation.groups.unmasked.tail.differences.SASRec.difference": (
        "difference of SASRec, rare targets, unmasked, by group of users"
    ),
    "08_evaluation.groups.unmasked.tail.scores.SASRec": "score of SASRec, rare targets, unmasked, by group of users",
    "03_codebooks.shared_ids.without image.sharing": "items that share an ID with another of those without image",
    "07_alignment.by_presence.text→image.recall@10/lacking one": "recall@10 of items without one modality, text→image",
    "my.own_score": "own score",
    "lonely": "lonely",
}


@pytest.mark.parametrize(("key", "words"), WORDS.items())
def test_every_part_of_a_key_has_its_words_and_unknown_ones_are_readable(key, words):
    assert metric_words(key) == words


def test_names_are_told_apart_by_notebook_and_else_by_a_number():
    keys = ["00_tour.conflict_rate.text", "03_codebooks.measured.conflict_rate/text", "x.seed", "x.a_b", "x.a b"]
    assert metric_names(keys, ("seed",)) == (
        "conflict rate of text, notebook 00",
        "conflict rate of text, notebook 03",
        "seed, notebook x",
        "a b, notebook x",
        "a b, notebook x (2)",
    )
