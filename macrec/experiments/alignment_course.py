"""How near the two IDs of an item are to a generator, moment by moment of its training, in numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.evaluation.alignment import alignment_measures

Course = dict[str, dict[str, float]]


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
