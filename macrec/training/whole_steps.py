"""Guards of a training step: Ctrl-C does not interrupt it, and denormal numbers do not slow it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch


@contextmanager
def whole_steps() -> Iterator[None]:
    """Hold Ctrl-C back until the block is done, so that no step and no checkpoint is torn; idle off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: held.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held and callable(before):
        before(*held[-1])


@contextmanager
def flushing_denormals() -> Iterator[None]:
    """Treat numbers below 1e-38 as zero in a step: a CPU takes many times longer to multiply them."""
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
