"""Semantic IDs are data: a table of codes that any tokenizer can leave behind and everything after it reads."""

from __future__ import annotations

import codecs
import json
import re
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from macrec.data.dataset import first_true
from macrec.data.reading import existing_file, parse_json
from macrec.errors import DataError
from macrec.files import check_replaceable, replacing, write_json

Codes = NDArray[np.int32]

TOKEN = re.compile(r"<([A-Za-z]+(?:_[A-Za-z]+)*)_(\d+)>")


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """The semantic IDs of N items at L levels: immutable, whoever made them.

    `codes` `[N, L]` int32, 0-based inside the codebook of their level; `codebooks` `[L]` names the codebook that each
    level draws from (two levels may share one); `sizes` `[L]` how many codewords it has; `item_ids` `[N]` the items'
    own ids as text. Raises ValueError when these do not fit together.
    """

    codes: Codes
    codebooks: tuple[str, ...]
    sizes: tuple[int, ...]
    item_ids: pl.Series

    def __post_init__(self) -> None:
        if self.codes.ndim != 2 or self.codes.dtype != np.int32:
            raise ValueError(f"codes must be [N, L] int32, got {self.codes.shape} {self.codes.dtype}")
        items, levels = self.codes.shape
        if not (len(self.codebooks) == len(self.sizes) == levels and len(self.item_ids) == items):
            raise ValueError(
                f"{items} items at {levels} levels need as many item_ids, codebooks and sizes; got "
                f"{len(self.item_ids)}, {len(self.codebooks)} and {len(self.sizes)}"
            )
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
        codes: NDArray[np.integer],
        codebooks: tuple[str, ...] | None = None,
        sizes: tuple[int, ...] | None = None,
        item_ids: pl.Series | None = None,
    ) -> SemanticIds:
        """Wrap codes `[N, L]`; defaults: codebooks a, b, c …, the fewest codewords that will do, items 0 to N-1."""
        table: Codes = np.array(codes, np.int32)  # a copy: the table must not change with its source
        if table.ndim != 2:
            raise ValueError(f"codes must be [N, L], got {table.shape}")
        if codebooks is None:
            codebooks = level_names(table.shape[1])
        if sizes is None:
            sizes = tuple(int(size) for size in table.max(0, initial=0) + 1)
        if item_ids is None:
            item_ids = pl.int_range(len(table), eager=True).cast(pl.String)
        return cls(table, codebooks, sizes, item_ids.rename("item_id"))

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
        """The rows of these items, in this order. Raises DataError for an item that has no ID here, or two."""
        if (twice := self.item_ids.is_duplicated()).any():
            raise DataError(f"the item {self.item_ids.filter(twice)[0]} has two IDs", fix="keep one row per item")
        wanted = pl.DataFrame({"item_id": item_ids.cast(pl.String)})
        own = pl.DataFrame({"item_id": self.item_ids, "row": np.arange(len(self))})
        rows = wanted.join(own, on="item_id", how="left", maintain_order="left")["row"]
        if (missing := rows.is_null()).any():
            what = f"{int(missing.sum()):,} items have no ID, such as {item_ids.filter(missing)[0]}"
            raise DataError(what, field="item_id", fix="give IDs for every item of the catalog")
        return SemanticIds(self.codes[rows.to_numpy()], self.codebooks, self.sizes, wanted["item_id"])

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
        """Write to `.parquet` (everything) or `.json` (like LC-Rec, LETTER, MQL4GRec and MiniOneRec: `to_json`).

        Raises DataError where a file of this name is there that holds anything but semantic IDs.
        """
        path = Path(path)
        check_replaceable(path, ours=holds_ids)
        if path.suffix == ".json":
            write_json(path, self.to_json())
            return
        if path.suffix != ".parquet":
            raise DataError("the ending is neither .parquet nor .json", file=path, fix="choose one of them")
        table = pl.DataFrame({"item_id": self.item_ids, "codes": pl.Series(self.codes).arr.to_list()})
        about = {"codebooks": json.dumps(self.codebooks), "sizes": json.dumps(self.sizes)}
        with replacing(path) as temporary:
            table.write_parquet(temporary, metadata=about)

    def to_json(self) -> dict[str, list[str]]:
        """{"0": ["<a_183>", "<b_70>", …], …}: row of the item → one token per level, named by its codebook.

        The format keeps neither item ids nor codebook sizes.
        """
        columns = [
            [f"<{name}_{code}>" for code in column] for name, column in zip(self.codebooks, self.codes.T, strict=True)
        ]
        return {str(row): list(tokens) for row, tokens in enumerate(zip(*columns, strict=True))}


def holds_ids(file: Path) -> bool:
    """Whether a file looks like a table of semantic IDs, so that another may take its place."""
    if file.suffix == ".json":
        with file.open("rb") as stream:
            return re.match(rb'\s*\{\s*("[^"]*"\s*:\s*\[\s*"<|\})', stream.read(1000)) is not None
    try:
        return "codes" in pl.read_parquet_schema(file)
    except (OSError, pl.exceptions.PolarsError):
        return False


def level_names(levels: int) -> tuple[str, ...]:
    """The letters that published IDs name their levels by: a, b, … z; from the 27th level on aa, ab, …"""
    letters = string.ascii_lowercase
    return tuple((letters[level // 26 - 1] if level >= 26 else "") + letters[level % 26] for level in range(levels))


def load_semantic_ids(path: Path | str, size: int | None = None) -> SemanticIds:
    """Read semantic IDs from `.parquet` (a list column `codes`, optional `item_id`, `item_idx`) or `.json` (`to_json`).

    `size` is how many codewords each level's codebook has, where the file does not say; by default the fewest that hold
    the codes. Raises DataError for a file that does not read, items with different numbers of codes, gaps in the
    numbering, codes that are no whole numbers from 0 up, and a size that the codes exceed.
    """
    path = existing_file(Path(path))
    found = read_json_ids(path) if path.suffix == ".json" else read_parquet_ids(path)
    if size is None:
        return found
    try:
        return SemanticIds(found.codes, found.codebooks, (size,) * found.num_levels, found.item_ids)
    except ValueError as error:
        raise DataError(str(error), file=path, fix="give a size that holds all codes") from error


def read_parquet_ids(path: Path) -> SemanticIds:
    """IDs from a parquet file, in the order of `item_idx` if it is there."""
    try:
        table = pl.read_parquet(path)
        about = pl.read_parquet_metadata(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"the file is not readable as parquet ({str(error).splitlines()[0]})", file=path, fix="fetch it again"
        ) from error
    if "codes" not in table.columns:
        found = ", ".join(table.columns)
        raise DataError("the column is missing", file=path, field="codes", fix=f"add it (found: {found})")
    kind = table.schema["codes"]
    if not (isinstance(kind, pl.List | pl.Array) and kind.inner is not None and kind.inner.is_integer()):
        raise DataError(
            f"the column holds {kind}", file=path, field="codes", fix="give a list of whole numbers per item"
        )
    if "item_idx" in table.columns:
        table = table.sort("item_idx")
    ids = table["item_id"].cast(pl.String) if "item_id" in table.columns else None
    if ids is not None and ids.null_count():
        ids = None
    codes = matrix(table["codes"].cast(pl.List(pl.Int64)), path)
    names = tuple(json.loads(about["codebooks"])) if "codebooks" in about else None
    sizes = tuple(json.loads(about["sizes"])) if "sizes" in about else None
    return SemanticIds.from_codes(codes, names, sizes, ids)


def read_json_ids(path: Path) -> SemanticIds:
    """IDs from the json of LC-Rec, LETTER, MQL4GRec and MiniOneRec."""
    try:
        table = parse_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except ValueError as error:
        raise DataError(f"the file is not JSON ({error})", file=path, fix="correct it or fetch it again") from error
    if not isinstance(table, dict) or not table:
        raise DataError(
            "the file is not an object of item → tokens", file=path, fix='write {"0": ["<a_1>", "<b_2>"], …}'
        )
    for key, tokens in table.items():
        if not isinstance(tokens, list) or not all(
            isinstance(token, str) and TOKEN.fullmatch(token) for token in tokens
        ):
            raise DataError(
                f"{str(tokens)[:60]} is no list of tokens", file=path, row=f'item "{key}"', fix="write <a_1>"
            )
    rows = pl.Series([int(key) if key.isascii() and key.isdecimal() else -1 for key in table])
    order = rows.arg_sort()
    if not rows.gather(order).equals(pl.int_range(len(rows), eager=True)):
        raise DataError(
            f"the items are not numbered from 0 to {len(rows) - 1}", file=path, fix="number them without gaps"
        )
    tokens = pl.Series(list(table.values()), dtype=pl.List(pl.String)).gather(order)
    names = tokens.list.eval(pl.element().str.extract(TOKEN.pattern, 1))
    codes = tokens.list.eval(pl.element().str.extract(TOKEN.pattern, 2).cast(pl.Int64, strict=False))
    values = matrix(codes, path)
    spelled = names.list.join(" ")
    differing = spelled != spelled[0]
    if differing.any():
        row = first_true(differing)
        raise DataError(
            f"the levels are called {spelled[row]} here and {spelled[0]} elsewhere",
            file=path,
            row=f'item "{row}"',
            fix="name every level by one letter",
        )
    return SemanticIds.from_codes(values, tuple(names[0]))


def matrix(codes: pl.Series, path: Path) -> NDArray[np.int64]:
    """A list column as `[N, L]`. Raises DataError for items of different length and for codes that cannot be such."""
    if len(codes) == 0 or codes.list.len()[0] in (None, 0):
        raise DataError("there are no codes", file=path, field="codes", fix="give every item at least one")
    lengths = codes.list.len()
    odd = (lengths != lengths[0]).fill_null(True)
    if odd.any():
        row = first_true(odd)
        what = f"the item has {lengths[row] or 0} codes where the first has {lengths[0]}"
        raise DataError(what, file=path, row=row + 1, field="codes", fix="give every item one code per level")
    flat = codes.explode(empty_as_null=False)
    bad = (flat < 0).fill_null(True) | (flat >= 2**31)
    if bad.any():
        row = first_true(bad) // int(lengths[0])
        raise DataError(
            "a code is missing, negative or too large", file=path, row=row + 1, field="codes", fix="correct it"
        )
    return flat.to_numpy().reshape(len(codes), -1)
