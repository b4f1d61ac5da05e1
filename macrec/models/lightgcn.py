"""LightGCN: vectors of users and items, averaged with those of their neighbors in the graph of who took what.

He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020
(arXiv 2002.02126). It knows nothing of the order of events.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def bipartite(user: NDArray[np.integer], item: NDArray[np.integer], users: int, items: int) -> Tensor:
    """The symmetric matrix `[U + N, U + N]` of a graph with an edge from `user` `[E]` to `item` `[E]`, sparse.

    The users come first. An edge between nodes of degrees a and b has the weight 1 / √(a b), however often it is given.
    """
    edges = np.unique(user.astype(np.int64) * items + item)
    rows, columns = np.divmod(edges, items)
    columns = columns + users
    degree = np.bincount(np.concatenate([rows, columns]), minlength=users + items)
    weight = 1 / np.sqrt(degree[rows] * degree[columns].astype(np.float64))
    places = torch.from_numpy(np.stack([np.concatenate([rows, columns]), np.concatenate([columns, rows])]))
    values = torch.from_numpy(np.concatenate([weight, weight]).astype(np.float32))
    return torch.sparse_coo_tensor(places, values, (users + items, users + items), check_invariants=True).coalesce()


class LightGCN(nn.Module):
    """A vector per node, and the mean over l = 0 … `layers` of A^l times these, where A `[n, n]` is `bipartite`.

    Weights are drawn from `generator` with deviation 0.1, as published. Raises ValueError for fewer than 1 layer or
    dimension.
    """

    def __init__(self, graph: Tensor, width: int, layers: int, generator: torch.Generator) -> None:
        super().__init__()
        if width < 1 or layers < 1:
            raise ValueError(f"width and layers must be 1 or more, got {width} and {layers}")
        self.layers = layers
        self.embedding = nn.Parameter(torch.randn(len(graph), width, generator=generator) * 0.1)
        self.register_buffer("graph", graph, persistent=False)

    def forward(self) -> Tensor:
        """The vectors `[n, width]` of all nodes, after averaging."""
        graph = self.get_buffer("graph")
        vectors: Tensor = self.embedding
        total = vectors
        for _ in range(self.layers):
            vectors = torch.sparse.mm(graph, vectors)
            total = total + vectors
        return total / (self.layers + 1)
