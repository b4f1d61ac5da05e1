"""Pseudo-labels: k-means clusters of one modality, the labels of the contrastive term of the others."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from macrec.encoders.embeddings import Embeddings
from macrec.quantization.kmeans import kmeans
from macrec.quantization.nearest import nearest_codeword


def pseudo_labels(
    embeddings: Embeddings, clusters: int = 512, seed: int = 0, balanced: bool = False
) -> NDArray[np.int32]:
    """The k-means cluster of every item, `[N]` int32; -1 for an item without a vector.

    Clusters the standardized vectors of the present items, so that no dimension decides alone; of those that may be
    learned from (`Embeddings.seen`), and the others get the label of the nearest centroid. Items with equal
    vectors have equal labels (unless `balanced`). There are as many clusters as distinct vectors where those are fewer
    than `clusters`. `balanced` makes cluster sizes differ by one at most. The same for the same seed. Holds one float32
    copy of the vectors. Raises ValueError for `clusters` below 1.

    Expected positives of an anchor in a batch of B, with clusters of equal size: (B - 1) / K, whatever N is.
    """
    if clusters < 1:
        raise ValueError(f"clusters must be 1 or more, got {clusters}")
    labels = np.full(len(embeddings), -1, np.int32)
    rows = np.flatnonzero(embeddings.learnable)
    if len(rows):
        vectors = torch.from_numpy(embeddings.standardized(rows))
        found = kmeans(vectors, min(clusters, len(rows)), seed, balanced=balanced)
        labels[rows] = found.labels.numpy()
        if len(others := np.flatnonzero(embeddings.present & (labels < 0))):
            x = torch.from_numpy(embeddings.standardized(others))
            labels[others] = nearest_codeword(x, found.centroids)[0].numpy()
    return labels
