"""From codes that items may share to one ID per item: what the parameter `conflicts` chooses among.

- "least": items that share an ID move to free ones, each where it adds the least distortion (`resolve_conflicts`).
- "hungarian": the same, but within a bucket of equal first codes at the least total distortion.
- "digit": no item moves; a further code counts the items of each ID, best reconstructed first, as in TIGER.
- "rank": no item moves; a further code ranks the items of each ID by popularity, as in MMGRec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.conflicts import Codes, ConflictReport, checked, errors, resolve_conflicts
from macrec.quantization.semantic_ids import SemanticIds

Policy = Literal["least", "hungarian", "digit", "rank"]


def check_policy(policy: str) -> None:
    """Raise DataError for the name of no policy."""
    if policy not in get_args(Policy):
        fix = f"choose one of {', '.join(get_args(Policy))}"
        raise DataError(f'there is no way "{policy}" to resolve conflicts', field="conflicts", fix=fix)


def unique_ids(
    ids: SemanticIds,
    vectors: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    policy: str = "least",
    priority: NDArray[np.number] | None = None,
    extra: str = "count",
) -> tuple[SemanticIds, ConflictReport]:
    """One ID per item, and what that took.

    `vectors` `[N, d]` are what was quantized and `codebooks` one `[K_l, d]` per level, whose codewords sum to the
    decoded vector. "rank" needs `priority` `[N]`, such as training events. A further code, which "least" and
    "hungarian" add only where there are more items than IDs, has a codebook called `extra`. Raises DataError for an
    unknown policy and for arrays that do not fit each other.
    """
    check_policy(policy)
    if policy in ("least", "hungarian"):
        mode: Literal["greedy", "hungarian"] = "hungarian" if policy == "hungarian" else "greedy"
        codes, report = resolve_conflicts(ids.codes, vectors, codebooks, mode=mode, saturated="extra_level")
    else:
        if policy == "digit":
            table, books = checked(ids.codes, vectors, codebooks)
            priority = -errors(table, vectors, books)
        if priority is None:
            raise ValueError('the policy "rank" needs the priority of every item')
        codes = append_rank(ids.codes, priority)
        shared = np.unique(ids.codes, axis=0, return_counts=True)[1]
        rate = (len(ids) - len(shared)) / max(len(ids), 1)
        report = ConflictReport(len(ids), int((shared > 1).sum()), rate, 0.0, 0, 0.0, 0)
    added = codes[:, ids.num_levels :]
    sizes = tuple(int(size) for size in added.max(0, initial=0) + 1)
    names = ids.codebooks + (extra,) * added.shape[1]
    return SemanticIds.from_codes(codes, names, ids.sizes + sizes, ids.item_ids), report


def append_rank(codes: NDArray[np.integer], priority: NDArray[np.number]) -> Codes:
    """Codes `[N, L + 1]`: within each group of equal codes 0, 1, 2, … by falling `priority` `[N]`, ties by row.

    >>> append_rank(np.zeros((4, 1), int), np.array([5, 9, 9, 1]))[:, 1].tolist()
    [2, 0, 1, 3]
    """
    group = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    order = np.lexsort((np.arange(len(codes)), -np.asarray(priority, np.float64), group))
    ranked = group[order]
    rank = np.empty(len(codes), np.int32)
    rank[order] = np.arange(len(codes)) - np.searchsorted(ranked, ranked)
    return np.column_stack([codes, rank]).astype(np.int32)
