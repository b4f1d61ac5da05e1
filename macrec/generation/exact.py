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

    Every prefix is scored once per user. Blocks of neighbouring prefixes, at most `rows` for all users together, are
    followed down to their leaves one after the other, so that memory does not grow with the catalog.
    """
    logits = scorer.first()
    users, device = len(logits), logits.device
    leaves = torch.empty((users, trie.num_leaves), device=device)
    block = max(1, rows // max(1, users))

    def visit(level: int, begin: int, scores: Tensor, logits: Tensor, scorer: BranchingScorer) -> None:
        """Score all leaves below the nodes of depth `level` from `begin` on, whose `scores` `[B, W]` are known."""
        nodes = torch.arange(begin, begin + scores.shape[1], device=device)
        children = trie.children(level, nodes)
        shape = (users, *children.codes.shape)
        log_p = child_log_probabilities(logits, children.codes.expand(shape), children.exists.expand(shape), normalize)
        # The children of neighbours are neighbours, numbered in the order of this mask.
        total = (scores[..., None] + log_p)[:, children.exists]
        begin = int(trie.start[level][begin])
        if level + 1 == trie.levels:
            leaves[:, begin : begin + total.shape[1]] = total
            return
        parents, codes = children.exists.nonzero()[:, 0], children.codes[children.exists]
        pieces = -(-len(codes) // block)
        for part in torch.arange(len(codes), device=device).tensor_split(pieces):
            branch = scorer.fork()
            following = branch.next(level + 1, parents[part].expand(users, -1), codes[part].expand(users, -1))
            visit(level + 1, begin + int(part[0]), total[:, part], following, branch)

    visit(0, 0, torch.zeros((users, 1), device=device), logits, scorer)
    return leaves


def check_affordable(trie: CodeTrie, users: int) -> None:
    """Raises DataError where scoring every item for so many users would take too long (`MOST_STEPS`)."""
    device = trie.first.device.type
    prefixes = sum(len(start) - 1 for start in trie.start)
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
