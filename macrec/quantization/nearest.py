"""The nearest codeword: argmax(x·c - ½‖c‖²), one GEMM with a bias, a chunk of rows at a time on the CPU or a GPU."""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding

from macrec.errors import DataError

Rows = Tensor | NDArray[np.floating]
"""Vectors `[N, d]`: a tensor, or a numpy array or memmap, which is read chunk by chunk."""

BUDGET = 1 << 25
"""Bytes of scores and copied rows held at a time. Larger blocks glibc returns to the system and fetches anew each time,
which takes longer than what is done with them."""


@torch.no_grad()
def nearest_codeword(x: Rows, codewords: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest of `codewords` `[K, d]` for every row of `x` `[n, d]`: codes `[n]` int64, squared distances `[n]`.

    Rows whose best codewords are closer to each other than float32 can resolve are decided again in float64, where the
    lowest code wins a tie. So the codes depend neither on the chunks nor on the device (as long as float32 matrix
    products keep their full precision, which is PyTorch's default). 2·n·K·d FLOPs; scores of `BUDGET` bytes at most
    are held. Raises DataError for a row that is not finite and ValueError for shapes that do not fit.
    """
    check_shape(x)
    if codewords.ndim != 2 or len(codewords) == 0 or codewords.shape[1] != x.shape[1]:
        raise ValueError(f"codewords must be [K, {x.shape[1]}] with K >= 1, got {list(codewords.shape)}")
    table = Codewords.of(codewords)
    codes = torch.empty(len(x), dtype=torch.int64, device=codewords.device)
    distances = torch.empty(len(x), dtype=torch.float32, device=codewords.device)
    for part, rows in chunks(x, len(codewords) + x.shape[1], codewords.device):
        codes[part] = code = table.nearest(rows)
        distances[part] = table.residuals(rows, code).norm(dim=1)
    check_finite(distances)
    return codes, distances.square()


@dataclass(frozen=True)
class Codewords:
    """Codewords `[K, d]` float32 prepared for the search among them: -½‖c‖² `[K]`, and the largest ‖c‖.

    `exact` and `exact_bias` are the same in float64, for the rows where float32 cannot decide.
    """

    words: Tensor
    bias: Tensor
    longest: Tensor
    exact: Tensor
    exact_bias: Tensor

    @classmethod
    def of(cls, words: Tensor) -> Codewords:
        """Prepare `words` `[K, d]`."""
        words = words.float()
        exact = words.double()
        bias = exact.square().sum(1) / -2
        return cls(words, bias.float(), (-2 * bias).max().sqrt().float(), exact, bias)

    def nearest(self, rows: Tensor) -> Tensor:
        """Codes `[n]` int64 of finite float32 `rows` `[n, d]`, as `nearest_codeword` has them but all at once."""
        scores = torch.addmm(self.bias, rows, self.words.T)
        return self.best(scores, rows.norm(dim=1), lambda few: rows[few].double())

    def best(self, scores: Tensor, lengths: Tensor, exact: Callable[[Tensor], Tensor]) -> Tensor:
        """Codes `[n]` of the largest of `scores` `[n, K]`, x·c - ½‖c‖² in float32; `scores` are overwritten.

        `lengths` `[n]`: how long the vectors are at most from which the scores were computed, intermediate ones
        included. Rows too close to call are decided by their vectors in float64, which `exact` gives for row numbers.
        """
        # The relative error of a score, several times what is seen.
        rounding = torch.finfo(torch.float32).eps * max(8.0, math.sqrt(self.words.shape[1]))
        best, codes = scores.max(1)
        runner_up = scores.scatter_(1, codes[:, None], -math.inf).amax(1)
        unsure = rounding * self.longest * (lengths + self.longest)
        tied = (runner_up >= best - unsure).nonzero().flatten()
        if len(tied):
            for few in torch.split(tied, max(1, len(scores) // 4)):  # float64 scores take twice the room
                codes[few] = self._decide(exact(few))
        return codes

    def residuals(self, rows: Tensor, codes: Tensor) -> Tensor:
        """`rows` `[n, d]` less their codewords."""
        chosen = embedding(codes, self.words)  # twice as fast as indexing
        return torch.sub(rows, chosen, out=chosen)

    def _decide(self, exact: Tensor) -> Tensor:
        """The nearest codeword of each float64 row; the lowest code among those equal to 12 digits."""
        longest = self.longest.double()
        scores = torch.addmm(self.exact_bias, exact, self.exact.T)
        tie = scores.max(1).values - 1e-12 * longest * (exact.norm(dim=1) + longest)
        code: Tensor = (scores >= tie[:, None]).int().argmax(1)
        return code


def chunks(x: Rows, extra: int, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Parts of `x` `[N, d]` as float32 on `device`, so many rows that d + `extra` floats each fit `BUDGET` bytes."""
    size = max(1, BUDGET // (4 * (x.shape[1] + extra)))
    for begin in range(0, len(x), size):
        part = slice(begin, min(begin + size, len(x)))
        yield part, take(x, part).to(device)


def take(x: Rows, which: slice | Tensor) -> Tensor:
    """Some rows of `x` as float32; of a numpy array always a copy, on the CPU."""
    if isinstance(x, Tensor):
        return x[which if isinstance(which, slice) else which.to(x.device)].float()
    rows = torch.from_numpy(np.array(x[which if isinstance(which, slice) else which.cpu().numpy()], np.float32))
    if isinstance(x, np.memmap) and x.mode in ("r", "r+") and hasattr(mmap, "MADV_DONTNEED"):
        # Pages once read would count as ours until the whole file is. (In mode "c" they may hold changes.)
        x._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]
    return rows


def check_finite(lengths: Tensor, offset: int = 0) -> None:
    """Raise DataError naming the first row whose length, of `lengths` `[n]`, is not finite; row 0 is `offset` + 1."""
    finite = lengths.isfinite()
    if not finite.all():
        what = "the vector holds NaN, infinity or a number too large to square"
        row = offset + int((~finite).nonzero()[0]) + 1
        raise DataError(what, row=row, fix="give finite vectors, standardized")


def check_shape(x: Rows) -> None:
    """Raise ValueError for anything but rows `[N, d]`."""
    if x.ndim != 2:
        raise ValueError(f"x must be [N, d], got {x.ndim} dimension{'' if x.ndim == 1 else 's'}: {list(x.shape)}")
