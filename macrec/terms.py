"""Names: of losses and measurements, TERM, TERM/MODALITY or TERM/MODALITY/LEVEL; of the codebooks of a modality."""

from __future__ import annotations

import re
from typing import NamedTuple


class Term(NamedTuple):
    """The parts of a name such as "contrastive/text/title/2"; a part that it lacks is ""."""

    family: str
    modality: str
    level: str

    @classmethod
    def of(cls, name: str) -> Term:
        """The parts of `name`; a last part of digits is the level, and modalities may have a slash.

        >>> Term.of("contrastive/text/title/2"), Term.of("loss").modality
        (Term(family='contrastive', modality='text/title', level='2'), '')
        """
        family, _, rest = name.partition("/")
        modality, slash, level = rest.rpartition("/")
        return cls(family, modality, level) if slash and level.isdecimal() else cls(family, rest, "")


def codebook_prefix(modality: str) -> str:
    """What the names of a modality's codebooks begin with: its letters and digits, single underscores between.

    >>> codebook_prefix("text/title"), codebook_prefix("text")
    ('text_title', 'text')
    """
    return re.sub("[^A-Za-z0-9]+", "_", modality).strip("_")
