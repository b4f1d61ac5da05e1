"""K-means on the CPU or a GPU, a chunk of rows at a time: plain, spherical and with clusters of equal size.

Everything rests on one search: the nearest codeword is argmax(x·c - ½‖c‖²), one GEMM with a bias. Distances are not
rescaled here: standardize the columns first, or a few dominating ones decide alone.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding, normalize

from macrec.errors import DataError

Rows = Tensor | NDArray[np.floating]
"""Vectors `[N, d]`: a tensor, or a numpy array or memmap, which is read chunk by chunk."""

BUDGET = 1 << 25
"""Bytes of scores and copied rows held at a time. Larger blocks glibc returns to the system and fetches anew each time,
which takes longer than what is done with them."""

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
def nearest_codeword(x: Rows, codewords: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of `codewords` `[K, d]` for every row of `x` `[n, d]`: codes `[n]` int64, squared distances `[n]`.

    Rows whose best codewords are closer to each other than float32 can tell are decided again in float64, where the
    lowest code wins a tie. So the codes depend neither on the chunks nor on the device (as long as float32 matrix
    products keep their full precision, which is PyTorch's default). 2·n·K·d FLOPs; scores of `BUDGET` bytes at most
    are held. Raises DataError for a row that is not finite and ValueError for shapes that do not fit.
    """
    _check_shape(x)
    if codewords.ndim != 2 or len(codewords) == 0 or codewords.shape[1] != x.shape[1]:
        raise ValueError(f"codewords must be [K, {x.shape[1]}] with K >= 1, got {list(codewords.shape)}")
    table = Codewords.of(codewords)
    codes = torch.empty(len(x), dtype=torch.int64, device=codewords.device)
    distances = torch.empty(len(x), dtype=torch.float32, device=codewords.device)
    for part, rows in chunks(x, len(codewords) + x.shape[1], codewords.device):
        codes[part] = code = table.nearest(rows)
        distances[part] = table.residuals(rows, code).norm(dim=1)
    check_finite(distances)
    return codes, distances.square()


@dataclass(frozen=True)
class Codewords:
    """Codewords `[K, d]` float32 prepared for the search among them: -½‖c‖² `[K]`, and the largest ‖c‖.

    `exact` and `exact_bias` are the same in float64, for the rows where float32 cannot tell.
    """

    words: Tensor
    bias: Tensor
    longest: Tensor
    exact: Tensor
    exact_bias: Tensor

    @classmethod
    def of(cls, words: Tensor) -> Codewords:
        """Prepare `words` `[K, d]`."""
        words = words.float()
        exact = words.double()
        bias = exact.square().sum(1) / -2
        return cls(words, bias.float(), (-2 * bias).max().sqrt().float(), exact, bias)

    def nearest(self, rows: Tensor) -> Tensor:
        """Codes `[n]` int64 of finite float32 `rows` `[n, d]`, as `nearest_codeword` has them but all at once."""
        scores = torch.addmm(self.bias, rows, self.words.T)
        return self.best(scores, rows.norm(dim=1), lambda few: rows[few].double())

    def best(self, scores: Tensor, lengths: Tensor, exact: Callable[[Tensor], Tensor]) -> Tensor:
        """Codes `[n]` of the largest of `scores` `[n, K]`, x·c - ½‖c‖² in float32; `scores` are overwritten.

        `lengths` `[n]`: how long the vectors are at most from which the scores were computed, intermediate ones
        included. Rows too close to call are decided by their vectors in float64, which `exact` gives for row numbers.
        """
        # The relative error of a score, several times what is seen.
        rounding = torch.finfo(torch.float32).eps * max(8.0, math.sqrt(self.words.shape[1]))
        best, codes = scores.max(1)
        runner_up = scores.scatter_(1, codes[:, None], -math.inf).amax(1)
        unsure = rounding * self.longest * (lengths + self.longest)
        tied = (runner_up >= best - unsure).nonzero().flatten()
        if len(tied):
            for few in torch.split(tied, max(1, len(scores) // 4)):  # float64 scores take twice the room
                codes[few] = self._decide(exact(few))
        return codes

    def residuals(self, rows: Tensor, codes: Tensor) -> Tensor:
        """`rows` `[n, d]` less their codewords."""
        chosen = embedding(codes, self.words)  # twice as fast as indexing
        return torch.sub(rows, chosen, out=chosen)

    def _decide(self, exact: Tensor) -> Tensor:
        """The nearest codeword of each float64 row; the lowest code among those equal to 12 digits."""
        longest = self.longest.double()
        scores = torch.addmm(self.exact_bias, exact, self.exact.T)
        tie = scores.max(1).values - 1e-12 * longest * (exact.norm(dim=1) + longest)
        code: Tensor = (scores >= tie[:, None]).int().argmax(1)
        return code


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
    _check_shape(x)
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
        found, near = _assign(x, moved, balanced)
        if balanced and _sum(unmoved := _squared(x, moved, labels)) <= _sum(near):
            # The capacity-constrained assignment is a heuristic: keep the old labels where it finds nothing better.
            found, near = labels, unmoved
        same = bool((found == labels).all())
        centroids, labels, squared = moved, found, near
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


def chunks(x: Rows, extra: int, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Parts of `x` `[N, d]` as float32 on `device`, so many rows that d + `extra` floats each fit `BUDGET` bytes."""
    size = max(1, BUDGET // (4 * (x.shape[1] + extra)))
    for begin in range(0, len(x), size):
        part = slice(begin, min(begin + size, len(x)))
        yield part, take(x, part).to(device)


def take(x: Rows, which: slice | Tensor) -> Tensor:
    """Some rows of `x` as float32; of a numpy array always a copy, on the CPU."""
    if isinstance(x, Tensor):
        return x[which if isinstance(which, slice) else which.to(x.device)].float()
    rows = torch.from_numpy(np.array(x[which if isinstance(which, slice) else which.cpu().numpy()], np.float32))
    if isinstance(x, np.memmap) and x.mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED"):
        # Pages once read would count as ours until the whole file is. (In mode "c" they may hold changes.)
        x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
    return rows


def check_finite(lengths: Tensor, offset: int = 0) -> None:
    """Raise DataError naming the first row whose length, of `lengths` `[n]`, is not finite; row 0 is `offset` + 1."""
    finite = lengths.isfinite()
    if not finite.all():
        what = "the vector holds NaN, infinity or a number too large to square"
        row = offset + int((~finite).nonzero()[0]) + 1
        raise DataError(what, row=row, fix="give finite vectors, standardized")


def unit(x: Rows) -> Tensor:
    """The rows of `x` `[N, d]` at unit length, float32; rows of zeros stay zeros."""
    found = torch.empty(tuple(x.shape), dtype=torch.float32, device=_device(x))
    for part, rows in chunks(x, 0, found.device):
        found[part] = normalize(rows.double(), eps=1e-30).float()
    return found


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
        found = distances[:, best]
        # Small ones anew by differences: a copy of a chosen row is at distance 0 exactly and will never be drawn.
        near = (found < 1e-3 * (norms + norms[chosen[-1]])).nonzero().flatten()
        found[near] = (x[near] - x[chosen[-1]]).square().sum(1)
        squared = torch.minimum(squared, found)
    return x[chosen]


def _sum(squared: Tensor) -> float:
    return float(squared.double().sum())


def _device(x: Rows) -> torch.device:
    return x.device if isinstance(x, Tensor) else torch.device("cpu")


def _check_shape(x: Rows) -> None:
    if x.ndim != 2:
        raise ValueError(f"x must be [N, d], got {x.ndim} dimension{'' if x.ndim == 1 else 's'}: {list(x.shape)}")
