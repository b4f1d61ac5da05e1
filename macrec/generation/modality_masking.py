"""Modality masking: in training a history is read in some of its modalities only, drawn at random (MSCGRec).

What has learned so can also read histories of which a modality is missing, and does not rest on one alone.
"""

from __future__ import annotations

import torch
from torch import Tensor


def kept_modalities(reads: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Of the modalities `reads` `[B, M]` bool that each history would be read in, those that stay, `[B, M]` bool.

    Each is masked with probability `rate`, and a history of which none would be left is drawn again; so of D
    modalities one is masked with probability (p - p^D) / (1 - p^D). Raises ValueError for a rate outside [0, 1) and for
    a history that is read in none.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"a modality is masked with a probability from 0 to below 1, got {rate}")
    if not bool(reads.any(1).all()):
        raise ValueError("a history must be read in one modality at least")
    kept = torch.zeros_like(reads)
    while bool((empty := ~kept.any(1)).any()):
        drawn = torch.rand(reads.shape, generator=generator).to(reads.device) >= rate
        kept = torch.where(empty[:, None], reads & drawn, kept)
    return kept
