"""Systems that count, and whose few settings are chosen on validation users, as learned ones choose their weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split
from macrec.evaluation.evaluate import PROTOCOLS
from macrec.evaluation.metrics import ndcg
from macrec.evaluation.system import ScoringSystem
from macrec.evaluation.validation import validation_users
from macrec.systems.sparse_scores import SparseScores

VALIDATION_USERS = 3000
"""The most users that settings are chosen on, drawn from seed 0; their number bounds the cost on large data."""
ROUNDS = 2
"""How often the fields of a grid are gone through."""
USERS_AT_ONCE = 1000
"""Users whose sparse scores are held at a time."""


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
    def scores_with(self, samples: Samples, settings: S) -> SparseScores:
        """The scores `[B, N]` under these settings."""

    def scores(self, samples: Samples) -> Scores:
        """The scores `[B, N]` under the settings of the unmasked protocol."""
        return self.scored(samples, PROTOCOLS[:1])[0]

    def scored(self, samples: Samples, masks: Sequence[bool]) -> list[Scores]:
        """The scores that each of `masks` ranks by; histories are scored once where its settings are the same."""
        if not self.chosen:
            raise RuntimeError(f"{self.name} is not trained yet: call fit first")
        scores: dict[Any, Scores] = {}
        for settings in (self.chosen[mask_seen] for mask_seen in masks):
            if settings not in scores:
                scores[settings] = self.scores_with(samples, settings).dense()
        return [scores[self.chosen[mask_seen]] for mask_seen in masks]

    def choose(self, split: Split, start: S, *grids: Mapping[str, Iterable[Any]]) -> None:
        """Choose settings for both protocols by validation users, unless they were given; `start` without users.

        In each of `grids`, one after the other, every field takes the value that serves best while the others stay,
        the earliest of equals, `ROUNDS` times over; nothing is measured twice. What is costly to try goes into the
        last.
        """
        if self.given is not None:
            return
        asked = validation_users(split, VALIDATION_USERS, 0)
        tried: dict[S, tuple[float, ...]] = {}
        for place, mask_seen in enumerate(PROTOCOLS):
            best = start
            for grid in [grid for grid in grids for _ in range(ROUNDS)] if len(asked) else ():
                for name, values in grid.items():
                    options = [replace(best, **{name: value}) for value in values]
                    for settings in options:
                        if settings not in tried:
                            tried[settings] = self._measured(asked, settings)
                    best = max(options, key=lambda settings: tried[settings][place])
            self.chosen[mask_seen] = best

    def _measured(self, asked: Samples, settings: S) -> tuple[float, ...]:
        """NDCG@10 of the validation users under each protocol, from one scoring."""
        ranks = self.exact_ranks(asked, dict.fromkeys(PROTOCOLS, settings))
        return tuple(ndcg(ranks[mask_seen], 10) for mask_seen in PROTOCOLS)

    def exact_ranks(self, samples: Samples, chosen: Mapping[bool, S] | None = None) -> dict[bool, NDArray[np.int64]]:
        """Protocol → the ranks of the targets among all items, `[B]`, under the settings `chosen` for it.

        Default: those that were given or chosen by validation. Faster than `scores`: no matrix is made dense.
        """
        chosen = self.chosen if chosen is None else chosen
        by_mask: dict[bool, list[NDArray[np.int64]]] = {mask_seen: [] for mask_seen in chosen}
        for at in range(0, len(samples), USERS_AT_ONCE):
            part = samples.take(np.arange(at, min(at + USERS_AT_ONCE, len(samples))))
            scores = {settings: self.scores_with(part, settings) for settings in set(chosen.values())}
            for mask_seen, settings in chosen.items():
                by_mask[mask_seen].append(scores[settings].ranks(part.targets, part.padded() if mask_seen else None))
        return {mask_seen: np.concatenate(ranks or [np.zeros(0, np.int64)]) for mask_seen, ranks in by_mask.items()}

    @property
    def about(self) -> dict[str, Any]:
        """The settings of each protocol as plain values."""
        return {"masked" if mask_seen else "unmasked": asdict(settings) for mask_seen, settings in self.chosen.items()}


def history_weights(samples: Samples, num_items: int, decay: float, last: int) -> csr_array:
    """decay^age of the newest `last` items of each history, a sparse `[B, N]`; an item that occurs twice adds up.

    The newest item has age 0.
    """
    length = np.minimum(samples.lengths, last)
    offsets = np.concatenate([[0], np.cumsum(length)])
    age = np.repeat(offsets[1:], length) - np.arange(offsets[-1]) - 1
    place = np.repeat(samples.target, length) - 1 - age
    return csr_array((decay**age, samples.items[place], offsets), shape=(len(samples), num_items))
