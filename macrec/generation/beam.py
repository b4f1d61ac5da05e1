"""Constrained beam search: only IDs that exist, scored by the model level by level."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from macrec.data.ranking import Ranking
from macrec.generation.trie import CodeTrie

Normalize = Literal["children", "level", "vocabulary"]
"""What the probability of a code is a share of: the codes that exist there, its codebook, or all tokens of the model.

For "vocabulary" a scorer gives log-probabilities, not logits: only it has the other tokens.
"""


class Scorer(Protocol):
    """A model that scores the codes of the next level for every beam of B users; see `Normalize` for what it gives."""

    def first(self) -> Tensor:
        """Logits `[B, 1, K_0]` of the codes of level 0."""

    def next(self, level: int, parents: Tensor, codes: Tensor) -> Tensor:
        """Logits `[B, W, K_level]`, after beam w has become beam `parents[:, w]` followed by `codes[:, w]`.

        `parents` and `codes` are `[B, W]`, or `[1, W]` where they are the same for all users.
        """


@dataclass(frozen=True)
class BeamStep:
    """One level of a search: what was kept, `[B, W]` each, best first.

    `parents`: the beam of the level before it came from; `codes`; `nodes` of the trie, -1 for a beam that does not
    exist; `scores`: log-probability so far. `allowed` `[B, W before]`: children that each beam had.
    """

    parents: Tensor
    codes: Tensor
    nodes: Tensor
    scores: Tensor
    allowed: Tensor


@dataclass
class Trace:
    """Collects the steps of a search for looking at them."""

    steps: list[BeamStep] = field(default_factory=list)


@torch.no_grad()
def beam_search(
    scorer: Scorer,
    trie: CodeTrie,
    beams: int,
    k: int | None = None,
    *,
    normalize: Normalize = "children",
    seen: Tensor | None = None,
    trace: Trace | None = None,
) -> Ranking:
    """The `k` best items (default: `beams`) of every user by Σ log p(code | codes before), keeping `beams` prefixes.

    `normalize` "children": probabilities are taken over the codes that exist after the prefix, so that those of all
    items sum to 1; "level": over all codewords of the level; "vocabulary": over all tokens, as the plain softmax of the
    model says. `seen` `[B, T]`: item rows never to return, nor others with their ID; -1 for none. They still take part
    in the probabilities, but a prefix that leads to nothing else holds no beam, so that `beams` IDs are found wherever
    there are as many. Exact, equal to scoring every item, when `beams` is at least the number of prefixes at every
    depth. Raises ValueError for fewer than 1 beam.
    """
    if beams < 1:
        raise ValueError(f"beams must be 1 or more, got {beams}")
    logits = scorer.first()
    users, device = len(logits), logits.device
    nodes = torch.zeros((users, 1), dtype=torch.int64, device=device)
    scores = torch.zeros((users, 1), device=device)
    seen_leaves = None if seen is None else distinct_leaves(trie, seen)
    for level in range(trie.levels):
        children = trie.children(level, nodes)
        log_p = child_log_probabilities(logits, children.codes, children.exists, normalize)
        total = scores[..., None] + log_p
        if seen_leaves is not None:
            total = total.masked_fill(all_seen(trie, level + 1, children.nodes, seen_leaves), -torch.inf)
        flat = total.flatten(1)
        scores, best = flat.topk(min(beams, flat.shape[1]), dim=1)
        parents = best // children.codes.shape[-1]
        codes = children.codes.flatten(1).gather(1, best)
        nodes = torch.where(scores > -torch.inf, children.nodes.flatten(1).gather(1, best), -1)
        if trace is not None:
            trace.steps.append(BeamStep(parents, codes, nodes, scores, children.exists.sum(-1)))
        if level + 1 < trie.levels:
            logits = scorer.next(level + 1, parents, codes)
    items, item_scores = trie.expand(nodes, scores, k or beams)
    return Ranking(items.cpu().numpy(), item_scores.cpu().numpy())


def child_log_probabilities(logits: Tensor, codes: Tensor, exists: Tensor, normalize: Normalize) -> Tensor:
    """log p `[B, W, C]` of the children's `codes` under `logits` `[B, W, K]`; -inf where there is no child."""
    logits = logits.float()
    chosen = logits.gather(-1, codes).masked_fill(~exists, -torch.inf)
    if normalize == "vocabulary":
        return chosen
    over = chosen if normalize == "children" else logits
    return torch.where(exists, chosen - over.logsumexp(-1, keepdim=True), -torch.inf)


def distinct_leaves(trie: CodeTrie, items: Tensor) -> Tensor:
    """The leaves `[B, T]` of item rows `[B, T]`, sorted, each once; what is left over lies outside of the trie."""
    leaves = torch.where(items >= 0, trie.leaf[items.clamp(min=0)].long(), -1).sort(1).values
    again = torch.zeros_like(leaves, dtype=torch.bool)
    again[:, 1:] = leaves[:, 1:] == leaves[:, :-1]
    return leaves.masked_fill(again, trie.num_leaves).sort(1).values


def all_seen(trie: CodeTrie, depth: int, nodes: Tensor, seen: Tensor) -> Tensor:
    """Whether all leaves below each of `nodes` `[B, ...]` of `depth` are among the user's `distinct_leaves` `seen`."""
    begin, end = trie.leaf_range(depth, nodes)
    before, until = (torch.searchsorted(seen, bound.flatten(1).contiguous()).view_as(bound) for bound in (begin, end))
    return until - before == end - begin
