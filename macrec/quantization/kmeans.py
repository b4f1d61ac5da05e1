"""K-means on the CPU or a GPU, a chunk of rows at a time: plain, spherical and with clusters of equal size.

Everything rests on one search: the nearest codeword is argmax(x·c - ½‖c‖²), one GEMM with a bias. Distances are not
rescaled here: standardize the columns first, or a few dominating ones decide alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from macrec.quantization.nearest import Rows, check_finite, check_shape, chunks, nearest_codeword, take

BLOCK = 4096
"""Rows added up in float32 before float64 takes over: several times faster than float64 throughout and as exact to six
digits. Not a matter of `BUDGET`, so that the sums do not depend on it."""

REPAIRS = 10
"""Iterations beyond the limit, at most, that are spent only where a cluster is still empty."""


@dataclass(frozen=True)
class KMeans:
    """A clustering of N rows, on the device of the rows.

    `centroids` `[K, d]` float32; `labels` `[N]` int32; `inertia`: the sum of squared distances of the rows to the
    centroids of their labels, for the initial centroids and after every iteration.
    """

    centroids: Tensor
    labels: Tensor
    inertia: tuple[float, ...]


@torch.no_grad()
def kmeans(
    x: Rows,
    k: int,
    seed: int,
    iterations: int = 25,
    balanced: bool = False,
    *,
    spherical: bool = False,
    sample: int | None = None,
    init: Tensor | None = None,
) -> KMeans:
    """Cluster the rows of `x` `[N, d]` into `k` clusters.

    Starts from `init` `[k, d]`, or by greedy k-means++ on a random `sample` of the rows (64·k by default), then repeats
    Lloyd's step at most `iterations` times, until no label changes. A cluster that loses all its rows starts anew at
    the row farthest from its centroid. The inertia never rises.

    `balanced`: every cluster has floor(N/k) or ceil(N/k) rows, by descending confidence margin under that capacity;
    labels then need not be the nearest centroids, and costs `[N, k]` are held in memory. `spherical`: by cosine; rows
    (a copy of them) and centroids have unit length; rows of zeros count as equally far from all.

    Where `x` has fewer than `k` distinct rows there are as many centroids as distinct rows, except with `init`.
    Deterministic on the CPU for a seed; on a GPU sums are added in varying order. Raises ValueError for k < 1, k > N
    or a wrong shape, and DataError for rows that are not finite.
    """
    check_shape(x)
    if not 1 <= k <= len(x):
        raise ValueError(f"k must be from 1 to {len(x)} (the number of rows), got {k}")
    sample = 64 * k if sample is None else sample
    if iterations < 0 or sample < 1:
        raise ValueError(f"iterations must be 0 or more and sample 1 or more, got {iterations} and {sample}")
    if init is not None and init.shape != (k, x.shape[1]):
        raise ValueError(f"init must be [{k}, {x.shape[1]}], got {list(init.shape)}")
    for part, rows in chunks(x, 0, _device(x)):
        check_finite(rows.norm(dim=1), part.start)
    if spherical:
        x = unit(x)
    # Rows of zeros have no direction: no centroid of a spherical clustering may start from one.
    seeds = x.any(1) if spherical and isinstance(x, Tensor) else torch.ones(len(x), dtype=torch.bool, device=_device(x))
    if init is None:
        centroids = _start(x if seeds.all() or not seeds.any() else take(x, seeds.nonzero().flatten()), k, seed, sample)
    else:
        centroids = init.to(_device(x), torch.float32)
    if spherical:
        centroids = unit(centroids)
    labels, squared = _assign(x, centroids, balanced)
    inertia = [_sum(squared)]
    for step in range(iterations + REPAIRS if iterations else 0):
        full = bool(torch.bincount(labels, minlength=len(centroids)).all())
        if step >= iterations and full:
            break
        moved = _means(x, labels, squared.masked_fill(~seeds, -1), centroids, spherical)
        assigned, near = _assign(x, moved, balanced)
        if balanced and _sum(unmoved := _squared(x, moved, labels)) <= _sum(near):
            # The capacity-constrained assignment is a heuristic: keep the old labels where it finds nothing better.
            assigned, near = labels, unmoved
        same = bool((assigned == labels).all())
        centroids, labels, squared = moved, assigned, near
        inertia.append(_sum(squared))
        if same and full:
            break
    return KMeans(centroids, labels.int(), tuple(inertia))


def balanced_labels(cost: Tensor) -> Tensor:
    """Labels `[N]` int64 of low total cost `[N, K]` with floor(N/K) or ceil(N/K) rows each; needs N >= K.

    Sinkhorn prices first make crowded clusters dear. Then every cluster fills up to floor(N/K), and the rows left over
    take one more place each: in every round a free row asks for its cheapest cluster that has room, and clusters accept
    first those with the most to lose, the largest margin to the next best. Within a few percent of the optimum.
    """
    cost = cost + _prices(cost)
    labels = torch.full((len(cost),), -1, dtype=torch.int64, device=cost.device)
    for places in (len(cost) // cost.shape[1], 1):
        room = torch.full((cost.shape[1],), places, dtype=torch.int64, device=cost.device)
        while len(free := (labels < 0).nonzero().flatten()) and room.any():
            available = room.nonzero().flatten()
            costs = cost[free][:, available]
            two = costs.topk(min(2, len(available)), dim=1, largest=False)
            margin, choice = two.values[:, -1] - two.values[:, 0], available[two.indices[:, 0]]
            order = margin.argsort(descending=True, stable=True)
            order = order[choice[order].argsort(stable=True)]  # by cluster, largest margin first
            asked = torch.bincount(choice, minlength=len(room))
            rank = torch.arange(len(free), device=cost.device) - (asked.cumsum(0) - asked)[choice[order]]
            accepted = order[rank < room[choice[order]]]
            labels[free[accepted]] = choice[accepted]
            room -= torch.bincount(choice[accepted], minlength=len(room))
    return labels


def _prices(cost: Tensor, rounds: int = 50) -> Tensor:
    """What every cluster adds to its cost, `[K]`, so that about N/K rows of `cost` `[N, K]` choose each.

    Sinkhorn's scaling of exp(-cost/t), with t falling from 10 to 1 percent of the mean excess of a row's costs over
    its lowest: a soft problem settles the large movements, harder ones those between neighbors.
    """
    excess = cost - cost.min(1, keepdim=True).values
    mean = excess.mean()
    prices = torch.zeros_like(cost[0])
    if mean == 0:
        return prices
    for temperature in (0.1 * mean, 0.03 * mean, 0.01 * mean):
        dear = cost + prices
        excess = dear - dear.min(1, keepdim=True).values
        kernel = torch.exp(-(excess / temperature).clamp(max=40))  # bounded: no column underflows to zeros
        share = torch.ones_like(prices)
        for _ in range(rounds):
            share = len(cost) / cost.shape[1] / (kernel.T @ (1 / (kernel @ share)))
        prices = prices - temperature * share.log()
    return prices


def unit(x: Rows) -> Tensor:
    """The rows of `x` `[N, d]` at unit length, float32; rows of zeros stay zeros."""
    normalized = torch.empty(tuple(x.shape), dtype=torch.float32, device=_device(x))
    for part, rows in chunks(x, 0, normalized.device):
        normalized[part] = normalize(rows.double(), eps=1e-30).float()
    return normalized


def _assign(x: Rows, centroids: Tensor, balanced: bool) -> tuple[Tensor, Tensor]:
    """Labels `[N]` int64 and squared distances `[N]` to their centroids."""
    if not balanced:
        return nearest_codeword(x, centroids)
    cost = torch.empty((len(x), len(centroids)), device=centroids.device)
    for part, rows in chunks(x, len(centroids), centroids.device):
        cost[part] = torch.addmm(centroids.square().sum(1), rows, centroids.T, alpha=-2)
    labels = balanced_labels(cost)
    return labels, _squared(x, centroids, labels)


def _squared(x: Rows, centroids: Tensor, labels: Tensor) -> Tensor:
    """Squared distances `[N]` of the rows to the centroids of their labels."""
    parts = chunks(x, x.shape[1], centroids.device)
    return torch.cat([(rows - centroids[labels[part]]).square().sum(1) for part, rows in parts])


def _means(x: Rows, labels: Tensor, squared: Tensor, centroids: Tensor, spherical: bool) -> Tensor:
    """The mean of every cluster `[K, d]`; an empty one takes one of the rows that are farthest from their centroid."""
    k = len(centroids)
    count = torch.bincount(labels, minlength=k)
    sums = torch.zeros(centroids.shape, dtype=torch.float64, device=centroids.device)
    for begin in range(0, len(x), BLOCK):
        part = slice(begin, begin + BLOCK)
        sums += torch.zeros_like(centroids).index_add_(0, labels[part], take(x, part).to(centroids.device))
    means = (sums / count.clamp(min=1)[:, None]).float()
    if len(empty := (count == 0).nonzero().flatten()):
        # A cluster of one row is that row already: taking it would only move the gap.
        far = torch.where(count[labels] > 1, squared, -1).argsort(descending=True, stable=True)[: len(empty)]
        means[empty] = take(x, far).to(means.device)
    if spherical:
        lengths = means.norm(dim=1, keepdim=True)
        means = torch.where(lengths > 1e-12, means / lengths.clamp(min=1e-12), centroids)
    return means


def _start(x: Rows, k: int, seed: int, sample: int) -> Tensor:
    """Initial centroids: k-means++ on a sample, or on everything where the sample has too few distinct rows."""
    generator = torch.Generator().manual_seed(seed)
    sample = max(sample, k)
    if sample < len(x):
        some = torch.randperm(len(x), generator=generator)[:sample].sort().values
        centroids = _plus_plus(take(x, some), k, generator)
        if len(centroids) == k:
            return centroids
    return _plus_plus(take(x, slice(None)), k, generator)


def _plus_plus(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Greedy k-means++: every next centroid is the best of 2 + ln k rows drawn by squared distance to the nearest.

    Fewer than `k` centroids where the rows have fewer distinct values. Draws come from the CPU for every device.
    """
    trials = 2 + int(math.log(k))
    chosen = [int(torch.randint(len(x), (), generator=generator))]
    squared = (x - x[chosen[-1]]).square().sum(1)
    norms = x.square().sum(1)
    while len(chosen) < k and (total := float((mass := squared.double().cumsum(0))[-1])) > 0:
        draws = torch.rand(trials, generator=generator, dtype=torch.float64).to(x.device) * total
        drawn = torch.searchsorted(mass, draws, right=True).clamp(max=int(squared.nonzero()[-1]))
        products = x @ x[drawn].T.contiguous()  # so narrow a product is faster from this layout
        distances = (norms[:, None] + norms[drawn] - 2 * products).clamp(min=0)
        best = int(torch.minimum(distances, squared[:, None]).sum(0).argmin())
        chosen.append(int(drawn[best]))
        candidate = distances[:, best]
        # Small ones anew by differences: a copy of a chosen row is at distance 0 exactly and will never be drawn.
        near = (candidate < 1e-3 * (norms + norms[chosen[-1]])).nonzero().flatten()
        candidate[near] = (x[near] - x[chosen[-1]]).square().sum(1)
        squared = torch.minimum(squared, candidate)
    return x[chosen]


def _sum(squared: Tensor) -> float:
    return float(squared.double().sum())


def _device(x: Rows) -> torch.device:
    return x.device if isinstance(x, Tensor) else torch.device("cpu")
