"""From codes that items may share to one ID per item: what the parameter `conflicts` chooses among.

- "least": items that share an ID move to free ones, each where it adds the least distortion (`resolve_conflicts`).
- "hungarian": the same, but within a bucket of equal first codes at the least total distortion.
- "digit": no item moves; a further code counts the items of each ID, best reconstructed first, as in TIGER.
- "rank": no item moves; a further code ranks the items of each ID by popularity, as in MMGRec.
- "counter": no item moves; a further code counts the items of each ID by row, as in the code of LIGER.
- "capped": the same, but at most 256 items keep an ID, or so many as in "capped:cap=16"; the others move.
- "redistribute": as "capped" with a cap of 1, and so without a further code.

The last two move items by `macrec.quantization.redistribution`. Where not all items have room, they count as "counter".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.conflicts import ConflictReport, resolve_conflicts
from macrec.quantization.redistribution import redistribute
from macrec.quantization.semantic_ids import SemanticIds
from macrec.quantization.specs import check_options, number, split_spec
from macrec.quantization.tuples import Codes, checked, errors
from macrec.terms import codebook_prefix

Policy = Literal["least", "hungarian", "digit", "rank", "counter", "capped", "redistribute"]

CAP = 256
"""Items that keep one ID under the policy "capped", unless it says otherwise: as many as a codebook has codewords."""


def check_policy(policy: str) -> None:
    """Raise DataError for the name of no policy, and for an option that it has not."""
    policy_of(policy)


def policy_of(policy: str) -> tuple[str, int]:
    """The name of a policy, and of how many items may have one ID where it moves them. Raises DataError."""
    name, options = split_spec(policy, "conflicts")
    if name not in get_args(Policy):
        fix = f"choose one of {', '.join(get_args(Policy))}"
        raise DataError(f'there is no way "{name}" to resolve conflicts', field="conflicts", fix=fix)
    check_options(name, options, ["cap"] if name == "capped" else [], "conflicts")
    cap = number(options, "cap", 1 if name == "redistribute" else CAP, "conflicts")
    if cap < 1 or cap != int(cap):
        raise DataError(f"{cap:g} items cannot have one ID", field="conflicts", fix="give a whole number of 1 or more")
    return name, int(cap)


def extra_codebook(modality: str, policy: str) -> str:
    """What the codebook of a further code of this modality is called, which ranks or counts the items of an ID."""
    return f"{codebook_prefix(modality)}_{'rank' if policy == 'rank' else 'count'}"


def unique_ids(
    ids: SemanticIds,
    vectors: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    policy: str = "least",
    priority: NDArray[np.number] | None = None,
    extra: str = "count",
    first: NDArray[np.bool_] | None = None,
) -> tuple[SemanticIds, ConflictReport]:
    """One ID per item, and what that took.

    `vectors` `[N, d]` are what was quantized and `codebooks` one `[K_l, d]` per level, whose codewords sum to the
    decoded vector. "rank" needs `priority` `[N]`, such as training events. A further code, which "least", "hungarian"
    and "redistribute" add only where there are more items than IDs, has a codebook called `extra`. The items
    `first` `[N]` (default: all) have the codes that they would have alone, as long as all items have room: the others
    get what is left, and are counted after them. Raises DataError for an unknown policy and for arrays that do not fit
    each other.
    """
    name, cap = policy_of(policy)
    if name in ("least", "hungarian"):
        mode: Literal["greedy", "hungarian"] = "hungarian" if name == "hungarian" else "greedy"
        codes, report = resolve_conflicts(
            ids.codes, vectors, codebooks, mode=mode, saturated="extra_level", first=first
        )
    else:
        moved = name in ("capped", "redistribute")
        table, books = checked(ids.codes, vectors, codebooks)
        if name == "digit":
            priority = -errors(table, vectors, books)
        elif name != "rank":
            priority = np.zeros(len(ids))
        if priority is None:
            raise ValueError('the policy "rank" needs the priority of every item')
        codes = redistribute(table, vectors, books, cap, first) if moved else table
        report = report_of(table, codes, errors(codes, vectors, books) - errors(table, vectors, books))
        if name != "redistribute" or len(np.unique(codes, axis=0)) < len(codes):
            codes = append_rank(codes, priority, first)
    added = codes[:, ids.num_levels :]
    sizes = tuple(int(size) for size in added.max(0, initial=0) + 1)
    names = ids.codebooks + (extra,) * added.shape[1]
    return SemanticIds.from_codes(codes, names, ids.sizes + sizes, ids.item_ids), report


def report_of(before: Codes, after: Codes, added: NDArray[np.float64]) -> ConflictReport:
    """What it took to have one ID per item where a further code may count those that share the codes `after`."""
    items = len(before)
    shared = np.unique(before, axis=0, return_counts=True)[1]
    differs = before != after
    deepest = int((before.shape[1] - differs.argmax(1))[differs.any(1)].max(initial=0))
    rate, moved = (items - len(shared)) / max(items, 1), int(differs.any(1).sum())
    return ConflictReport(items, int((shared > 1).sum()), rate, 0.0, moved, float(added.sum()) / max(items, 1), deepest)


def append_rank(
    codes: NDArray[np.integer], priority: NDArray[np.number], first: NDArray[np.bool_] | None = None
) -> Codes:
    """Codes `[N, L + 1]`: within each group of equal codes 0, 1, 2, … by falling `priority` `[N]`, ties by row.

    The items `first` `[N]` come before the others of their group.

    >>> append_rank(np.zeros((4, 1), int), np.array([5, 9, 9, 1]))[:, 1].tolist()
    [2, 0, 1, 3]
    """
    group = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    later = np.zeros(len(codes), bool) if first is None else ~first
    order = np.lexsort((np.arange(len(codes)), -np.asarray(priority, np.float64), later, group))
    ranked = group[order]
    rank = np.empty(len(codes), np.int32)
    rank[order] = np.arange(len(codes)) - np.searchsorted(ranked, ranked)
    return np.column_stack([codes, rank]).astype(np.int32)
