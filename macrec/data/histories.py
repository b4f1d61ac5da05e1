"""The histories of all users, in order: one flat array of items and the offsets where each user begins (CSR)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

PARTS = ("train", "valid", "test", "context")
"""The parts of a published split. Context is read as history and never predicted, nor learned from."""
TRAIN, VALID, TEST, CONTEXT = range(4)

Column = TypeVar("Column", NDArray[np.int64] | None, NDArray[np.int8] | None)


@dataclass(frozen=True, eq=False)
class Histories:
    """The chronological item sequences of U users, `nnz` events in all.

    `offsets` `[U+1]` int64, `items` `[nnz]` int32 rows of the item table; optional, aligned with `items`:
    `timestamps` `[nnz]` int64 seconds since 1970 UTC, `behaviors` `[nnz]` int8 indices into `behavior_names`, and
    `parts` `[nnz]` int8 indices into `PARTS`: a published split, which stands in the place of leave-one-out.
    User u's history is `items[offsets[u]:offsets[u + 1]]`, oldest first.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int32]
    timestamps: NDArray[np.int64] | None = None
    behaviors: NDArray[np.int8] | None = None
    behavior_names: tuple[str, ...] = ()
    parts: NDArray[np.int8] | None = None

    def __post_init__(self) -> None:
        if self.offsets.dtype != np.int64 or self.items.dtype != np.int32:
            raise TypeError(f"offsets must be int64 and items int32, got {self.offsets.dtype} and {self.items.dtype}")
        if self.offsets[0] != 0 or self.offsets[-1] != len(self.items) or (np.diff(self.offsets) < 0).any():
            raise ValueError("offsets must rise from 0 to the number of events")
        for name in ("timestamps", "behaviors", "parts"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.items):
                raise ValueError(f"{name} has {len(column)} entries for {len(self.items)} events")

    @classmethod
    def from_lists(cls, sequences: list[list[int]]) -> Histories:
        """Build from one list of item rows per user.

        >>> Histories.from_lists([[4, 2], [7]]).offsets.tolist()
        [0, 2, 3]
        """
        offsets = np.zeros(len(sequences) + 1, np.int64)
        np.cumsum([len(sequence) for sequence in sequences], out=offsets[1:])
        return cls(offsets, np.array([item for sequence in sequences for item in sequence], np.int32))

    def take(self, kept: NDArray[np.bool_], users: NDArray[np.integer] | None = None) -> Histories:
        """The events where the mask `kept` `[nnz]` holds; only those of `users` (rising numbers), where given.

        >>> whole = Histories.from_lists([[4, 2], [7], [5, 6]])
        >>> [history.tolist() for history in whole.take(whole.items != 6, np.array([0, 2]))]
        [[4, 2], [5]]
        """
        user = self.users
        chosen = np.arange(len(self)) if users is None else users
        kept = kept if users is None else kept & np.isin(user, users)
        offsets = np.zeros(len(chosen) + 1, np.int64)
        np.cumsum(np.bincount(user[kept], minlength=len(self))[chosen], out=offsets[1:])

        def part(column: Column) -> Column:
            return None if column is None else column[kept]

        return Histories(
            offsets,
            self.items[kept],
            part(self.timestamps),
            part(self.behaviors),
            self.behavior_names,
            part(self.parts),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, user: int) -> NDArray[np.int32]:
        """The items of one user, oldest first: a view `[n]`."""
        if not 0 <= user < len(self):
            raise IndexError(f"user {user} of {len(self)}")
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def __iter__(self) -> Iterator[NDArray[np.int32]]:
        return (self[user] for user in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events per user, `[U]`."""
        return np.diff(self.offsets)

    @property
    def users(self) -> NDArray[np.int32]:
        """The user of every event, `[nnz]`."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def counts(self, num_items: int) -> NDArray[np.int64]:
        """Events per item, `[num_items]`."""
        return np.bincount(self.items, minlength=num_items)
