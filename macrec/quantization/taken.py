"""Which semantic IDs are in use, as packed keys: what is looked up and added to while items are given free ones."""

from __future__ import annotations

import numpy as np

from macrec.quantization.tuples import Keys


class Taken:
    """Keys in use: those of the start, sorted, and those taken since, kept sorted in a buffer with `room` for all."""

    def __init__(self, keys: Keys, room: int) -> None:
        self.keys, self.buffer, self.used = keys, np.empty(room, np.int64), 0

    def within(self, low: int, span: int) -> Keys:
        """Taken keys of `[low, low + span)`, less `low`."""
        since = self.buffer[: self.used]
        a, b = self.keys.searchsorted((low, low + span))
        c, d = since.searchsorted((low, low + span))
        keys: Keys = (self.keys[a:b] if c == d else np.concatenate((self.keys[a:b], since[c:d]))) - low
        return keys

    def add(self, keys: Keys) -> None:
        """Take `keys`, which were free."""
        end = self.used + len(keys)
        if len(keys) == 1:
            at = int(self.buffer[: self.used].searchsorted(keys[0]))
            self.buffer[at + 1 : end] = self.buffer[at : self.used]
            self.buffer[at] = keys[0]
        else:
            self.buffer[self.used : end] = keys
            self.buffer[:end].sort()
        self.used = end
