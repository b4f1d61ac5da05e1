"""When the training of RQ-DINO is broken off: its codes have collapsed, and no longer tell pictures apart."""

from __future__ import annotations

import math
from collections.abc import Mapping

from macrec.errors import DataError
from macrec.terms import Term

LEAST_SHARE = 1 / 8
"""Of the codewords that a level could use: a lower perplexity is a collapse."""
LEAST_PERPLEXITY = 1.5
"""Of a level, however few its codewords are."""
LEAST_ENTROPY = 1.0
"""In nats, of the mean of what the teacher says, or a fifth of the most there can be: less is a collapse."""

FIX = "lower learning_rate, raise batch or teacher_temperature, or choose another encoder for pictures"


def check_codes(measured: Mapping[str, float], prototypes: int, sizes: tuple[int, ...], pictures: int) -> None:
    """Raise DataError where what was `measured` says that the codes of so many pictures have collapsed.

    That is where the entropy `teacher_entropy` is below `LEAST_ENTROPY`, or a fifth of log(prototypes) where that is
    less; or where the perplexity of a level is below `LEAST_PERPLEXITY`, or below `LEAST_SHARE` of its codewords, or of
    the pictures where these are fewer. Recommendations are not asked: what stops a training has seen nobody's events.
    """
    least = min(LEAST_ENTROPY, math.log(prototypes) / 5)
    if (entropy := measured["teacher_entropy"]) < least:
        raise collapsed(f"the entropy of the teacher is {entropy:.2f} nats, below {least:.2f}")
    for name, value in measured.items():
        family, _, level = Term.of(name)
        if family == "perplexity":
            least = max(LEAST_PERPLEXITY, LEAST_SHARE * min(sizes[int(level)], pictures))
            if value < least:
                raise collapsed(f"the perplexity of level {level} is {value:.1f}, below {least:.1f}")


def collapsed(what: str) -> DataError:
    """The error for codes that say next to nothing of a picture."""
    return DataError(f"the codes of RQ-DINO have collapsed ({what})", field="image_encoder", fix=FIX)
