"""How near the two IDs of an item are to a generator, moment by moment of its training, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.encoders import Embeddings
from macrec.evaluation.alignment import alignment_measures, retrieved

Course = dict[str, dict[str, float]]
KINDS = ("with both", "lacking one")
"""Items that have both modalities, and items that lack one of them."""


def alignment_course(moments: Mapping[str, Mapping[str, NDArray[np.float32]]]) -> Course:
    """Moment → the `alignment_measures` of its states (`Generative.states`), of the first two modalities."""
    course = {}
    for moment, states in moments.items():
        (one, first), (other, second) = list(states.items())[:2]
        course[moment] = alignment_measures(first, second, (one, other))
    return course


def course_table(courses: Mapping[str, Course]) -> pl.DataFrame:
    """One row per system: the measures of its last moment."""
    last = {name: list(course.values())[-1] for name, course in courses.items()}
    return pl.DataFrame([{"system": name, **measures} for name, measures in last.items()])


def retrieval_by_presence(
    moments: Mapping[str, Mapping[str, NDArray[np.float32]]], embeddings: Mapping[str, Embeddings]
) -> Course:
    """Direction ("text→image" and back) → the recall@10 of the last moment, counted apart by what items have.

    "recall@10/with both" of the first two modalities and "recall@10/lacking one", with the number of items of each,
    "items/with both" and "items/lacking one"; every search is among all items. Where there are none of a kind, nothing
    is said of it.
    """
    (one, first), (other, second) = list(list(moments.values())[-1].items())[:2]
    both = embeddings[one].present & embeddings[other].present
    hits = {f"{one}→{other}": retrieved(first, second), f"{other}→{one}": retrieved(second, first)}
    kinds = {kind: mask for kind, mask in zip(KINDS, (both, ~both), strict=True) if mask.any()}
    return {
        direction: {f"recall@10/{kind}": float(hit[mask].mean()) for kind, mask in kinds.items()}
        | {f"items/{kind}": float(mask.sum()) for kind, mask in kinds.items()}
        for direction, hit in hits.items()
    }


def presence_in_words(course: Course) -> str:
    """The sentence of `retrieval_by_presence`."""
    parts = []
    for direction, measures in course.items():
        counts = {kind: measures[f"items/{kind}"] for kind in KINDS if f"items/{kind}" in measures}
        shares = [f"{measures[f'recall@10/{kind}']:.1%} of {count:,.0f} {kind}" for kind, count in counts.items()]
        parts.append(f"{direction} {' and '.join(shares)}")
        chance = min(1, 10 / sum(counts.values()))
    return f"Items found among the 10 nearest, after training: {'; '.join(parts)}; by chance {chance:.1%}."
