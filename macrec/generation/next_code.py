"""The next code after one prefix, among the codes that can follow it and on its whole level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.data.split import Samples
from macrec.generation.decoder import PathDecoder
from macrec.generation.trie import CodeTrie


@dataclass(frozen=True)
class NextCode:
    """What a generator gives the K codes of a level after the `prefix` of an ID.

    `level` and `children` `[K]`: the probabilities by the softmax over all codes of the level, and over those that can
    follow; `exists` `[K]`: which can; `code`: that of the item asked for; `item` `[K]`: the row of the first item below
    each code, -1 where there is none.
    """

    prefix: tuple[int, ...]
    level: NDArray[np.float64]
    children: NDArray[np.float64]
    exists: NDArray[np.bool_]
    code: int
    item: NDArray[np.int64]

    @property
    def lost(self) -> float:
        """The probability that the softmax over the whole level gives to codes no item has after this prefix."""
        return float(self.level[~self.exists].sum())


@dataclass(frozen=True)
class Branching:
    """How an ID branches, over the steps of all items.

    `forced`: the share of steps with one code to choose from; `nats`: the mean over items of the sum of ln(children),
    the loss of a generator that knows the catalog and nothing else (against `level_nats`, the sum of ln K).
    """

    forced: float
    nats: float
    level_nats: float


@torch.no_grad()
def next_codes(decoder: PathDecoder, sample: Samples) -> list[NextCode]:
    """Level by level of the first path of `decoder`, after the codes of the target of `sample`, a single history.

    Raises ValueError for more than one history.
    """
    if len(sample) != 1:
        raise ValueError(f"give one history, got {len(sample)}")
    path = decoder.paths[0]
    task = decoder.tables.tasks[path]
    trie, ids = decoder.tries[task.target], decoder.tables.table(task.target)
    decoder.model.eval()
    scorer = decoder.model.scorer(decoder.tables, path, sample.newest(decoder.options.max_history), "level")
    target = [int(code) for code in ids.codes[int(sample.targets[0])]]
    nodes = trie.ancestors(trie.leaf[int(sample.targets[0])].long()[None])
    logits, steps = scorer.first(), []
    for depth in range(trie.levels):
        scores = logits[0, 0].double()
        children = trie.children(depth, nodes[depth])
        exists = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
        exists[children.codes[0][children.exists[0]]] = True
        item = torch.full((len(scores),), -1, dtype=torch.int64, device=scores.device)
        first, _ = trie.leaf_range(depth + 1, children.nodes[0][children.exists[0]])
        item[children.codes[0][children.exists[0]]] = trie.items[trie.first[first].long()].long()
        among = torch.softmax(scores.masked_fill(~exists, -torch.inf), 0)
        steps.append(
            NextCode(
                tuple(target[:depth]), torch.softmax(scores, 0).cpu().numpy(), among.cpu().numpy(),
                exists.cpu().numpy(), target[depth], item.cpu().numpy(),
            )
        )  # fmt: skip
        if depth + 1 < trie.levels:
            code = torch.tensor([[target[depth]]], device=scores.device)
            logits = scorer.next(depth + 1, torch.zeros_like(code), code)
    return steps


def branching(trie: CodeTrie) -> Branching:
    """How the IDs of `trie` branch, every item counted once."""
    nodes = trie.ancestors(trie.leaf.long())
    children = torch.stack(
        [trie.start[depth][nodes[depth] + 1] - trie.start[depth][nodes[depth]] for depth in range(trie.levels)]
    ).double()
    nats = float(children.log().sum(0).mean())
    return Branching(float((children == 1).double().mean()), nats, float(np.log(trie.sizes).sum()))
