"""The best reachable ranking: by the true probability of the next item given the history.

A user's taste is hidden, but there are few tastes, so the posterior over them is exact, and with it the predictive
distribution. Ranking by it maximizes the expected HR@k and NDCG@k: no model can do better on average than this oracle.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio.world import Floats, World
from macrec.data.split import PADDING, Samples

BATCH = 256


class Oracle:
    """Exact next-item probabilities of one catalog; histories must be complete (uncut), or they are others."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.norm = world.cell_mass @ world.complement.T  # [Z, C]: all that could follow an item of a cell
        self.last_law = world.last_law
        self.last_norm = self.last_law.cell_mass @ world.complement.T if self.last_law else None

    def steps(self, items: NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
        """For padded histories `[B, T]` (newest last): the posterior over tastes and two masses, each `[B, Z]`.

        The masses are those of the next step: of all items that could follow the last, and of the part already taken.
        A cold item, which is in no history of the law, says nothing about the taste.
        """
        world = self.world
        cold = world.cold
        users, longest = items.shape
        real = items != PADDING
        telling = real & ~cold[np.where(real, items, 0)]
        first = longest - real.sum(1)
        evidence = np.zeros((users, world.num_tastes))
        weight = world.weight[:, np.where(real, items, 0)].transpose(1, 2, 0) * real[..., None]  # [B, T, Z]
        cells = world.cell[np.where(real, items, 0)]
        everything, taken = np.ones_like(evidence), np.zeros_like(evidence)
        for step in range(longest + 1):
            # Walking to `step`: the items before it are taken; at step == longest nothing is left to be explained.
            if step > 0:
                move = world.complement[cells[:, step - 1, None], cells[:, :step]]  # [B, step]
                everything = self.norm[:, cells[:, step - 1]].T
                taken = (move[..., None] * weight[:, :step]).sum(1)
            if step == longest:
                break
            onward = step > first
            chosen = (
                np.where(onward, world.complement[cells[:, step - 1], cells[:, step]], 1.0)[:, None] * weight[:, step]
            )
            chance = chosen / np.where(onward[:, None], everything - taken, 1.0)
            evidence += np.log(np.where(telling[:, step, None], chance, 1.0))
        posterior = np.exp(evidence - evidence.max(1, keepdims=True))
        return posterior / posterior.sum(1, keepdims=True), everything, taken

    def probabilities(self, items: NDArray[np.int32], last: NDArray[np.bool_] | None = None) -> Floats:
        """True probability of every item to be next, `[B, N]`, given padded complete histories `[B, T]`.

        `last` `[B]`: whether the next item is the user's last, which makes a difference where there are cold items.
        None: it is, as test targets are.
        """
        world = self.world
        posterior, everything, taken = self.steps(items)
        predictive = (posterior / (everything - taken)) @ world.weight
        predictive *= world.complement[world.cell[items[:, -1]]][:, world.cell]
        rows, columns = np.nonzero(items != PADDING)
        predictive[rows, items[rows, columns]] = 0.0
        if self.last_law is not None and self.last_norm is not None:
            cells = world.cell[items[:, -1]]
            cold = (posterior / self.last_norm[:, cells].T) @ self.last_law.weight
            cold *= world.complement[cells][:, world.cell]
            share = world.settings.cold_last * (1.0 if last is None else last[:, None])
            predictive = (1 - share) * predictive + share * cold
        return predictive

    def batches(self, samples: Samples, last: NDArray[np.bool_] | None = None) -> Iterator[tuple[slice, Floats]]:
        """`probabilities` of all samples in batches that fit in memory, each with its place; `last` as there, `[S]`."""
        # A batch costs B·N·8 bytes, and B·T·Z·8 on the way.
        size = max(1, min(BATCH, 100_000_000 // self.world.settings.num_items))
        for begin in range(0, len(samples), size):
            rows = np.arange(begin, min(begin + size, len(samples)))
            of_rows = None if last is None else last[rows]
            yield slice(begin, begin + len(rows)), self.probabilities(samples.padded(rows), of_rows)

    def ranks(self, samples: Samples, last: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Rank of every sample's target under the true probabilities, `[S]`, 1 is best; ties count against it.

        `last` `[S]`: which targets are the last of their user; None: all, as test targets are.
        """
        ranks = np.zeros(len(samples), np.int64)
        for place, predictive in self.batches(samples, last):
            target = samples.targets[place]
            own = predictive[np.arange(len(target)), target]
            ranks[place] = (predictive >= own[:, None] * (1 - 1e-12)).sum(1)  # equal but for rounding is a tie
        return ranks
