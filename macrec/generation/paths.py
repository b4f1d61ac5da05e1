"""Asking a generator for items: one beam search per path from modality to modality, then the fusion of the paths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.alignment.tasks import CodeTask
from macrec.data.ranking import Ranking
from macrec.data.split import Samples
from macrec.generation.batches import CodeTables
from macrec.generation.beam import Normalize, Trace, beam_search
from macrec.generation.fusion import Fusion, best, candidates, fuse
from macrec.generation.transformer import T5, Decoding
from macrec.generation.trie import CodeTrie


@dataclass(frozen=True)
class DecodingOptions:
    """How items are decoded and paths fused.

    `width`: beams; `paths`: which tasks are asked, by their name, such as "text→text, sequence" (empty: those within
    one modality); `fusion` and `weights` of the paths; `normalize` as in `beam_search`; `batch`: users at a time.
    """

    width: int = 20
    paths: tuple[str, ...] = ()
    fusion: Fusion = "union_rescore"
    weights: tuple[float, ...] | None = None
    normalize: Normalize = "children"
    batch: int = 64


class PathScorer:
    """The generator on one path for B histories, as a `Scorer` of beam search: codes in, logits of codes out."""

    def __init__(self, model: T5, tables: CodeTables, task: int, samples: Samples) -> None:
        device = tables.device
        self.ranges = tables.vocabulary.ranges(tables.ids[tables.tasks[task].target])
        which = torch.full((len(samples),), task, device=device)
        items = torch.from_numpy(samples.items).to(device)
        start, length = (torch.from_numpy(values).to(device) for values in (samples.start, samples.lengths))
        source, self.mask = tables.sources(which, items, start, length)
        with torch.no_grad():
            self.memory = model.encode(source, self.mask)
        self.decoding = Decoding(model)

    def first(self) -> Tensor:
        """Logits `[B, 1, K_0]` of the codes of level 0."""
        return self.decoding.start(self.memory, self.mask, self.ranges[0])

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """Logits `[B, W, K_level]`; see `macrec.generation.beam.Scorer`."""
        return self.decoding.advance(parents, codes + self.ranges[level - 1].start, self.ranges[level])


class PathDecoder:
    """Recommends by a generator: histories in, rankings out."""

    def __init__(self, model: T5, tables: CodeTables, options: DecodingOptions) -> None:
        self.model, self.tables, self.options = model, tables, options
        self.tries = {name: CodeTrie.of(ids, tables.device) for name, ids in tables.ids.items()}
        self.paths = [self._number(name) for name in options.paths] or [
            number for number, task in enumerate(tables.tasks) if task.kind == "sequence" and task.source == task.target
        ]

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history by all paths together."""
        self.model.eval()
        size = self.options.batch
        parts = [samples.take(np.arange(at, min(at + size, len(samples)))) for at in range(0, len(samples), size)]
        return Ranking.stack([self._recommend(part, k, mask_seen) for part in parts])

    def by_path(self, samples: Samples, width: int, mask_seen: bool = False) -> dict[str, Ranking]:
        """The beam of every path on its own, by the name of its task."""
        self.model.eval()
        return {self._task(path).name: self._search(path, samples, width, mask_seen)[0] for path in self.paths}

    def trace(self, path: str, samples: Samples) -> tuple[Ranking, Trace]:
        """The beam search of one path and every step of it."""
        self.model.eval()
        trace = Trace()
        return self._search(self._number(path), samples, self.options.width, False, trace)[0], trace

    @torch.no_grad()
    def scores(self, path: int, scorer: PathScorer, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """log p `[B, C]` of `items` `[B, C]` on a path, by teacher forcing; -inf for `PADDING`."""
        trie = self.tries[self._task(path).target]
        wanted = torch.from_numpy(items).to(self.tables.device)
        leaves = trie.leaf[wanted.clamp(min=0)].long()
        nodes = trie.ancestors(leaves)
        logits = scorer.first().expand(-1, items.shape[1], -1)
        parents = torch.zeros_like(leaves)
        total = torch.zeros(leaves.shape, device=self.tables.device)
        for level in range(trie.levels):
            codes = trie.code[level][nodes[level + 1]].long()
            if self.options.normalize == "children":
                children = trie.children(level, nodes[level])
                over = logits.float().gather(-1, children.codes).masked_fill(~children.exists, -torch.inf)
            else:
                over = logits.float()
            total += logits.float().gather(-1, codes[..., None])[..., 0] - over.logsumexp(-1)
            if level + 1 < trie.levels:
                logits = scorer.next(level + 1, parents, codes)
                parents = torch.arange(items.shape[1], device=self.tables.device).expand_as(leaves)
        found: NDArray[np.float64] = total.masked_fill(wanted < 0, -torch.inf).double().cpu().numpy()
        return found

    def _recommend(self, samples: Samples, k: int, mask_seen: bool) -> Ranking:
        width = max(self.options.width, k)
        found = [self._search(path, samples, width, mask_seen) for path in self.paths]
        rankings = [ranking for ranking, _ in found]
        if len(rankings) == 1:
            return best(rankings[0].items, rankings[0].scores.astype(np.float64), k)
        if self.options.fusion in ("union_rescore", "logmeanexp"):
            items = candidates(rankings)
            rankings = [
                best(items, self.scores(path, scorer, items), items.shape[1])
                for path, (_, scorer) in zip(self.paths, found, strict=True)
            ]
        return fuse(rankings, self.options.fusion, k, self.options.weights)

    def _search(
        self, path: int, samples: Samples, width: int, mask_seen: bool, trace: Trace | None = None
    ) -> tuple[Ranking, PathScorer]:
        scorer = PathScorer(self.model, self.tables, path, samples)
        seen = None
        if mask_seen:
            seen = torch.from_numpy(samples.padded().astype(np.int64)).to(self.tables.device)
        trie = self.tries[self._task(path).target]
        ranking = beam_search(scorer, trie, width, normalize=self.options.normalize, seen=seen, trace=trace)
        return ranking, scorer

    def _task(self, path: int) -> CodeTask:
        return self.tables.tasks[path]

    def _number(self, name: str) -> int:
        names = [task.name for task in self.tables.tasks]
        if name not in names:
            raise ValueError(f'there is no path "{name}", only {", ".join(names)}')
        return names.index(name)
