"""Score every item: one pass over all prefixes of a small catalog, which also shows what a beam search misses."""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from macrec.data.ranking import Ranking
from macrec.data.split import PADDING
from macrec.errors import DataError
from macrec.generation.beam import Normalize, Scorer, child_log_probabilities
from macrec.generation.trie import CodeTrie

MOST_STEPS = {"cpu": 10**8, "cuda": 10**10}
"""Prefixes to score, of all users together, beyond which it is refused: some hours of a model of the paper's size."""

ROWS = 4096
"""Prefixes, of all users of a batch together, that are scored at once: about half a gigabyte at the paper's size."""


class BranchingScorer(Scorer, Protocol):
    """A `Scorer` that can go on from one step in several ways."""

    def fork(self) -> Self:
        """A copy of the scorer at the same step, independent of it."""


@torch.no_grad()
def leaf_scores(scorer: BranchingScorer, trie: CodeTrie, normalize: Normalize, rows: int = ROWS) -> Tensor:
    """Σ log p(code | codes before) `[B, leaves]` of every ID of the trie, exactly: what `beam_search` approximates.

    Every prefix is scored once per user, unless what follows it is certain (`is_certain`). Blocks of neighbouring
    prefixes, at most `rows` for all users together, are followed down to their leaves one after the other, so that
    memory does not grow with the catalog.
    """
    logits = scorer.first()
    users, device = len(logits), logits.device
    leaves = torch.empty((users, trie.num_leaves), device=device)
    block = max(1, rows // max(1, users))

    def visit(level: int, nodes: Tensor, scores: Tensor, logits: Tensor, scorer: BranchingScorer) -> None:
        """Score all leaves below `nodes` `[W]` of depth `level`, whose `scores` `[B, W]` are known."""
        children = trie.children(level, nodes)
        shape = (users, *children.codes.shape)
        log_p = child_log_probabilities(logits, children.codes.expand(shape), children.exists.expand(shape), normalize)
        total = (scores[..., None] + log_p)[:, children.exists]
        parents = children.exists.nonzero()[:, 0]
        nodes, codes = children.nodes[children.exists], children.codes[children.exists]
        certain = is_certain(trie, level + 1, nodes, normalize)
        leaves[:, trie.leaf_range(level + 1, nodes[certain])[0]] = total[:, certain]
        # At most so many prefixes at a time, in about equal parts.
        asked = (~certain).nonzero()[:, 0]
        for part in asked.tensor_split(-(-len(asked) // block)) if len(asked) else ():
            branch = scorer.fork()
            following = branch.next(level + 1, parents[part][None], codes[part][None])
            visit(level + 1, nodes[part], total[:, part], following, branch)

    visit(0, torch.zeros(1, dtype=torch.int64, device=device), torch.zeros((users, 1), device=device), logits, scorer)
    return leaves


def is_certain(trie: CodeTrie, depth: int, nodes: Tensor, normalize: Normalize) -> Tensor:
    """Whether every code after each of `nodes` `[W]` of `depth` has probability 1, so that no scorer need be asked.

    So it is after a whole ID, and among "children" also where one ID only is below.
    """
    if depth == trie.levels:
        return torch.ones_like(nodes, dtype=torch.bool)
    first, end = trie.leaf_range(depth, nodes)
    return (end - first == 1) & (normalize == "children")


def asked_prefixes(trie: CodeTrie, normalize: Normalize) -> int:
    """How many prefixes `leaf_scores` asks a scorer about, for each user."""
    asked = 1  # the empty one, whatever follows
    for depth in range(1, trie.levels):
        nodes = torch.arange(len(trie.code[depth - 1]), device=trie.first.device)
        asked += int((~is_certain(trie, depth, nodes, normalize)).sum())
    return asked


def check_affordable(trie: CodeTrie, users: int, normalize: Normalize) -> None:
    """Raises DataError where scoring every item for so many users would take too long (`MOST_STEPS`)."""
    device = trie.first.device.type
    prefixes = asked_prefixes(trie, normalize)
    most = MOST_STEPS.get(device, MOST_STEPS["cuda"])
    if prefixes * users > most:
        raise DataError(
            f"scoring every item takes {prefixes:,} decoder steps for each of {users:,} users, and {most:,} in all are "
            f"the most on this device ({device})",
            fix=f"give at most {most // prefixes:,} users at a time, or search with many beams",
        )


def beam_error(approximate: Ranking, exact: Ranking) -> float:
    """Share of users for whom `approximate` lacks one or more of the items of `exact` (0 to 1); order does not count.

    With `exact` cut to the k best it is the share of users whose top k the beam gets wrong.
    """
    if len(approximate) != len(exact):
        raise ValueError(f"the rankings must be of the same users, got {len(approximate)} and {len(exact)}")
    lacking = (exact.items[:, :, None] != approximate.items[:, None, :]).all(2) & (exact.items != PADDING)
    return float(np.mean(lacking.any(1)))
