"""The resolution of conflicts in the published MACRec code, step by step: an oracle for teaching, not for use.

Differences from `macrec.quantization.conflicts`: the distances stay those of the original codes, so that after a change
of the second-last code the order of last codes is stale; the i-th member of a group starts at its i-th nearest code
even where a nearer one is free; and what two passes did not resolve stays shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from macrec.errors import DataError
from macrec.quantization.tuples import Codes, Floats, checked

PASSES = 2


class PublishedResult(NamedTuple):
    """Codes `[N, L]` int32, and the conflict rate that the published procedure would log for them."""

    codes: Codes
    logged_rate: float


def resolve_published(
    codes: NDArray[np.integer],
    vectors: NDArray[np.floating],
    codebooks: Sequence[NDArray[np.floating]],
    *,
    numpy2_bug: bool = False,
) -> PublishedResult:
    """Resolve conflicts as the published code does: codes `[N, L]`, vectors `[N, d]`, L >= 2 codebooks of equal size.

    The published code asks whether codes are taken by comparing their text, `str(code)`. Since NumPy 2 that text is
    "[1, np.int64(3)]" once a code was replaced, and no longer equals "[1, 3]": codes in use look free, and the logged
    rate looks better than it is. `numpy2_bug=True` compares text, so it shows that behavior; the default compares the
    numbers. Loops over Python objects: for thousands of items, not for millions.

    Raises DataError for arrays that do not fit each other or codebooks that differ in size.
    """
    table, codebooks = checked(codes, vectors, codebooks)
    size = len(codebooks[0])
    if len(codebooks) < 2 or any(len(codebook) != size for codebook in codebooks):
        raise DataError("the published procedure needs two or more codebooks of one size", fix="use resolve_conflicts")

    def name(code: list[int]) -> Hashable:
        return str(code) if numpy2_bug else tuple(int(part) for part in code)

    # 1. Distances on the original path, and codes from near to far at the last two levels.
    second, last, nearest = _orders(table, vectors, codebooks)
    current: list[list[int]] = table.tolist()
    taken = {name(code) for code in current}

    for _ in range(PASSES):
        # 2. Groups of equal codes, in the order in which they first occur.
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for item, code in enumerate(current):
            groups[name(code)].append(item)
        if len(groups) == len(current):
            break
        for group in groups.values():
            # 3. The member nearest to its last codeword keeps its code.
            ranked = sorted(group, key=lambda item: nearest[item])
            for i, item in enumerate(ranked[1:], start=1):
                original = current[item]
                # 4. The i-th other member tries its last codes from the i-th nearest on.
                code = list(original)
                for num in range(i, size):
                    if name(code) not in taken:
                        break
                    code[-1] = last[item, num]
                # 5. Then further second-last codes, each with the last code as it was and then all in the old order.
                if name(code) in taken:
                    code = _change_two_levels(original, second[item], last[item], taken, name)
                # 6. Written down, whether it is free or not.
                current[item] = code
                taken.add(name(code))

    logged = (len(current) - len({name(code) for code in current})) / max(len(current), 1)
    return PublishedResult(np.array(current, np.int32).reshape(table.shape), logged)


def _orders(
    codes: Codes, vectors: NDArray[np.floating], codebooks: list[Floats]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Codes of the last two levels from near to far `[N, K]` each, and the distance to the nearest last one `[N]`."""
    rest = vectors.astype(np.float64)
    orders = []
    for level, codebook in enumerate(codebooks):
        distances = ((rest[:, None, :] - codebook) ** 2).sum(-1)
        orders.append(np.argsort(distances, axis=1, kind="stable"))
        rest -= codebook[codes[:, level]]
    return orders[-2], orders[-1], distances.min(1)


def _change_two_levels(
    original: list[int],
    second: NDArray[np.int64],
    last: NDArray[np.int64],
    taken: set[Hashable],
    name: Callable[[list[int]], Hashable],
) -> list[int]:
    """The first free code with another second-last part; the last one tried where none is free."""
    code = original
    for part in second[1:]:
        # The last code as it was comes first: it need not be the nearest, and as text it differs from one written anew.
        for end in (original[-1], *last):
            code = [*original[:-2], part, end]
            if name(code) not in taken:
                return code
    return code
