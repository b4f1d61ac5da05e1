"""Explain the recommendations of a generator for one history: items, scores on every path, and beams."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio import Curio
from macrec.data.dataset import Dataset
from macrec.data.ranking import NOT_RANKED
from macrec.data.split import PADDING, Samples
from macrec.experiments.compare_fusions import asking
from macrec.generation.beam import Trace
from macrec.generation.decoder import PathDecoder
from macrec.generation.tasks import CodeTask
from macrec.quantization.semantic_ids import SemanticIds
from macrec.viz.views.beam_trace import levels_of

Items = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PathScores:
    """The scores of k items on one path: `scores` `[k]`, log p, and `places` `[k]` in its own list of `beams` items.

    A place is 1 for the best and `NOT_RANKED` for an item that the beam did not find. `weight` is the path's share in
    the mix, 0 where it is not used for recommendations.
    """

    task: CodeTask
    weight: float
    scores: NDArray[np.float64]
    places: Items
    beams: int

    @property
    def name(self) -> str:
        """Short: "text→image"."""
        return f"{self.task.source}→{self.task.target}"

    @property
    def pushes(self) -> NDArray[np.float64]:
        """How far the path lifts each item above the mean of all k, `[k]`: its part of their difference in the mix."""
        pushes: NDArray[np.float64] = self.weight * (self.scores - self.scores.mean())
        return pushes


@dataclass(frozen=True, eq=False)
class Answer:
    """The k `items` recommended after `history` `[n]`, best first, and their scores on every path.

    `scores` `[k]`: the mean of the paths' log p by their weights. `true_p` `[k]` and `true_ranks` `[k]`: what the
    rules of the built-in catalog give, the rank among all items; None for any other.
    """

    history: Items
    items: Items
    scores: NDArray[np.float64]
    paths: tuple[PathScores, ...]
    true_p: NDArray[np.float64] | None = None
    true_ranks: Items | None = None


@dataclass(frozen=True)
class Step:
    """An item's prefix at one level of a beam search: its `place` from 1, None when it fell out, among `kept` beams.

    `p` is the probability of the prefix, `step` that of its last `code` after the others; None with the place.
    """

    code: int
    place: int | None
    kept: int
    p: float | None = None
    step: float | None = None


class Explainer:
    """Recommends by one generator and explains its scores; items of the history are never recommended."""

    def __init__(self, data: Dataset, decoder: PathDecoder) -> None:
        self.data, self.decoder, self.tables = data, decoder, decoder.tables
        # The same generator, asked on all its paths from history to item, also those that recommendations do not use.
        between = [number for number, task in enumerate(self.tables.tasks) if task.kind == "sequence"]
        order = [*decoder.paths, *(number for number in between if number not in decoder.paths)]
        self.every = asking(decoder, [self.tables.tasks[number].name for number in order], "union_rescore")

    def answer(self, history: Items, k: int = 10) -> Answer:
        """The k best items after a history `[n]` of one item or more, fewer where the beams found fewer."""
        samples = sample_of(history)
        ranking = self.decoder.recommend(samples, k, mask_seen=True)
        items = ranking.items[0][ranking.items[0] != PADDING]
        weights = np.array(self.decoder.options.weights or (1.0,) * len(self.decoder.paths))
        share = dict(zip(self.decoder.paths, weights / weights.sum(), strict=True))
        scored = self.every.rankings(samples, k, mask_seen=True)  # every candidate of any beam, on every path
        beams = self.every.by_path(samples, self.decoder.options.beams, mask_seen=True)
        paths = tuple(
            PathScores(
                self.tables.tasks[number],
                float(share.get(number, 0.0)),
                of_path.scores[0][places_of(items, of_path.items[0]) - 1],
                places_of(items, beam.items[0]),
                int((beam.items[0] != PADDING).sum()),
            )
            for number, of_path, beam in zip(self.every.paths, scored, beams.values(), strict=True)
        )
        true_p, true_ranks = self.truth(history, items) or (None, None)
        return Answer(history, items, ranking.scores[0][: len(items)], paths, true_p, true_ranks)

    def truth(self, history: Items, items: Items) -> tuple[NDArray[np.float64], Items] | None:
        """The true probability `[k]` of each item to be next and its rank among all; None elsewhere than on curio."""
        if not isinstance(self.data, Curio):
            return None
        p = self.data.oracle.probabilities(history[None].astype(np.int32))[0]
        return p[items], np.array([int((p > p[item]).sum()) + 1 for item in items], np.int64)

    def trace(self, history: Items, task: CodeTask) -> Trace:
        """The beam search of one path."""
        return self.decoder.trace(task.name, sample_of(history), mask_seen=True)[1]

    def way(self, history: Items, task: CodeTask, item: int) -> list[Step]:
        """How the beam search of a path treats the ID of an item, level by level."""
        trie, codes = self.decoder.tries[task.target], self.tables.table(task.target).codes[item].tolist()
        nodes = [int(node) for node in trie.ancestors(trie.leaf[item : item + 1].long())][1:]
        steps = []
        for code, node, level in zip(codes, nodes, levels_of(self.trace(history, task), 0), strict=True):
            place = level.place_of(node)
            if place is None:
                steps.append(Step(code, None, len(level.nodes)))
            else:
                p, step = float(level.p[place]), float(level.step[place])
                steps.append(Step(code, place + 1, len(level.nodes), p, step))
        return steps


def sample_of(history: Items) -> Samples:
    """One sample with this history; its target, the first item, is a placeholder."""
    items = np.append(history, history[:1]).astype(np.int32)
    start, end = np.zeros(1, np.int64), np.array([len(history)], np.int64)
    return Samples(items, np.zeros(1, np.int32), start, end)


def places_of(items: Items, ranked: Items) -> Items:
    """The place of each item `[k]` in one row of a ranking, from 1; `NOT_RANKED` where it is not."""
    hits = items[:, None] == ranked
    return np.where(hits.any(1), hits.argmax(1) + 1, NOT_RANKED)


def shared_codes(ids: SemanticIds, item: int, history: Items) -> tuple[NDArray[np.bool_], Items]:
    """Which codes `[n, L]` the items of a history have in common with an item, and how long a prefix `[n]`."""
    same = ids.codes[history] == ids.codes[item]
    prefix: Items = np.cumprod(same, axis=1).sum(1)
    return same, prefix
