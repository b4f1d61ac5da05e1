"""The semantic IDs of generative systems: given, or learned from embeddings."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from macrec.data.dataset import Dataset
from macrec.data.split import Split
from macrec.encoders import Embeddings
from macrec.encoders.embeddings import of_seen_items
from macrec.evaluation.system import learned
from macrec.quantization.conflicts import ConflictReport
from macrec.quantization.id_matching import match_items
from macrec.quantization.semantic_ids import SemanticIds
from macrec.terms import codebook_prefix
from macrec.tokenizers.kinds import open_tokenizer
from macrec.tokenizers.settings import CodebookSettings
from macrec.tokenizers.tokenizer import Tokenizer
from macrec.training import Event

Leaves = tuple[SemanticIds, ConflictReport]
"""IDs before conflicts are resolved, and what that took: what `macrec.quantization.leaves` shows."""


class Ids(Protocol):
    """Where a generative system has its semantic IDs from."""

    def learn(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Learn them, if they are learned: of the items, or of the training histories of `split`."""

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """One ID per modality and item of the catalog, in the order of the item table."""

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """What is known of the IDs of each modality before conflicts were resolved; nothing of given ones."""

    def known(self, data: Dataset, split: Split) -> bool:
        """Whether `learn` has nothing left to learn."""


@dataclass(frozen=True)
class GivenIds:
    """Given IDs: tables by modality, in any order and with further items.

    Each modality has tokens of its own, also where the tables call their codebooks by the same names.
    """

    ids: Mapping[str, SemanticIds]

    def learn(self, data: Dataset, split: Split) -> Iterator[Event]:
        """Nothing."""
        return iter(())

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """The rows of the catalog's items. Raises DataError for an item without an ID."""
        tables = {}
        for modality, table in self.ids.items():
            prefix = codebook_prefix(modality)
            names = tuple(f"{prefix}_{name.removeprefix(f'{prefix}_')}" for name in table.codebooks)
            tables[modality] = replace(table.of_items(data.items["item_id"]), codebooks=names)
        return tables

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """Nothing."""
        return {}

    def known(self, data: Dataset, split: Split) -> bool:
        """Always."""
        return True

    def matched(self, data: Dataset) -> list[str]:
        """How the items of every table are found among those of the catalog, a sentence each."""
        matches = {name: match_items(table.item_ids, data.items["item_id"]) for name, table in self.ids.items()}
        return [f"{name} IDs: {matching.sentence}" for name, matching in matches.items()]


class LearnedIds:
    """IDs that a tokenizer learns over embeddings, kept in `folder`; those of `modalities` (default: of all).

    Codebooks of several modalities may so serve systems that use one. They are learned from the items with training
    events; the others get the nearest codewords, and where that is a conflict they make way.
    """

    def __init__(
        self,
        folder: Path,
        embeddings: Mapping[str, Embeddings],
        settings: CodebookSettings,
        modalities: tuple[str, ...] = (),
    ) -> None:
        self.folder, self.embeddings, self.settings, self.modalities = folder, embeddings, settings, modalities
        self._tokenizer: Tokenizer | None = None
        self._split: Split | None = None

    def tokenizer(self, data: Dataset, split: Split) -> Tokenizer:
        """The tokenizer for `data`, over the items with training events: what it learned lies in `folder`."""
        return open_tokenizer(self.folder, data, of_seen_items(self.embeddings, split), self.settings)

    def learn(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """The training of the tokenizer."""
        self._tokenizer, self._split = self.tokenizer(data, split), split
        yield from self._tokenizer.events()

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """The resolved IDs of the codebooks as they are; when nothing was learned for `split` yet, it is now."""
        resolved = self._learned(data, split).resolved(absent=True, split=split)[0]
        return {name: resolved[name] for name in self.modalities or resolved}

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """The IDs of all items before conflicts are resolved, by modality, and what that took."""
        tokenizer = self._learned(data, split)
        ids, reports = tokenizer.ids(absent=True), tokenizer.resolved(absent=True, split=split)[1]
        return {name: (ids[name], reports[name]) for name in self.modalities or ids}

    def _learned(self, data: Dataset, split: Split) -> Tokenizer:
        if self._tokenizer is None or self._tokenizer.data is not data or self._split is not split:
            for _ in self.learn(data, split):
                pass
        return learned(self._tokenizer, "LearnedIds")

    def known(self, data: Dataset, split: Split) -> bool:
        """Whether the tokenizer was trained to its end before."""
        return self.tokenizer(data, split).checkpoint.finished()


@dataclass(frozen=True)
class JoinedIds:
    """IDs of different origins: those of some modalities are given, say, and those of others learned."""

    parts: tuple[Ids, ...]

    def learn(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """Every part, one after the other."""
        for part in self.parts:
            yield from part.learn(data, split)

    def tables(self, data: Dataset, split: Split) -> dict[str, SemanticIds]:
        """The tables of all parts, in their order."""
        return {name: table for part in self.parts for name, table in part.tables(data, split).items()}

    def leaves(self, data: Dataset, split: Split) -> dict[str, Leaves]:
        """Those of all parts, in their order."""
        return {name: found for part in self.parts for name, found in part.leaves(data, split).items()}

    def known(self, data: Dataset, split: Split) -> bool:
        """Whether all of them are known."""
        return all(part.known(data, split) for part in self.parts)
