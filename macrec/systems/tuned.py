"""Systems that count, and whose few settings are chosen on validation users, as learned ones choose their weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrec.data.ranking import Scores, exact_ranks
from macrec.data.split import Samples, Split
from macrec.evaluation.evaluate import PROTOCOLS
from macrec.evaluation.metrics import ndcg
from macrec.evaluation.system import CELLS, ScoringSystem
from macrec.evaluation.validation import validation_users

VALIDATION_USERS = 2000
"""The most users that settings are chosen on, drawn from seed 0; their number bounds the cost on large catalogs."""


@dataclass(frozen=True)
class Settings:
    """What may be chosen about a system that counts."""


S = TypeVar("S", bound=Settings)


class Tuned(ScoringSystem, Generic[S]):
    """A scoring system with settings that are given or chosen by `choose`.

    For each protocol those with the highest NDCG@10 of validation users are chosen: what serves best where seen items
    are masked need not where they are candidates. `scores` without a protocol are those of the unmasked one.
    """

    def __init__(self, settings: S | None) -> None:
        self.given = settings
        self.chosen: dict[bool, S] = {} if settings is None else dict.fromkeys(PROTOCOLS, settings)

    @abstractmethod
    def scores_with(self, samples: Samples, settings: S) -> Scores:
        """The scores `[B, N]` under these settings."""

    def scores(self, samples: Samples) -> Scores:
        """The scores `[B, N]` under the settings of the unmasked protocol."""
        return self.scored(samples, PROTOCOLS[:1])[0]

    def scored(self, samples: Samples, masks: Sequence[bool]) -> list[Scores]:
        """The scores that each of `masks` ranks by; histories are scored once where its settings are the same."""
        if not self.chosen:
            raise RuntimeError(f"{self.name} has learned nothing yet: call fit first")
        found: dict[Any, Scores] = {}
        for settings in (self.chosen[mask_seen] for mask_seen in masks):
            if settings not in found:
                found[settings] = self.scores_with(samples, settings)
        return [found[self.chosen[mask_seen]] for mask_seen in masks]

    def choose(self, split: Split, start: S, grid: Mapping[str, Iterable[Any]], rounds: int = 2) -> None:
        """Choose settings for both protocols by validation users, unless they were given; `start` without users.

        One field after the other of `grid` takes the value that serves best while the others stay, the earliest of
        equals, `rounds` times over or until nothing changes.
        """
        if self.given is not None:
            return
        asked = validation_users(split, VALIDATION_USERS, 0)
        tried: dict[S, tuple[float, ...]] = {}
        for place, mask_seen in enumerate(PROTOCOLS):
            best = start
            for _ in range(rounds if len(asked) else 0):
                before = best
                for name, values in grid.items():
                    options = [replace(best, **{name: value}) for value in values]
                    for settings in options:
                        if settings not in tried:
                            tried[settings] = self._measured(asked, settings)
                    best = max(options, key=lambda settings: tried[settings][place])
                if best == before:
                    break
            self.chosen[mask_seen] = best

    def _measured(self, asked: Samples, settings: S) -> tuple[float, ...]:
        """NDCG@10 of the validation users under each protocol, from one scoring."""
        rows = max(1, CELLS // self.num_items)
        ranks: list[list[NDArray[np.int64]]] = [[] for _ in PROTOCOLS]
        for at in range(0, len(asked), rows):
            part = asked.take(np.arange(at, min(at + rows, len(asked))))
            scores = self.scores_with(part, settings)
            for found, mask_seen in zip(ranks, PROTOCOLS, strict=True):
                found.append(exact_ranks(scores, part.targets, part.padded() if mask_seen else None))
        return tuple(ndcg(np.concatenate(found), 10) for found in ranks)

    @property
    def about(self) -> dict[str, Any]:
        """The settings of each protocol as plain values."""
        return {"masked" if mask_seen else "unmasked": asdict(found) for mask_seen, found in self.chosen.items()}


def history_weights(samples: Samples, num_items: int, decay: float, last: int) -> csr_array:
    """decay^age of the newest `last` items of each history, a sparse `[B, N]`; an item met twice adds up.

    The newest item has age 0.
    """
    length = np.minimum(samples.lengths, last)
    offsets = np.concatenate([[0], np.cumsum(length)])
    age = np.repeat(offsets[1:], length) - np.arange(offsets[-1]) - 1
    place = np.repeat(samples.target, length) - 1 - age
    return csr_array((decay**age, samples.items[place], offsets), shape=(len(samples), num_items))
