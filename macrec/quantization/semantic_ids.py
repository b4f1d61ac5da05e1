"""Semantic IDs are data: a table of codes that any tokenizer can leave behind and everything after it reads."""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from macrec.data.dataset import number_of
from macrec.errors import DataError
from macrec.files import check_replaceable, replacing, write_json
from macrec.quantization.id_files import read_ids
from macrec.quantization.id_matching import match_items, numbering
from macrec.quantization.id_tokens import MOST_CODEWORDS, check_names

Codes = NDArray[np.int32]

SizesFrom = Literal["given", "recorded", "assumed"]


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """The semantic IDs of N items at L levels, immutable.

    `codes` `[N, L]` int32, 0-based inside the codebook of their level; `codebooks` `[L]` names the codebook that each
    level draws from (two levels may share one); `sizes` `[L]` how many codewords it has; `item_ids` `[N]` the items'
    own ids as text. `sizes_from` says where the sizes come from: they were "given", "recorded" in a file, or "assumed"
    from the largest code of each codebook. `groups` `[L]` names the table that each level is from where tables were
    joined, and is empty otherwise. Raises ValueError when these do not fit together.
    """

    codes: Codes
    codebooks: tuple[str, ...]
    sizes: tuple[int, ...]
    item_ids: pl.Series
    sizes_from: SizesFrom = "given"
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.int32:
            raise ValueError(f"codes must be [N, L] int32, got {self.codes.shape} {self.codes.dtype}")
        items, levels = self.codes.shape
        if not (len(self.codebooks) == len(self.sizes) == levels and len(self.item_ids) == items):
            raise ValueError(
                f"{items} items at {levels} levels need as many item_ids, codebooks and sizes; got "
                f"{len(self.item_ids)}, {len(self.codebooks)} and {len(self.sizes)}"
            )
        if len(self.groups) not in (0, levels):
            raise ValueError(f"{levels} levels need as many groups or none, got {len(self.groups)}")
        for name, size in zip(self.codebooks, self.sizes, strict=True):
            if not 0 < size <= MOST_CODEWORDS:
                raise ValueError(f"the codebook {name} has {size:,} codewords, and it may have 1 to {MOST_CODEWORDS:,}")
        outside = (self.codes < 0) | (self.codes >= np.array(self.sizes, np.int64))
        if outside.any():
            row, level = (int(place[0]) for place in np.nonzero(outside))
            raise ValueError(
                f"item {self.item_ids[row]} has code {self.codes[row, level]} at level {level}, whose codebook has "
                f"{self.sizes[level]} codewords"
            )
        self.codes.setflags(write=False)

    @classmethod
    def from_codes(
        cls,
        codes: ArrayLike,
        codebooks: tuple[str, ...] | None = None,
        sizes: tuple[int, ...] | None = None,
        item_ids: pl.Series | None = None,
    ) -> SemanticIds:
        """Wrap codes `[N, L]`; defaults: codebooks a, b, c …, the fewest codewords that will do, items 0 to N-1."""
        given = np.asarray(codes)
        if given.ndim != 2:
            raise ValueError(f"codes must be [N, L], got {given.shape}")
        if given.size and not (
            np.issubdtype(given.dtype, np.integer) and given.min() >= -(1 << 31) and given.max() < 1 << 31
        ):
            raise ValueError(f"codes must be whole numbers below {1 << 31:,}, got {given.dtype} up to {given.max()}")
        table: Codes = np.array(given, np.int32)  # a copy: the table must not change with its source
        if codebooks is None:
            codebooks = level_names(table.shape[1])
        sizes_from: SizesFrom = "given" if sizes is not None else "assumed"
        if sizes is None:
            fewest: dict[str, int] = {}  # levels that share a codebook share its size
            for name, largest in zip(codebooks, table.max(0, initial=0).tolist(), strict=False):
                fewest[name] = max(fewest.get(name, 0), largest + 1)
            sizes = tuple(fewest[name] for name in codebooks[: table.shape[1]])
        ids = numbering(len(table)) if item_ids is None else item_ids.cast(pl.String).rename("item_id")
        return cls(table, codebooks, sizes, ids, sizes_from)

    @classmethod
    def numbers(cls, item_ids: pl.Series) -> SemanticIds:
        """IDs of one code that is the item's row: what a model that knows items by number alone writes."""
        return cls.from_codes(np.arange(len(item_ids))[:, None], ("item",), (len(item_ids),), item_ids)

    @classmethod
    def join(cls, **tables: SemanticIds) -> SemanticIds:
        """The IDs of several tables of the same items side by side; codebooks keep their names.

        >>> text = SemanticIds.from_codes([[0, 3]], ("text_a", "text_b"), (4, 4))
        >>> joined = SemanticIds.join(text=text, image=SemanticIds.from_codes([[2]], ("image_a",), (4,)))
        >>> joined.codes.tolist(), joined.codebooks, joined.groups
        ([[0, 3, 2]], ('text_a', 'text_b', 'image_a'), ('text', 'text', 'image'))

        Raises ValueError for no table, and where the items are not the same in the same order.
        """
        first, *others = tables.values()
        if any(not first.item_ids.equals(other.item_ids) for other in others):
            raise ValueError("the tables must have the same items, got " + ", ".join(map(repr, tables.values())))
        return cls(
            np.concatenate([table.codes for table in tables.values()], axis=1),
            tuple(name for table in tables.values() for name in table.codebooks),
            tuple(size for table in tables.values() for size in table.sizes),
            first.item_ids,
            "assumed" if any(table.sizes_from == "assumed" for table in tables.values()) else "given",
            tuple(name for name, table in tables.items() for _ in table.sizes),
        )

    @property
    def num_levels(self) -> int:
        """L."""
        return len(self.sizes)

    def __len__(self) -> int:
        return len(self.codes)

    def __repr__(self) -> str:
        sizes = " × ".join(map(str, self.sizes))
        names = ", ".join(self.codebooks)
        return f"SemanticIds: {len(self):,} items, {self.num_levels} levels ({names}; {sizes} codewords)"

    def of_items(self, item_ids: pl.Series) -> SemanticIds:
        """The IDs of the items of a catalog, row by row: `match_items` says how they are found.

        Raises DataError for an item that has no ID here, or two.
        """
        if (twice := self.item_ids.is_duplicated()).any():
            raise DataError(f"the item {self.item_ids.filter(twice)[0]} has two IDs", fix="keep one row per item")
        names = match_items(self.item_ids, item_ids).names
        rows = number_of(names, self.item_ids.to_frame("id").with_row_index("row"))
        if (missing := rows.is_null()).any():
            what = f"{int(missing.sum()):,} items have no ID, such as {item_ids.filter(missing)[0]}"
            raise DataError(what, field="item_id", fix="give IDs for every item of the catalog")
        wanted = item_ids.cast(pl.String).rename("item_id")
        return replace(self, codes=self.codes[rows.to_numpy()], item_ids=wanted)

    def numbered(self) -> SemanticIds:
        """The same IDs with items numbered 0 to N-1: the keys that the code of LC-Rec and related papers uses."""
        return replace(self, item_ids=numbering(len(self)))

    def prefix_groups(self) -> NDArray[np.int64]:
        """Which items share the first l + 1 codes: group numbers `[N, L]`, 0-based per depth, in lexical order."""
        groups = np.empty(self.codes.shape, np.int64)
        before = np.zeros(len(self), np.int64)
        for level, size in enumerate(self.sizes):
            # The group before and one more code fit in 64 bits whatever the number of levels.
            _, before = np.unique(before * size + self.codes[:, level], return_inverse=True)
            groups[:, level] = before
        return groups

    def save(self, path: Path | str) -> None:
        """Write to `.parquet` (everything), or `.json` (`to_json`: all but the sizes of the codebooks).

        `load_semantic_ids` gives back what was written (from `.json` without groups). Raises DataError for another
        ending, for an item that comes twice, for a codebook whose name is not made of letters, digits and single
        underscores, and where a file of this name is there that holds anything but semantic IDs.
        """
        path = Path(path)
        if path.suffix not in (".json", ".parquet"):
            raise DataError("the ending is neither .parquet nor .json", file=path, fix="choose one of them")
        if (twice := self.item_ids.is_duplicated()).any():
            row = f'item "{self.item_ids.filter(twice)[0]}"'
            raise DataError("the item has two IDs", file=path, row=row, fix="keep one row per item")
        check_names(self.codebooks, path)
        check_replaceable(path, ours=holds_ids)
        if path.suffix == ".json":
            write_json(path, self.to_json())
            return
        table = pl.DataFrame({"item_id": self.item_ids, "codes": pl.Series(self.codes).arr.to_list()})
        about = {"codebooks": json.dumps(self.codebooks)}
        if self.sizes_from != "assumed":  # assumed sizes are not recorded
            about["sizes"] = json.dumps(self.sizes)
        if self.groups:
            about["groups"] = json.dumps(self.groups)
        with replacing(path) as temporary:
            table.write_parquet(temporary, metadata=about)

    def to_json(self) -> dict[str, list[str]]:
        """{"B004": ["<a_183>", "<b_70>", …], …}: id of the item → one token per level, named by its codebook.

        For items called 0 to N-1 (`numbered`) it is what LC-Rec, LETTER, MQL4GRec and MiniOneRec write and read.
        """
        columns = [
            [f"<{name}_{code}>" for code in column] for name, column in zip(self.codebooks, self.codes.T, strict=True)
        ]
        return {item: list(tokens) for item, tokens in zip(self.item_ids, zip(*columns, strict=True), strict=True)}


def common_rows(first: SemanticIds, second: SemanticIds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows `[n]` in either table of the items that both have, in the order of the first."""
    keys = second.item_ids.to_frame("id").with_row_index("row")
    rows = number_of(first.item_ids, keys)
    both = rows.is_not_null()
    return both.arg_true().cast(pl.Int64).to_numpy(), rows.filter(both).cast(pl.Int64).to_numpy()


def holds_ids(file: Path) -> bool:
    """Whether a file contains semantic IDs, so that another may replace it."""
    if file.suffix == ".json":
        with file.open("rb") as stream:
            return re.match(rb'\s*\{\s*("(?:[^"\\]|\\.)*"\s*:\s*\[\s*"<|\})', stream.read(1000)) is not None
    try:
        return "codes" in pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError):
        return False


def level_names(levels: int) -> tuple[str, ...]:
    """The letters that published IDs name their levels by: a, b, … z; from the 27th level on aa, ab, …"""
    letters = string.ascii_lowercase
    return tuple((letters[level // 26 - 1] if level >= 26 else "") + letters[level % 26] for level in range(levels))


def load_semantic_ids(path: Path | str, size: int | None = None) -> SemanticIds:
    """Read semantic IDs from a file, in its order.

    `.parquet`: a column `codes` and optional `item_id`, `item_idx` (the order; the ids where there are no others), with
    names and sizes of the codebooks in its metadata. `.json`: item → tokens, as `SemanticIds.to_json`. `.jsonl`, `.csv`
    and `.tsv`: `item_id` and `codes`, or one column per level; these texts may be packed (`.gz`). `.npy`: an array
    `[N, L]`. Codes are tokens or numbers, in a list or in one text. Items without ids are called 0 to N-1.

    `size` is how many codewords each level's codebook has, where the file does not say; by default the fewest that hold
    the codes (see `sizes_from`). Raises DataError for whatever `read_ids` refuses, and for sizes that do not hold the
    codes.
    """
    path = Path(path)
    content = read_ids(path)
    sizes = content.sizes or (None if size is None else (size,) * content.codes.shape[1])
    try:
        ids = SemanticIds.from_codes(content.codes, content.names, sizes, content.ids)
    except ValueError as error:
        fix = "correct the metadata of the file" if content.sizes else "give a size that holds all codes"
        raise DataError(str(error), file=path, field="sizes", fix=fix) from error
    return replace(ids, sizes_from="recorded" if content.sizes else ids.sizes_from, groups=content.groups or ())
