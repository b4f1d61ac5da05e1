"""A term of a loss by what it is: its kind, and the modality and level that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

Kind = Literal["reconstruction", "quantization", "contrastive", "alignment"]


@dataclass(frozen=True)
class LossTerm:
    """`modality` is empty for a term of all modalities, `level` None for a term of all levels."""

    kind: Kind
    modality: str = ""
    level: int | None = None

    @property
    def across(self) -> bool:
        """Whether it lets modalities learn from each other."""
        return self.kind in ("contrastive", "alignment")

    def __str__(self) -> str:
        """The name it has in events: "contrastive/text" or "contrastive/text/2"."""
        level = "" if self.level is None else str(self.level)
        return "/".join(part for part in (self.kind, self.modality, level) if part)


def summed_over_levels(terms: Mapping[LossTerm, Tensor]) -> dict[str, Tensor]:
    """Terms added up over their levels, by the names of the sums."""
    sums: dict[str, Tensor] = {}
    for term, value in terms.items():
        name = str(replace(term, level=None))
        sums[name] = sums[name] + value if name in sums else value
    return sums


def mean_over_levels(weights: Mapping[LossTerm, float]) -> dict[str, float]:
    """The weights of such sums: of a term with levels the mean of those that are not 0."""
    per_name: dict[str, list[float]] = {}
    for term, weight in weights.items():
        per_name.setdefault(str(replace(term, level=None)), []).append(weight)
    counted = {name: [weight for weight in listed if weight] for name, listed in per_name.items()}
    return {name: sum(listed) / max(len(listed), 1) for name, listed in counted.items()}
