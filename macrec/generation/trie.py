"""The code trie: which codes may follow a prefix so that an item comes out. Tensors only, on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from macrec.quantization.semantic_ids import SemanticIds


class Children(NamedTuple):
    """The children of some nodes, padded: `nodes` and `codes` `[..., C]` int64, `exists` `[..., C]` bool."""

    nodes: Tensor
    codes: Tensor
    exists: Tensor


@dataclass(frozen=True)
class CodeTrie:
    """All prefixes of a table of semantic IDs, one numbering of nodes per depth, in lexical order.

    Depth 0 is the root, depth L the leaves. `start[l]` `[nodes of depth l + 1]`: the children of node p of depth l are
    the nodes `start[l][p]` to `start[l][p + 1] - 1` of depth l + 1; `code[l]` `[nodes of depth l + 1]` is the code
    that leads to each. `items` `[N]` are the item rows in the order of the leaves and `first` `[leaves + 1]` where
    those of each leaf begin; `leaf` `[N]` is the leaf of every item. int32 throughout: 10,000,000 items at four levels
    take about 0.2 GB.
    """

    start: tuple[Tensor, ...]
    code: tuple[Tensor, ...]
    items: Tensor
    first: Tensor
    leaf: Tensor
    sizes: tuple[int, ...]

    @classmethod
    def of(
        cls, ids: SemanticIds, device: torch.device | str = "cpu", seen: NDArray[np.bool_] | None = None
    ) -> CodeTrie:
        """The trie of all IDs in a table, or of those of the items `seen` `[N]`; the others then have the leaf -1.

        Items that share an ID share a leaf.
        """
        order = lexical_order(ids)
        if seen is not None:
            order = order[seen[order]]
        ordered = ids.codes[order]
        # A row opens a node of depth l + 1 where one of its first l + 1 codes differs from the row above.
        new = np.zeros(len(ordered), bool)
        new[:1] = True
        opens = [new]
        for column in ordered.T:
            new = new.copy()
            new[1:] |= column[1:] != column[:-1]
            opens.append(new)
        rows = [np.flatnonzero(opened) for opened in opens]
        start, code = [], []
        for depth, column in enumerate(ordered.T):
            begins = np.searchsorted(rows[depth + 1], rows[depth])
            start.append(np.append(begins, len(rows[depth + 1])).astype(np.int32))
            code.append(column[rows[depth + 1]])
        first = np.append(rows[-1], len(ordered)).astype(np.int32)
        leaf = np.full(len(ids), -1, np.int32)
        leaf[order] = np.cumsum(opens[-1], dtype=np.int32) - 1
        return cls(
            tuple(torch.from_numpy(values).to(device) for values in start),
            tuple(torch.from_numpy(np.ascontiguousarray(values)).to(device) for values in code),
            torch.from_numpy(order.astype(np.int32)).to(device),
            torch.from_numpy(first).to(device),
            torch.from_numpy(leaf).to(device),
            ids.sizes,
        )

    @property
    def levels(self) -> int:
        """L."""
        return len(self.code)

    @property
    def num_leaves(self) -> int:
        """Distinct IDs."""
        return len(self.first) - 1

    def children(self, depth: int, nodes: Tensor) -> Children:
        """The children of `nodes` `[...]` of `depth`, padded to the most that one of them has; -1 has none."""
        present = nodes >= 0
        begin = self.start[depth][nodes.clamp(min=0)].long()
        end = torch.where(present, self.start[depth][nodes.clamp(min=0) + 1].long(), begin)
        widest = int((end - begin).max()) if nodes.numel() else 0
        child = begin[..., None] + torch.arange(max(widest, 1), device=nodes.device)
        exists = child < end[..., None]
        child = torch.where(exists, child, 0)
        return Children(child, self.code[depth][child].long(), exists)

    def branches(self, depth: int, nodes: Tensor) -> Tensor:
        """Whether each of `nodes` `[...]` of `depth` has more than one child, so that its next code is not certain."""
        return self.start[depth][nodes + 1] - self.start[depth][nodes] > 1

    def allowed(self, depth: int, nodes: Tensor) -> Tensor:
        """Which codes `[R, K]` of the level `depth` lead on from each of `nodes` `[R]` of that depth."""
        children = self.children(depth, nodes)
        codes = torch.where(children.exists, children.codes, children.codes[:, :1])  # in place of padding, any child
        return torch.zeros(len(nodes), self.sizes[depth], dtype=torch.bool, device=codes.device).scatter_(
            1, codes, True
        )

    def leaf_range(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The leaves below `nodes` `[...]` of `depth`: the first of each, and the first that is no longer below it."""
        begin, end = nodes, nodes + 1
        for start in self.start[depth:]:
            begin, end = start[begin], start[end]
        return begin.long(), end.long()

    def with_eos(self) -> CodeTrie:
        """The same trie with one more level, of one codeword: the token that ends a sequence, after every leaf."""
        leaves = torch.arange(self.num_leaves + 1, dtype=torch.int32, device=self.first.device)
        code = (*self.code, torch.zeros_like(leaves[1:]))
        return replace(self, start=(*self.start, leaves), code=code, sizes=(*self.sizes, 1))

    def ancestors(self, leaves: Tensor) -> list[Tensor]:
        """The nodes on the way to `leaves` `[...]`, one tensor per depth from the root to the leaves themselves."""
        nodes = [leaves]
        for depth in reversed(range(self.levels)):
            above = torch.searchsorted(self.start[depth], nodes[0].int(), right=True) - 1
            nodes.insert(0, above.long())
        return nodes

    def expand(self, leaves: Tensor, scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Items `[B, k]` and their scores for `leaves` `[B, W]`, best first; every item of a leaf has its score.

        Items of one leaf come by row. -1 (no leaf) gives nothing; missing items are -1 with score -inf.
        """
        count = torch.where(leaves >= 0, self.first[leaves.clamp(min=0) + 1] - self.first[leaves.clamp(min=0)], 0)
        ends = count.cumsum(1)
        place = torch.arange(k, device=leaves.device).expand(len(leaves), k).contiguous()
        beam = torch.searchsorted(ends, place, right=True)
        inside = beam < leaves.shape[1]
        beam = beam.clamp(max=leaves.shape[1] - 1)
        offset = place - (ends - count).gather(1, beam)
        position = self.first[leaves.gather(1, beam).clamp(min=0)] + offset
        items = self.items[torch.where(inside, position, 0).long()].long()
        item_scores = torch.where(inside, scores.gather(1, beam), -torch.inf)
        return torch.where(inside, items, -1), item_scores


def lexical_order(ids: SemanticIds) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Rows `[N]` sorted by code at level 0, then level 1 and so on, then by row."""
    if np.prod(np.array(ids.sizes, np.float64)) < 2**62:
        keys = np.zeros(len(ids), np.int64)
        for column, size in zip(ids.codes.T, ids.sizes, strict=True):
            keys *= size
            keys += column
        return np.argsort(keys, kind="stable")
    return np.lexsort(ids.codes.T[::-1])
