"""Bound how long threads of OpenMP spin while they wait, so that a busy machine does not slow a training tenfold.

A training step is hundreds of short parallel loops. Between them a waiting thread spins, and by default it spins long:
where another process wants the core, the thread that has work waits for the one that only spins. A bound of a few
microseconds keeps the wake-up cheap on an idle machine and gives the core away on a busy one (`benchmarks/busy.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
"""What bounds the spin of GNU's runtime (turns of the loop) and of LLVM's and Intel's (milliseconds)."""
POLICY = "OMP_WAIT_POLICY"
"""The user's own choice for every runtime; where it is set, nothing is changed."""

ALONE = 2_000_000
"""Below so many weights a network is computed by one thread: waking a second takes longer than it saves."""


def threads_for(weights: int, most: int) -> int:
    """How many of at most `most` threads a network of so many weights is given.

    It depends on the size alone, never on a measurement, so that a training is the same whatever else the machine does.
    """
    return 1 if weights < ALONE else most


@contextmanager
def computing(weights: int) -> Iterator[None]:
    """Compute in the block on as many threads of the CPU as a network of so many weights is given."""
    import torch  # here, as the command line reads this file before it needs torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads_for(weights, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def bounded_spin(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that bound the spin in a process with this `environment`: none that the user has set already."""
    if POLICY in environment:
        return {}
    return {name: value for name, value in SPIN.items() if name not in environment}
