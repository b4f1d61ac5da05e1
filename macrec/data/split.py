"""Leave-one-out: the last item of a history is the test target, the one before it the validation target.

A sample is a pair of positions in the flat event array, nothing more: `items[start:target]` is its history and
`items[target]` what is to be predicted. So a million samples are two arrays, built without a loop over users.
Source: MACRec, section 1.4 of the specification (training samples are all prefixes of the train part).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macrec.data.histories import Histories

PADDING = -1
"""Fills the places of a padded history that hold no item."""


@dataclass(frozen=True, eq=False)
class Samples:
    """S (history, target) pairs over one flat event array.

    `start` `[S]` and `target` `[S]`, int64 positions: sample i has the history `items[start[i]:target[i]]` (not
    empty) and the target `items[target[i]]`. `user` `[S]` int32 says whose it is.
    """

    items: NDArray[np.int32]
    user: NDArray[np.int32]
    start: NDArray[np.int64]
    target: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.target)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Items in each history, `[S]`."""
        return self.target - self.start

    @property
    def targets(self) -> NDArray[np.int32]:
        """The item to be predicted, `[S]`."""
        return self.items[self.target]

    def history(self, sample: int) -> NDArray[np.int32]:
        """One history, oldest first, as a view `[n]`."""
        return self.items[self.start[sample] : self.target[sample]]

    def padded(self, rows: NDArray[np.integer] | None = None) -> NDArray[np.int32]:
        """Histories as a matrix `[B, T]`, the newest item in the last column, `PADDING` on the left.

        `rows` `[B]` picks samples (default: all); T is the longest history among them.
        """
        start, target = (self.start, self.target) if rows is None else (self.start[rows], self.target[rows])
        longest = int((target - start).max(initial=0))
        places = target[:, None] - np.arange(longest, 0, -1)
        inside = places >= start[:, None]
        return np.where(inside, self.items[np.where(inside, places, 0)], PADDING).astype(np.int32)

    def newest(self, count: int) -> Samples:
        """The same samples with histories cut to their newest `count` items."""
        return Samples(self.items, self.user, np.maximum(self.start, self.target - count), self.target)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Samples:
        """The samples in `rows` (indices or a mask), in that order."""
        return Samples(self.items, self.user[rows], self.start[rows], self.target[rows])


class Split(NamedTuple):
    """Training, validation and test samples of one dataset."""

    train: Samples
    valid: Samples
    test: Samples


def leave_one_out(histories: Histories, max_history: int = 20) -> Split:
    """Split every history s of length n: train on the prefixes of s[:n-2], validate on s[n-2], test on s[n-1].

    Training sample i = 1..n-3 predicts s[i] from the (at most `max_history`) items before it; validation and test
    histories are cut in the same way. Users with fewer than 3 events give no validation and no test sample: all
    their events belong to training, so a user with exactly 2 events gives one training sample.

    >>> split = leave_one_out(Histories.from_lists([[1, 2, 3, 4, 5, 6, 7]]), max_history=3)
    >>> [(split.train.history(i).tolist(), int(split.train.targets[i])) for i in range(len(split.train))]
    [([1], 2), ([1, 2], 3), ([1, 2, 3], 4), ([2, 3, 4], 5)]
    """
    if max_history < 1:
        raise ValueError(f"max_history must be at least 1, got {max_history}")
    begin, end, length = histories.offsets[:-1], histories.offsets[1:], histories.lengths
    held_out = np.where(length >= 3, 2, 0)

    # Every event is a training target except the first of its user and those held out.
    user = histories.users
    place = np.arange(len(histories.items)) - begin[user]
    train = np.flatnonzero((place >= 1) & (place < (length - held_out)[user]))

    def samples(who: NDArray[np.int32], target: NDArray[np.int64]) -> Samples:
        return Samples(histories.items, who, np.maximum(begin[who], target - max_history), target)

    tested = np.flatnonzero(length >= 3).astype(np.int32)
    return Split(samples(user[train], train), samples(tested, end[tested] - 2), samples(tested, end[tested] - 1))


def train_part(histories: Histories) -> Histories:
    """Each history without its validation and test targets (users with fewer than 3 events keep all)."""
    length = histories.lengths
    kept = length - np.where(length >= 3, 2, 0)
    place = np.arange(len(histories.items)) - histories.offsets[:-1][histories.users]
    mask = place < kept[histories.users]
    offsets = np.zeros(len(histories) + 1, np.int64)
    np.cumsum(kept, out=offsets[1:])
    return Histories(
        offsets,
        histories.items[mask],
        None if histories.timestamps is None else histories.timestamps[mask],
        None if histories.behaviors is None else histories.behaviors[mask],
        histories.behavior_names,
    )


def training_events(split: Split) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The user and the item of every event in a training sample, once each, `[E]` both, in order.

    After `leave_one_out` that is all but the last two events of each user. A user of whom only one event is left
    gives no sample, so that event does not count.
    """
    train = split.train
    edges = np.zeros(len(train.items) + 1, np.int64)
    np.add.at(edges, train.start, 1)
    np.add.at(edges, train.target + 1, -1)
    place = np.flatnonzero(np.cumsum(edges) > 0)
    # The user of an event is that of the next training target: a sample never spans two users.
    order = np.argsort(train.target, kind="stable")
    user = train.user[order[np.searchsorted(train.target[order], place)]]
    return user, train.items[place]


def item_counts(split: Split, num_items: int) -> NDArray[np.int64]:
    """Training events of every item, `[N]`: its popularity. An item with none is cold."""
    return np.bincount(training_events(split)[1], minlength=num_items)
