"""Implicit alignment: the encoder's states of an item's IDs in two modalities become alike (MACRec, 5.5)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from macrec.tokenizers.contrastive import info_nce

Encode = Callable[[Tensor, Tensor], Tensor]
"""Tokens `[B, S]` and their mask `[B, S]` → states `[B, S, d]`."""


def pooled(encode: Encode, tokens: Tensor, mask: Tensor) -> Tensor:
    """The mean state `[B, d]` over the tokens that `mask` `[B, S]` says are there."""
    states = encode(tokens, mask)
    weight = mask.to(states.dtype)[..., None]
    return (states * weight).sum(1) / weight.sum(1).clamp(min=1)


def implicit_alignment(
    encode: Encode,
    first: tuple[Tensor, Tensor],
    second: tuple[Tensor, Tensor],
    temperature: float = 0.1,
) -> Tensor:
    """Symmetric InfoNCE between the pooled states of the same S items in two modalities.

    `first` and `second`: tokens `[S, L]` and mask `[S, L]` of each. One pass of the encoder serves both. Row i of one
    is to find row i of the other. (The published code compares row i of one set of items with row i of another; see
    `misaligned`.)
    """
    width = max(first[0].shape[1], second[0].shape[1])
    tokens, mask = (
        torch.cat([_padded(one, width), _padded(two, width)]) for one, two in zip(first, second, strict=True)
    )
    states = pooled(encode, tokens, mask)
    return info_nce(states[: len(first[0])], states[len(first[0]) :], temperature)


def misaligned(anchors: Tensor, candidates: Tensor, temperature: float = 0.1) -> Tensor:
    """What the published code computes: anchor k `[A, d]` is to find candidate k of the *whole* batch `[B, d]`.

    The anchors are those rows of the batch that hold single items, numbered anew, so that almost none stands where its
    counterpart does (specification F3, G1).
    """
    one = torch.nn.functional.normalize(anchors, dim=1)
    two = torch.nn.functional.normalize(candidates, dim=1)
    own = torch.arange(len(anchors), device=anchors.device)
    return torch.nn.functional.cross_entropy(one @ two.T / temperature, own)


def _padded(values: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))
