"""Where a seed goes: every random draw of a training is made here, from a seed and a purpose, and where to compute.

The parameter `seed` of a notebook (with several seeds: each of them, by `Settings.with_seed`) becomes the `seed` of these
recipes, and nothing else is seeded by it:

| recipe | what is drawn from it |
|---|---|
| `CodebookRecipe` | weights of each autoencoder, clusters of the pseudo-labels, the k-means that starts the codebooks, the order of the items in every epoch, positives, and residuals for dead codewords |
| `GeneratorRecipe` | weights of the T5, the order of the samples in every epoch, items of the implicit alignment, validation users |
| `CausalRecipe` | weights of the causal generator, the order of the windows in every epoch, what each window reads, items of the item tasks and the implicit alignment, validation users |
| `SASRecRecipe` | weights, the order of the sequences in every epoch, validation users |
| `LightGCNRecipe` | weights, the order of the edges in every epoch, items that a user has not taken; with `teacher="shuffled"`, where there is no LightGCN, the permutation |
| `DistillationRecipe` | weights of the network and its head, the order of the pictures in every epoch, crops, the k-means that starts the codebooks, and vectors for dead codewords; its seed is part of the encoder's name, not the parameter |

A draw is `generator_for(seed, PURPOSE, epoch or step)`: a function of these numbers and of nothing drawn before, so that a
resumed training continues bit for bit. Dropout draws from PyTorch's global generators, which the loop sets to
`mixed(seed, step)` before every step and puts back after it (`macrec/training/state.py`). Not seeded by the parameter: the
test users and the users taken of a large dataset, which are always drawn from 0, and the built-in catalog, whose seed
stands in its name (curio:demo:7).
"""  # noqa: E501

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
