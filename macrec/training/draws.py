"""Random draws that depend on a seed and a purpose alone, and where to compute."""

from __future__ import annotations

import numpy as np
import torch


def mixed(*numbers: int) -> int:
    """One 63-bit seed of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def generator_for(seed: int, *purpose: int) -> torch.Generator:
    """A CPU generator for one purpose of a training: equal numbers give equal draws, whatever was drawn before."""
    generator = torch.Generator()
    generator.manual_seed(mixed(seed, *purpose))
    return generator


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
