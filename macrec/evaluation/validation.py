"""Validation during training: a few users whose validation target is to be ranked high."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from macrec.data.ranking import Ranking
from macrec.data.split import Samples, Split
from macrec.errors import DataError
from macrec.evaluation.metrics import ranking_metrics

PURPOSE = 7
"""Separates this use of a seed from all others."""


def validation_users(split: Split, users: int, seed: int) -> Samples:
    """At most `users` validation samples, drawn from the seed: the same at every measurement."""
    chosen = np.random.default_rng([seed, PURPOSE]).permutation(len(split.valid))[:users]
    return split.valid.take(np.sort(chosen))


def split_for(asked: str, split: Split) -> Split:
    """`split` for a comparison whose users are the "test" users, or the "validation" users in their place.

    Settings are chosen on the latter, so no test target influences them; the training is the same. Raises DataError
    for other users.
    """
    if asked not in ("test", "validation"):
        raise DataError(f'there are no "{asked}" users', field="asked", fix="choose test or validation")
    return split if asked == "test" else split._replace(test=split.valid)


def validation_metrics(recommend: Callable[[Samples, int], Ranking], samples: Samples) -> dict[str, float]:
    """HR@10 and NDCG@10 of what `recommend` gives for `samples`, named as measurements of a training are."""
    ranks = recommend(samples, 10).rank_of(samples.targets)
    return {f"{name}/validation": value for name, value in ranking_metrics(ranks, (10,)).items()}
