"""A toy encoder in one file: how often each letter stands in the title."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrec.data import Dataset
from macrec.encoders.kind import EncoderKind

ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class LettersEncoder:
    """Counts of `letters` in the title, `[N, len(letters)]`."""

    letters: str = ALPHABET
    name: str = "letters"
    modality: str = "text"

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that changes the vectors."""
        return {"letters": self.letters}

    def prepare(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def present(self, dataset: Dataset) -> NDArray[np.bool_]:
        """Items with a title, `[N]`."""
        return (dataset.items["title"] != "").to_numpy()

    def cost(self, dataset: Dataset) -> NDArray[np.integer]:
        """Equal for all items, `[N]`."""
        return np.ones(dataset.num_items, np.int32)

    def encode(self, dataset: Dataset, rows: NDArray[np.integer]) -> NDArray[np.float32]:
        """The counts of these items, `[n, len(letters)]`."""
        titles = [dataset.items["title"][int(row)].lower() for row in rows]
        return np.array([[title.count(letter) for letter in self.letters] for title in titles], np.float32)


ENCODER = EncoderKind(
    name="letters",
    form="letters[:<letters>]",
    modality="text",
    make=lambda rest, **settings: LettersEncoder(rest or ALPHABET, **settings),
    remark="a toy",
)
