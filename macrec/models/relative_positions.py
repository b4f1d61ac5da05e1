"""Distances and masks as biases of attention scores, as T5 has them."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=64)
def position_buckets(length: int, bidirectional: bool, buckets: int, max_distance: int, device: torch.device) -> Tensor:
    """The bucket of each distance between `length` queries and keys, `[length, length]`."""
    with torch.inference_mode(False):  # kept tensors must serve training as well
        place = torch.arange(length, device=device)
        return relative_buckets(place - place[:, None], bidirectional, buckets, max_distance)


def relative_buckets(distance: Tensor, bidirectional: bool, buckets: int = 32, max_distance: int = 128) -> Tensor:
    """The bucket of every distance, key place minus query place.

    Small distances have a bucket each; larger ones share buckets that widen with the logarithm, up to `max_distance`
    and all beyond. Half of the buckets are for keys after the query, if `bidirectional`; else those count as 0.

    >>> relative_buckets(torch.tensor([-16, -1, 0, 1, 100]), bidirectional=True).tolist()
    [10, 1, 0, 17, 31]
    """
    offset: Tensor | int = 0
    if bidirectional:
        buckets //= 2
        offset, distance = (distance > 0) * buckets, distance.abs()
    else:
        distance = -distance.clamp(max=0)
    exact = buckets // 2
    octaves = (distance.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    coarse = exact + (octaves * (buckets - exact)).long()
    return offset + torch.where(distance < exact, distance, coarse.clamp(max=buckets - 1))


def item_slot_distances(length: int, slots: Tensor) -> tuple[Tensor, Tensor]:
    """How far keys are from queries, in items and in slots, `[length, length]` each; query rows, key columns.

    `slots` `[C]`: the slots of the C tokens of every item, in their order. What follows the last whole item begins one
    more.

    >>> items, between = item_slot_distances(5, torch.tensor([0, 3]))
    >>> items[1].tolist(), between[1].tolist()
    ([0, 0, 1, 1, 2], [-3, 0, -3, 0, -3])
    """
    place = torch.arange(length, device=slots.device)
    item, slot = place // len(slots), slots[place % len(slots)]
    return item - item[:, None], slot - slot[:, None]


def mask_to_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """`mask` `[B, S]` as an attention bias `[B, 1, 1, S]`: 0 where True, -inf where False."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)[:, None, None]
