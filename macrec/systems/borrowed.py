"""New items for systems that know items by number: each borrows the scores of the old item with the nearest code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from macrec.data.dataset import Dataset
from macrec.data.ranking import Ranking
from macrec.data.split import PADDING, Samples, Split
from macrec.encoders.embeddings import Embeddings
from macrec.evaluation.system import System
from macrec.quantization.semantic_ids import SemanticIds
from macrec.systems.generative import Generative
from macrec.systems.late_fusion import LateFusion
from macrec.training import Event


class Borrowing:
    """A trained `system` over N items that also ranks M further ones, behind those that it knows.

    New item m has the score of item `nearest[m]`, whatever that is: of a SASRec, a count, a place in a graph. It stands
    directly behind it, those that borrow of one item in their order. The old items keep their order among themselves.
    """

    def __init__(self, system: System, nearest: NDArray[np.integer], known: int) -> None:
        self.system, self.known, self.name = system, known, system.name
        order = np.argsort(nearest, kind="stable")
        lent = np.bincount(nearest, minlength=known)
        place = np.arange(len(order)) - (np.cumsum(lent) - lent)[nearest[order]]
        self.behind = np.full((known, 1 + int(lent.max(initial=0))), PADDING, np.int64)
        """`[N, 1 + W]`: every old item, then the new ones that borrow of it."""
        self.behind[:, 0] = np.arange(known)
        self.behind[nearest[order], 1 + place] = known + order

    def fit(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Nothing is left to learn."""
        return iter(())

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items for each history; with `mask_seen` none of it, though what borrows of one of these stays."""
        seen = samples.padded().astype(np.int64)
        ranking = self.system.recommend(samples, min(self.known, k + mask_seen * seen.shape[1]))
        filled = ranking.items != PADDING
        items = np.where(filled[..., None], self.behind[np.where(filled, ranking.items, 0)], PADDING)
        items = items.reshape(len(items), -1)
        if mask_seen:
            items[(items[:, :, None] == seen[:, None, :]).any(2)] = PADDING
        scores = np.repeat(ranking.scores, self.behind.shape[1], axis=1)
        front = np.argsort(items == PADDING, axis=1, kind="stable")[:, :k]
        items, scores = np.take_along_axis(items, front, 1), np.take_along_axis(scores, front, 1)
        return Ranking(items, np.where(items == PADDING, -np.inf, scores))


def with_new_items(
    system: System,
    ids: Mapping[str, SemanticIds],
    further: Mapping[str, Embeddings],
    nearest: NDArray[np.integer],
    known: int,
) -> System:
    """Any trained system over `known` items, with M new ones behind them.

    A generator writes their `ids`, and reads and ranks their `further` vectors where it does so with those of the old
    (`Generative.with_items`); any other system scores each like the old item that is `nearest` to it by code, `[M]`.
    """
    match system:
        case Generative():
            return system.with_items(ids, further)
        case LateFusion():
            fused = LateFusion([part.with_items(ids, further) for part in system.parts], system.name)
            fused.options = system.options
            return fused
    return Borrowing(system, nearest, known)
