"""Contrastive terms: InfoNCE between two views of the same items, and its supervised form, where a label names them.

Both are a log-sum-exp that pushes an anchor away from the batch, less the inner product that draws it to a partner.
In the supervised form the partner is one positive, or the mean of all: the mean of the log-probabilities of several
positives is the log-probability of their mean. No mask of pairs is needed, only sorted labels.
"""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Positives = Literal["all", "sampled", "self"]

SHORTEST = 1e-8
"""A row that is shorter has no direction: its cosine with any other is 0, and it receives no gradient."""


def info_nce(a: Tensor, b: Tensor, temperature: float = 0.1, normalize: bool = True) -> Tensor:
    """Row i of `a` `[B, d]` against all rows of `b` `[B, d]`, of which row i is right, plus the same from b to a.

    Each direction is a mean over the batch of -log softmax(⟨a_i, b_j⟩/τ) at j = i; the sum of the two is returned.
    `normalize` takes cosines instead of inner products. Raises ValueError for shapes or a temperature that do not fit.
    """
    if a.ndim != 2 or a.shape != b.shape or len(a) == 0:
        raise ValueError(f"a and b must both be [B, d] with B >= 1, got {list(a.shape)} and {list(b.shape)}")
    _check_temperature(temperature)
    if normalize:
        a, b = _directions(a), _directions(b)
    scaled = a / temperature
    both = _log_sum_exp(scaled, b) + _log_sum_exp(b, scaled)
    return (both - 2 * (scaled * b).sum(1)).mean()


def supervised_contrastive(
    x: Tensor,
    labels: Tensor,
    temperature: float = 0.1,
    *,
    normalize: bool = True,
    positives: Positives = "all",
    self_in_denominator: bool = False,
    fallback_to_self: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw rows of `x` `[B, d]` with equal `labels` `[B]` together: the loss, and the share of rows that took part.

    For an anchor i: -log of exp(⟨x_i, x_p⟩/τ) / Σ_j exp(⟨x_i, x_j⟩/τ), where j runs over the batch, without i unless
    `self_in_denominator`; the loss is the mean over the anchors that have a positive p. `positives` says which:

    - "all": the mean of the logarithms over all rows with the label of i but i (Khosla et al., arXiv 2004.11362).
    - "sampled": one of them, drawn with `generator`. `fallback_to_self` makes an anchor that has none its own
      positive, as the published code of MACRec means to do.
    - "self": every anchor is its own positive. This is what that code computes in fact, since it never finds the
      labels: no attraction is left, only repulsion.

    Both ways of being one's own positive need `self_in_denominator`. Rows labeled -1 have no label: they repel, but
    are neither anchors nor positives. Without any anchor the loss is 0 with zero gradient. `normalize` takes cosines
    instead of inner products. Holds one `[B, B]` of scores; cannot be differentiated twice. Raises ValueError for
    shapes or options that do not fit.
    """
    if x.ndim != 2 or labels.shape != x.shape[:1] or len(x) == 0:
        raise ValueError(f"x must be [B, d] and labels [B], B >= 1, got {list(x.shape)} and {list(labels.shape)}")
    _check_temperature(temperature)
    if positives not in get_args(Positives):
        raise ValueError(f"positives must be one of {get_args(Positives)}, got {positives!r}")
    if fallback_to_self and positives != "sampled":
        raise ValueError(f'fallback_to_self belongs to positives="sampled", got {positives!r}')
    if (fallback_to_self or positives == "self") and not self_in_denominator:
        raise ValueError("a row can only be its own positive with self_in_denominator=True")
    if normalize:
        x = _directions(x)
    partner, anchor = x, labels >= 0
    if positives == "all":
        partner, anchor = _mean_positives(x, labels)
    elif positives == "sampled":
        chosen = sample_positives(labels, generator)
        if fallback_to_self:
            chosen = torch.where(chosen < 0, torch.arange(len(x), device=x.device), chosen)
        else:
            anchor = chosen >= 0
        partner = x[chosen.clamp(min=0)]
    scaled = x / temperature
    terms = _log_sum_exp(scaled, x, self_in_denominator) - (scaled * partner).sum(1)
    count = anchor.sum()
    return torch.where(anchor, terms, 0).sum() / count.clamp(min=1), count / len(x)


def prefix_repulsion(
    x: Tensor, codes: Tensor, labels: Tensor, temperature: float = 0.1, *, normalize: bool = True
) -> tuple[Tensor, Tensor]:
    """Push rows of `x` `[B, d]` apart that could end in conflict: the loss, and the share of rows that took part.

    For an anchor i: log(1 + Σ_j exp(⟨x_i, x_j⟩/τ)), where j runs over the rows with the same `codes` `[B, l]`, those of
    the levels before, and another of `labels` `[B]`; the loss is the mean over the anchors that have such a j. So two
    items that are alike in one modality, and not in the other, are given different codes. A row labeled -1 has another
    label than every row. `normalize` takes cosines instead of inner products. Without any anchor the loss is 0 with
    zero gradient. Raises ValueError for shapes or a temperature that do not fit.
    """
    if x.ndim != 2 or codes.ndim != 2 or len(codes) != len(x) or labels.shape != x.shape[:1] or len(x) == 0:
        shapes = f"{list(x.shape)}, {list(codes.shape)} and {list(labels.shape)}"
        raise ValueError(f"x must be [B, d], codes [B, l] and labels [B], B >= 1, got {shapes}")
    _check_temperature(temperature)
    if normalize:
        x = _directions(x)
    group = torch.unique(codes, dim=0, return_inverse=True)[1] if codes.shape[1] else torch.zeros_like(labels)
    other = (labels[:, None] != labels) | (labels < 0)
    pairs = ((group[:, None] == group) & other).fill_diagonal_(False)
    anchor = pairs.any(1)
    scores = (x @ x.T / temperature).masked_fill(~pairs, -torch.inf)[anchor]
    terms = torch.logaddexp(scores.logsumexp(1), scores.new_zeros(()))
    return (terms.mean() if len(terms) else x.sum() * 0), anchor.sum() / len(x)


def sample_positives(labels: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For every row of `labels` `[B]` another row with the same label, uniformly at random: `[B]` int64, -1 for none.

    Rows labeled -1 neither have nor are positives. O(B log B): rows sorted by label form segments, and a row takes
    the one 1 to size - 1 places after it, cyclically. The draws come from the device of the generator.
    """
    order, start, size = _segments(labels)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels), device=labels.device)
    draws = torch.rand(
        len(labels),
        generator=generator,
        dtype=torch.float64,
        device=labels.device if generator is None else generator.device,
    ).to(labels.device)
    step = 1 + (draws * (size - 1)).long()
    chosen = order[start + (rank - start + step) % size]
    return torch.where((labels >= 0) & (size > 1), chosen, -1)


class _Segments(NamedTuple):
    """Rows in the order of their labels `[B]`; where the segment of each row's label starts in it, and its size."""

    order: Tensor
    start: Tensor
    size: Tensor


def _segments(labels: Tensor) -> _Segments:
    ordered, order = labels.contiguous().sort(stable=True)
    start = torch.searchsorted(ordered, labels)
    return _Segments(order, start, torch.searchsorted(ordered, labels, right=True) - start)


def _mean_positives(x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The mean `[B, d]` of the other rows with the same label, and `[B]` whether there are any.

    A label's sum less the row itself, in float64: in float32 a long row would drown the others.
    """
    _, start, size = _segments(labels)
    wide = x.double()
    sums = torch.zeros_like(wide).index_add(0, start, wide)
    others = (sums[start] - wide) / (size - 1).clamp(min=1)[:, None]
    return others.to(x.dtype), (labels >= 0) & (size > 1)


class _LogSumExp(torch.autograd.Function):
    """Log-sum-exp over the rows of `a @ b.T` in one buffer, three products in all: automatic differentiation would make
    five more matrices of that size, which costs 2.5 times as long at B = 2048.
    """

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, diagonal: bool) -> Tensor:
        weights = a @ b.T
        if not diagonal:
            weights.fill_diagonal_(torch.finfo(weights.dtype).min)  # not -inf: a batch of one would give NaN
        top = weights.amax(1, keepdim=True)
        total = weights.sub_(top).exp_().sum(1, keepdim=True)
        ctx.save_for_backward(a, b, weights, total)
        return (top + total.log()).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b, weights, total = ctx.saved_tensors
        share = gradient[:, None] / total
        return share * (weights @ b), weights.T @ (share * a), None


def _log_sum_exp(a: Tensor, b: Tensor, diagonal: bool = True) -> Tensor:
    """log Σ_j exp⟨a_i, b_j⟩ `[B]`, without j = i unless `diagonal`; float32 at least, autocast or not."""
    wide = torch.promote_types(a.dtype, torch.float32)
    with torch.autocast(a.device.type, enabled=False):
        result: Tensor = _LogSumExp.apply(a.to(wide), b.to(wide), diagonal)  # type: ignore[no-untyped-call]
    return result


def _directions(x: Tensor) -> Tensor:
    """Rows at unit length; those shorter than `SHORTEST` become zeros, whose gradient is zero."""
    length = x.norm(dim=1, keepdim=True)
    directions: Tensor = x / length.masked_fill(length < SHORTEST, math.inf)
    return directions


def _check_temperature(temperature: float) -> None:
    if not temperature > 0:
        raise ValueError(f"the temperature must be above 0, got {temperature}")
