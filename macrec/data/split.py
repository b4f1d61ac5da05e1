"""Training, validation and test samples: by a published split where a dataset carries one, else by leave-one-out.

Leave-one-out: the last item of a history is the test target, the one before it the validation target.

A sample is a pair of positions in the flat event array, nothing more: `items[start:target]` is its history and
`items[target]` what is to be predicted. So a million samples are two arrays, built without a loop over users.
Source: MACRec, section 1.4 of the specification (training samples are all prefixes of the train part).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.histories import CONTEXT, PARTS, TEST, TRAIN, VALID, Histories
from macrec.errors import DataError

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

    def flat(self) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """All histories one after another, `[sum of lengths]`, and where each of them begins, `[S]`."""
        begin = np.cumsum(self.lengths) - self.lengths
        place = np.arange(int(self.lengths.sum())) + np.repeat(self.start - begin, self.lengths)
        return self.items[place], begin

    def newest(self, count: int) -> Samples:
        """The same samples with histories cut to their newest `count` items: the one place where a system cuts them."""
        return Samples(self.items, self.user, np.maximum(self.start, self.target - count), self.target)

    def take(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Samples:
        """The samples in `rows` (indices or a mask), in that order."""
        return Samples(self.items, self.user[rows], self.start[rows], self.target[rows])


class Split(NamedTuple):
    """Training, validation and test samples of one dataset."""

    train: Samples
    valid: Samples
    test: Samples


def split_histories(histories: Histories, max_history: int | None = None) -> Split:
    """The split of `histories`: that of `parts`, where they carry a published one, else leave-one-out.

    Every event of a part but the first of its user is the target of one sample; its history is what stands before it,
    at most `max_history` items (default: all). `Dataset.split` is the usual way here.
    """
    if max_history is not None and max_history < 1:
        raise ValueError(f"max_history must be at least 1, got {max_history}")
    parts = parts_of(histories)
    begin, user = histories.offsets[:-1], histories.users
    has_history = np.arange(len(user)) > begin[user]

    def samples(part: int) -> Samples:
        target = np.flatnonzero((parts == part) & has_history)
        whole = Samples(histories.items, user[target], begin[user[target]].astype(np.int64), target)
        return whole if max_history is None else whole.newest(max_history)

    return Split(samples(TRAIN), samples(VALID), samples(TEST))


def leave_one_out(histories: Histories, max_history: int | None = None) -> Split:
    """Split every history s of length n: train on the prefixes of s[:n-2], validate on s[n-2], test on s[n-1].

    Training sample i = 1..n-3 predicts s[i] from the items before it, at most `max_history` of them (default: all, as
    each system cuts histories to what it reads); validation and test histories are cut in the same way. Users with
    fewer than 3 events give no validation and no test sample: all their events belong to training, so a user with
    exactly 2 events gives one training sample. A published split is not looked at: `Dataset.split` does that.

    >>> split = leave_one_out(Histories.from_lists([[1, 2, 3, 4, 5, 6, 7]]), max_history=3)
    >>> [(split.train.history(i).tolist(), int(split.train.targets[i])) for i in range(len(split.train))]
    [([1], 2), ([1, 2], 3), ([1, 2, 3], 4), ([2, 3, 4], 5)]
    """
    return split_histories(replace(histories, parts=None), max_history)


def parts_of(histories: Histories) -> NDArray[np.int8]:
    """The part of every event, `[nnz]`, as an index into `PARTS`: the published one, else that of leave-one-out."""
    if histories.parts is not None:
        return histories.parts
    parts = np.full(len(histories.items), TRAIN, np.int8)
    last = histories.offsets[1:][histories.lengths >= 3]
    parts[last - 2], parts[last - 1] = VALID, TEST
    return parts


def train_part(histories: Histories) -> Histories:
    """Each history without what is not for training: with leave-one-out, without its validation and test target.

    Users with fewer than 3 events keep all where no split was published.
    """
    return histories.take(parts_of(histories) == TRAIN)


def published_split(
    histories: Histories, parts: pl.Series, user_ids: pl.Series, file: Path | str
) -> tuple[Histories, str]:
    """The histories with the published split `parts` (names from `PARTS`, `[nnz]`), and a line about it for the card.

    A split that is leave-one-out all the same is not kept: such data equal those without one. Raises DataError for a
    name that is none, a split without training, validation or test targets, and one that puts an event into an earlier
    part than one before it of the same user: who reads what came before would learn from what is to be found.
    """
    if (unknown := ~parts.cast(pl.String).is_in(PARTS)).fill_null(True).any():
        name = parts.cast(pl.String).filter(unknown.fill_null(True))[0]
        what = f'"{name}" is no part of a split' if name else "an event belongs to no part of the split"
        raise DataError(what, file=file, field="split", fix=f"write one of {', '.join(PARTS)}, or drop the column")
    numbers = parts.cast(pl.Enum(PARTS)).to_physical().cast(pl.Int8).to_numpy()
    # Files of samples do not say what the first event of a user is for, where he has no sample in training.
    first = np.isin(np.arange(len(numbers)), histories.offsets[:-1]) & np.isin(numbers, (TRAIN, CONTEXT))
    if (first | (numbers == parts_of(replace(histories, parts=None)))).all():
        return histories, "the split in the files is leave-one-out"
    place = np.flatnonzero(numbers != CONTEXT)
    user = histories.users[place]
    fallen = np.flatnonzero((np.diff(numbers[place]) < 0) & (np.diff(user) == 0))
    if len(fallen):
        after, before = (PARTS[numbers[place[fallen[0] + step]]] for step in (1, 0))
        raise DataError(
            f"an event for {after} follows one for {before}: what is to be found would be read before",
            file=file,
            row=f'user "{user_ids[int(user[fallen[0]])]}"',
            field="split",
            fix="give a split that follows each user's order, or all events in one file without a split",
        )
    divided = replace(histories, parts=numbers)
    for part, samples in zip(PARTS, split_histories(divided), strict=False):
        if not len(samples):
            what = f"the split has no {part} event with a history"
            raise DataError(what, file=file, field="split", fix="add some, or give all events without a split")
    return divided, "the split is the one in the files"


def training_events(split: Split) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The user and the item of every event in a training sample, once each, `[E]` both, in order.

    After `leave_one_out` that is all but the last two events of each user. A user of whom only one event is left
    gives no sample, so that event does not count.
    """
    place, user = training_places(split.train)
    return user, split.train.items[place]


def training_places(train: Samples) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The places in the event array that are in a sample of `train`, rising, each once, and their users, `[E]` both."""
    edges = np.zeros(len(train.items) + 1, np.int64)
    np.add.at(edges, train.start, 1)
    np.add.at(edges, train.target + 1, -1)
    place = np.flatnonzero(np.cumsum(edges) > 0)
    # The user of an event is that of the next training target: a sample never spans two users.
    order = np.argsort(train.target, kind="stable")
    return place, train.user[order[np.searchsorted(train.target[order], place)]]


def seen_items(train: Samples, num_items: int) -> NDArray[np.bool_]:
    """Which items `[N]` have an event in a sample of `train`. The others are cold, and nothing is fitted to them."""
    seen = np.zeros(num_items, bool)
    seen[train.items[training_places(train)[0]]] = True
    return seen


def item_counts(split: Split, num_items: int) -> NDArray[np.int64]:
    """Training events of every item, `[N]`: its popularity. An item with none is cold."""
    return np.bincount(training_events(split)[1], minlength=num_items)
