"""How healthy semantic IDs are: conflicts, how codebooks are used, how prefixes branch, what two tables share."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from macrec.quantization.semantic_ids import SemanticIds, SizesFrom

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class LevelHealth:
    """How one level uses its codebook of `size` codewords.

    `used` codewords occur (`utilization` as a share, the others are dead); `entropy` of the code frequencies in bits,
    `perplexity` 2 to its power: so many codewords, used evenly, would carry as much; `gini` 0 when all codewords are
    used alike, near 1 when few take all; `max_load` items have the most common code. `prefixes` distinct prefixes end
    here, and the most crowded one holds `max_items` items.
    """

    codebook: str
    size: int
    used: int
    utilization: float
    entropy: float
    perplexity: float
    gini: float
    max_load: int
    prefixes: int
    max_items: int

    @property
    def dead_codes(self) -> int:
        """Codewords that no item has."""
        return self.size - self.used


@dataclass(frozen=True)
class CodebookHealth:
    """The state of N semantic IDs (specification, section 4.1).

    `conflict_rate` (N - distinct IDs) / N, as in the LETTER, MQL4GRec and MACRec trainers; `conflict_items` the share
    of items whose ID is shared; `largest_group` items with one ID; `conflict_pairs` pairs of items with one ID;
    `duplicate_floor` the conflict rate that exact duplicates among the inputs force (None when not asked for);
    `sizes_from` where the sizes of the codebooks, and so utilization and Gini, come from.
    """

    items: int
    distinct: int
    conflict_rate: float
    conflict_items: float
    largest_group: int
    conflict_pairs: int
    duplicate_floor: float | None
    levels: tuple[LevelHealth, ...]
    sizes_from: SizesFrom

    @property
    def alone(self) -> float:
        """The share of items with an ID of their own."""
        return 1.0 - self.conflict_items

    @property
    def mean_group(self) -> float:
        """Items per ID, the mean over the IDs that occur."""
        return self.items / self.distinct

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, ready for json.dump."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"{self.items:,} items, {self.distinct:,} distinct IDs",
            f"conflict rate {self.conflict_rate:.4%}, {self.conflict_items:.4%} of items involved, "
            f"{self.conflict_pairs:,} pairs, largest group {self.largest_group}",
            f"{self.alone:.4%} of the items have an ID of their own; {self.mean_group:.4f} items per ID on average",
            "",
            "level  codebook   used / size   utilization  perplexity  entropy (bits)   gini  max load  prefixes"
            "  crowded",
        ]
        if self.duplicate_floor is not None:
            lines.insert(3, f"exact duplicates among the inputs force a conflict rate of {self.duplicate_floor:.4%}")
        for number, level in enumerate(self.levels):
            lines.append(
                f"{number:5}  {level.codebook:8} {level.used:6,} / {level.size:<6,} {level.utilization:11.1%} "
                f"{level.perplexity:11.2f} {level.entropy:15.4f} {level.gini:6.3f} {level.max_load:9,} "
                f"{level.prefixes:9,} {level.max_items:8,}"
            )
        return "\n".join([*lines, "", about_sizes(self.sizes_from)])


def about_sizes(sizes_from: SizesFrom) -> str:
    """A sentence on where the sizes of the codebooks come from."""
    return {
        "assumed": "The sizes of the codebooks are assumed from the largest code of each; give --size where they are "
        "larger: unused codewords, utilization and gini depend on it.",
        "recorded": "The sizes of the codebooks are those that the file records.",
        "given": "The sizes of the codebooks are as given.",
    }[sizes_from]


def codebook_health(ids: SemanticIds, inputs: NDArray[np.floating] | None = None) -> CodebookHealth:
    """Measure semantic IDs; with `inputs` `[N, d]`, the vectors they were made from, also the duplicate floor."""
    groups = ids.prefix_groups()
    sizes = np.bincount(groups[:, -1])
    levels = tuple(
        level_health(ids.codebooks[level], size, np.unique_counts(ids.codes[:, level]).counts, groups[:, level])
        for level, size in enumerate(ids.sizes)
    )
    items = len(ids)
    return CodebookHealth(
        items=items,
        distinct=len(sizes),
        conflict_rate=(items - len(sizes)) / items,
        conflict_items=float(sizes[sizes > 1].sum() / items),
        largest_group=int(sizes.max()),
        conflict_pairs=int((sizes * (sizes - 1) // 2).sum()),
        duplicate_floor=None if inputs is None else (items - len(np.unique(inputs, axis=0))) / items,
        levels=levels,
        sizes_from=ids.sizes_from,
    )


def conflict_groups(ids: SemanticIds) -> list[Ints]:
    """The rows of the items of every ID that several items share, the largest group first, then in lexical order."""
    group = ids.prefix_groups()[:, -1]
    sizes = np.bincount(group)
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(sizes)
    shared = np.flatnonzero(sizes > 1)
    largest = shared[np.argsort(-sizes[shared], kind="stable")]
    return [order[ends[g] - sizes[g] : ends[g]] for g in largest]


def level_health(codebook: str, size: int, counts: NDArray[np.int64], groups: NDArray[np.int64]) -> LevelHealth:
    """One level from the counts of the codewords that occur, in a codebook of `size`, and the prefix groups `[N]`.

    Memory goes with the items, not with the codebook.
    """
    entropy = entropy_bits(counts)
    loads = np.bincount(groups)
    return LevelHealth(
        codebook=codebook,
        size=size,
        used=len(counts),
        utilization=len(counts) / size,
        entropy=entropy,
        perplexity=float(2**entropy),
        gini=gini(counts, size),
        max_load=int(counts.max()),
        prefixes=len(loads),
        max_items=int(loads.max()),
    )


def entropy_bits(counts: NDArray[np.integer]) -> float:
    """Entropy of the shares of `counts` in bits.

    >>> entropy_bits(np.array([4, 2, 1, 1, 0, 0, 0, 0]))
    1.75
    """
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum() + 0.0)  # + 0.0: no minus before a zero


def gini(counts: NDArray[np.integer], size: int | None = None) -> float:
    """The Gini coefficient: 0 when all counts are equal, (K - 1) / K when one has everything.

    K is `size`, where further codewords have no items, or else the number of counts.

    >>> gini(np.array([0, 0, 0, 8])), gini(np.array([8]), 4)
    (0.75, 0.75)
    """
    ordered = np.sort(counts).astype(np.float64)
    k = len(ordered) if size is None else size
    place = np.arange(k - len(ordered) + 1, k + 1)  # from the poorest, 1, to the richest, K
    return float((2 * place - k - 1) @ ordered / (k * ordered.sum()))


def mutual_information(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Mutual information of two labelings `[N]` of the same items, in nats: 0 when they are independent.

    With the codes of a level and the pseudo-labels of the *other* modality it measures what cross-modal terms are for.
    It is the plain estimate, whose bias is about (cells - rows - columns + 1) / 2N upwards.
    """
    _, row = np.unique(first, return_inverse=True)
    _, column = np.unique(second, return_inverse=True)
    joint, counts = np.unique(row.astype(np.int64) * (column.max() + 1) + column, return_counts=True)
    share = counts / counts.sum()
    of_row, of_column = np.bincount(row) / len(row), np.bincount(column) / len(column)
    independent = of_row[joint // (column.max() + 1)] * of_column[joint % (column.max() + 1)]
    return max(0.0, float((share * np.log(share / independent)).sum()))


def normalized_information(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Mutual information of two labelings `[N]` over the mean of their entropies: 0 unrelated, 1 the same partition.

    Two labelings of one label each count as the same.
    """
    entropies = math.log(2) * sum(entropy_bits(np.unique_counts(codes).counts) for codes in (first, second))
    return 1.0 if entropies == 0 else 2 * mutual_information(first, second) / entropies


def joint_counts(
    first: NDArray[np.integer], second: NDArray[np.integer], most: int
) -> tuple[Ints, list[int], list[int]]:
    """Items per pair of codes `[A, B]`, and the codes of its rows and columns.

    Rows: the `most` used codes of `first`, most used first. Columns: the `most` used of `second`, ordered by the row
    that they go with most, then by how much: (joint - expected) / sqrt(expected) where rows and columns were unrelated.
    """
    used, kept = [], []
    for codes in (first, second):
        values, at, counts = np.unique(codes, return_inverse=True, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:most]
        used.append(values[order])
        place = np.full(len(counts), -1, np.int64)
        place[order] = np.arange(len(order))
        kept.append(place[at])
    both = (kept[0] >= 0) & (kept[1] >= 0)
    shape = (len(used[0]), len(used[1]))
    joint = np.bincount(kept[0][both] * shape[1] + kept[1][both], minlength=shape[0] * shape[1]).reshape(shape)
    expected = np.outer(joint.sum(1), joint.sum(0)) / max(int(joint.sum()), 1)
    together = (joint - expected) / np.sqrt(np.maximum(expected, 1e-12))
    columns = np.lexsort((-together.max(0), together.argmax(0)))
    return joint[:, columns], used[0].tolist(), used[1][columns].tolist()
