"""Asking a generator for items: one beam search per path from modality to modality, then the fusion of the paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.data.ranking import Ranking, top_k
from macrec.data.split import PADDING, Samples
from macrec.errors import DataError
from macrec.generation.backbones import CodeGenerator
from macrec.generation.batches import CodeTables
from macrec.generation.beam import Normalize, Trace, all_seen, beam_search, child_log_probabilities, distinct_leaves
from macrec.generation.exact import BranchingScorer, check_affordable, leaf_scores
from macrec.generation.fusion import Fusion, best, fuse, shares, table, together
from macrec.generation.tasks import CodeTask
from macrec.generation.trie import CodeTrie
from macrec.threads import computing

RESCORING = ("union_rescore", "logmeanexp")
"""Fusions that need the score of every candidate on every path."""

MOST_SCORES = 250_000_000
"""Scores of `exact_scores` that are given at once: 1 GB."""

Searched = tuple[Ranking, Callable[[NDArray[np.int64]], NDArray[np.float64]]]
"""The ranking from a path's beam search, and the function that scores items `[B, C]` on the path: `[B, C]`."""

EXACT_USERS = 64
"""Users whose items are scored together: more are hardly faster, and take memory in proportion."""


@dataclass(frozen=True)
class DecodingOptions:
    """How items are decoded and paths fused.

    `beams`: prefixes kept at every level; `paths`: the tasks to decode, by name, such as "text→text, sequence" (empty:
    those of `usual_paths`); `fusion` and `weights` of the paths; `normalize` as in `beam_search`, where scores of
    "vocabulary" are those of the published code: the mean log p of the L codes and `EOS`; `batch`: users at a time;
    `max_history`: how many of the newest items of a history are read. Raises ValueError for a `max_history` or
    `batch` below 1.
    """

    beams: int = 20
    paths: tuple[str, ...] = ()
    fusion: Fusion = "union_rescore"
    weights: tuple[float, ...] | None = None
    normalize: Normalize = "children"
    batch: int = 128
    max_history: int = 20

    def __post_init__(self) -> None:
        for name in ("max_history", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @classmethod
    def published(cls) -> DecodingOptions:
        """As published (MACRec, sections 6.1 and 6.3 of the specification): 20 beams of each modality, scored as
        `generate` of Hugging Face scores them, items of both modalities first. The model must have learned `EOS`.
        """
        return cls(beams=20, fusion="published", normalize="vocabulary")


class PathDecoder:
    """Recommends by a generator: histories in, rankings out.

    Raises DataError for options that the generator cannot be asked with.
    """

    def __init__(self, model: CodeGenerator, tables: CodeTables, options: DecodingOptions) -> None:
        if options.normalize not in model.normalizations:
            fix = f"choose {' or '.join(model.normalizations)}, or another backbone"
            raise DataError(f'"{options.normalize}" is not known to this generator', field="normalize", fix=fix)
        self.model, self.tables, self.options = model, tables, options
        self.weights = sum(parameter.numel() for parameter in model.parameters())
        targets = dict.fromkeys(task.target for task in tables.tasks)
        self.tries = {name: CodeTrie.of(tables.table(name), tables.device) for name in targets}
        if options.normalize == "vocabulary":
            self.tries = {name: trie.with_eos() for name, trie in self.tries.items()}
        self.paths = [self._number(name) for name in options.paths] or usual_paths(tables.tasks)

    def recommend(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The k best items of every history by all paths together."""
        return self.fused(self.rankings(samples, k, mask_seen), k)

    def rankings(self, samples: Samples, k: int, mask_seen: bool = False) -> list[Ranking]:
        """What `fused` makes one of: a ranking per path, of its own beam or, to be rescored, of all candidates."""
        return rankings_of([self], samples, k, mask_seen)

    def fused(self, rankings: Sequence[Ranking], k: int) -> Ranking:
        """The k best items by all `rankings`, one per path, together."""
        if len(rankings) == 1:
            return best(rankings[0].items, rankings[0].scores, k)
        return fuse(rankings, self.options.fusion, k, self.options.weights)

    def exact(self, samples: Samples, k: int, mask_seen: bool = False) -> Ranking:
        """The same without a beam: every item is scored on every path, then the k best. For small catalogs.

        Equals `recommend` with as many beams as the catalog has items. Raises DataError where it would take too long.
        """
        self.model.eval()
        for path in self.paths:
            check_affordable(self._trie(path), len(samples), self.options.normalize)
        with computing(self.weights):
            return Ranking.stack([self._exact(part, k, mask_seen) for part in parts(samples, EXACT_USERS)])

    def exact_scores(self, samples: Samples, path: str) -> NDArray[np.float32]:
        """The score `[B, N]` of every item on a path, what `scores` gives for all of them, each prefix scored once.

        Raises DataError where that would take too long, or more than `MOST_SCORES`.
        """
        number = self._number(path)
        items = self.tables.tokens.shape[1]
        check_affordable(self._trie(number), len(samples), self.options.normalize)
        if len(samples) * items > MOST_SCORES:
            raise DataError(
                f"{len(samples):,} users and {items:,} items make more than {MOST_SCORES:,} scores",
                fix=f"give at most {MOST_SCORES // items:,} users at a time",
            )
        self.model.eval()
        with computing(self.weights):
            return np.concatenate([self._exact_scores(part, number) for part in parts(samples, EXACT_USERS)])

    def by_path(self, samples: Samples, beams: int, mask_seen: bool = False) -> dict[str, Ranking]:
        """The beam of every path on its own, by the name of its task."""
        self.model.eval()
        with computing(self.weights):
            return {self._task(path).name: self._search(path, samples, beams, mask_seen)[0] for path in self.paths}

    def trace(self, path: str, samples: Samples, mask_seen: bool = False) -> tuple[Ranking, Trace]:
        """The beam search of one path and every step of it."""
        self.model.eval()
        trace = Trace()
        return self._search(self._number(path), samples, self.options.beams, mask_seen, trace)[0], trace

    @torch.no_grad()
    def scores(self, path: int, scorer: BranchingScorer, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """The score `[B, C]` of `items` `[B, C]` on a path, by teacher forcing, as in a beam; -inf for `PADDING`."""
        trie = self._trie(path)
        wanted = torch.from_numpy(items).to(self.tables.device)
        leaves = trie.leaf[torch.where(wanted < 0, wanted[:, :1], wanted).clamp(min=0)].long()
        # Items share prefixes, and each prefix is scored once: `beams` tells which of a user's `nodes` is whose.
        nodes, beams = torch.zeros_like(leaves[:, :1]), torch.zeros_like(leaves)
        logits = scorer.first()
        total = torch.zeros(leaves.shape, device=self.tables.device)
        for level, below in enumerate(trie.ancestors(leaves)[1:]):
            children = trie.children(level, nodes)
            log_p = child_log_probabilities(logits, children.codes, children.exists, self.options.normalize)
            own = below - trie.start[level][nodes.gather(1, beams)]
            total += log_p.flatten(1).gather(1, beams * log_p.shape[-1] + own)
            if level + 1 < trie.levels:
                nodes, places = distinct(below)
                parents = torch.zeros_like(nodes).scatter_(1, places, beams)
                logits = scorer.next(level + 1, parents, trie.code[level][nodes.clamp(min=0)].long())
                beams = places
        score: NDArray[np.float64] = total.masked_fill(wanted < 0, -torch.inf).double().cpu().numpy()
        return score / self._length(path)

    def searched(self, samples: Samples, mask_seen: bool) -> list[Searched]:
        """The beam of every path, and what scores other items on it."""
        self.model.eval()
        results: list[Searched] = []
        for path in self.paths:
            ranking, scorer = self._search(path, samples, self.options.beams, mask_seen)
            results.append(
                (Ranking(ranking.items, ranking.scores.astype(np.float64)), partial(self.scores, path, scorer))
            )  # fmt: skip
        return results

    def _search(
        self, path: int, samples: Samples, beams: int, mask_seen: bool, trace: Trace | None = None
    ) -> tuple[Ranking, BranchingScorer]:
        scorer = self._scorer(path, samples)
        seen = self._seen(samples) if mask_seen else None
        normalize = self.options.normalize
        ranking = beam_search(scorer, self._trie(path), beams, normalize=normalize, seen=seen, trace=trace)
        length = self._length(path)
        return ranking if length == 1 else Ranking(ranking.items, ranking.scores / length), scorer

    def _exact(self, samples: Samples, k: int, mask_seen: bool) -> Ranking:
        scores = [self._exact_scores(samples, path).astype(np.float64) for path in self.paths]
        hidden = [self._hidden(samples, path) if mask_seen else np.zeros(1, bool) for path in self.paths]
        if len(scores) == 1 or self.options.fusion in RESCORING:
            # What one path may recommend is scored on all: scores become one before anything is ranked.
            share = shares(self.options.weights if len(scores) > 1 else None, len(scores))
            all_paths = together(np.stack(scores, 2), self.options.fusion, share)
            ranking = top_k(np.where(np.logical_and.reduce(hidden), -np.inf, all_paths), k)
            return best(ranking.items, ranking.scores, k)
        scores = [np.where(away, -np.inf, of_path) for away, of_path in zip(hidden, scores, strict=True)]
        return self.fused([top_k(of_path, of_path.shape[1]) for of_path in scores], k)

    def _exact_scores(self, samples: Samples, path: int) -> NDArray[np.float32]:
        trie = self._trie(path)
        of_leaves = leaf_scores(self._scorer(path, samples), trie, self.options.normalize)
        scores: NDArray[np.float32] = of_leaves[:, trie.leaf.long()].cpu().numpy()
        return scores / np.float32(self._length(path))

    def _hidden(self, samples: Samples, path: int) -> NDArray[np.bool_]:
        """Which items `[B, N]` a beam search on `path` would hide from users who have seen them."""
        trie = self._trie(path)
        leaves = trie.leaf.long().expand(len(samples), -1)
        hidden: NDArray[np.bool_] = (
            all_seen(trie, trie.levels, leaves, distinct_leaves(trie, self._seen(samples))).cpu().numpy()
        )
        return hidden

    def _scorer(self, path: int, samples: Samples) -> BranchingScorer:
        """The generator on a path, reading the newest `max_history` items of each sample."""
        read = samples.newest(self.options.max_history)
        return self.model.scorer(self.tables, path, read, self.options.normalize)

    def _seen(self, samples: Samples) -> Tensor:
        """All items of the histories, also those too old to be read, `[B, T]`."""
        return torch.from_numpy(samples.padded().astype(np.int64)).to(self.tables.device)

    def _length(self, path: int) -> int:
        """What the sum of log p is divided by: of as many tokens the published scores are the mean."""
        return self._trie(path).levels if self.options.normalize == "vocabulary" else 1

    def _trie(self, path: int) -> CodeTrie:
        return self.tries[self._task(path).target]

    def _task(self, path: int) -> CodeTask:
        return self.tables.tasks[path]

    def _number(self, name: str) -> int:
        names = [task.name for task in self.tables.tasks]
        if name not in names:
            raise ValueError(f'there is no path "{name}", only {", ".join(names)}')
        return names.index(name)


def usual_paths(tasks: Sequence[CodeTask]) -> list[int]:
    """The tasks decoded by default: those that read all modalities at once, else those within one, else all."""
    sequences = [number for number, task in enumerate(tasks) if task.kind == "sequence"]
    joint = [number for number in sequences if len(tasks[number].sources) > 1]
    within = [number for number in sequences if tasks[number].source == tasks[number].target]
    return joint or within or sequences


def rankings_of(decoders: Sequence[PathDecoder], samples: Samples, k: int, mask_seen: bool = False) -> list[Ranking]:
    """A ranking per path of all `decoders`: its own beam or, where the first's fusion needs it, all candidates."""
    options = decoders[0].options
    batches = []
    with computing(decoders[0].weights):
        for part in parts(samples, options.batch):
            searched = [path for decoder in decoders for path in decoder.searched(part, mask_seen)]
            rescored = len(searched) > 1 and options.fusion in RESCORING
            batches.append(completed(searched) if rescored else [ranking for ranking, _ in searched])
    widest = max((ranking.k for of_paths in batches for ranking in of_paths), default=k)
    return [
        Ranking.stack([best(ranking.items, ranking.scores, widest) for ranking in of_path])
        for of_path in zip(*batches, strict=True)
    ]


def completed(searched: Sequence[Searched]) -> list[Ranking]:
    """The candidates of all paths, ranked by every path: those that its own beam search missed are scored on it."""
    items, known = table([ranking for ranking, _ in searched])
    for place, (_, score) in enumerate(searched):
        # Only candidates of the other paths lack a score here: move them to the front and leave the rest out.
        missing = np.isneginf(known[..., place]) & (items != PADDING)
        front = np.argsort(~missing, axis=1, kind="stable")[:, : int(missing.sum(1).max(initial=0))]
        asked = np.where(np.take_along_axis(missing, front, 1), np.take_along_axis(items, front, 1), PADDING)
        if asked.size:
            rows, columns = np.nonzero(asked != PADDING)
            known[rows, front[rows, columns], place] = score(asked)[rows, columns]
    return [best(items, known[..., place], items.shape[1]) for place in range(len(searched))]


def parts(samples: Samples, size: int) -> list[Samples]:
    """`samples` in their order, `size` at a time."""
    return [samples.take(np.arange(at, min(at + size, len(samples)))) for at in range(0, len(samples), size)]


def distinct(values: Tensor) -> tuple[Tensor, Tensor]:
    """The values of each row of `values` `[B, C]`, rising and each once, `[B, W]` with -1 behind them; and the column
    `[B, C]` of each value among them.
    """
    ordered, order = values.sort(1)
    new = torch.ones_like(ordered)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    column = new.cumsum(1) - 1
    unique = values.new_full((len(values), int(column.max()) + 1), -1).scatter_(1, column, ordered)
    return unique, torch.empty_like(order).scatter_(1, order, column)
