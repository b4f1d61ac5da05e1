"""The events of curio's users, drawn from exactly the probabilities that `world` states."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from macrec.data.curio.world import Floats, World
from macrec.data.histories import Histories

CHUNK = 1 << 17
"""Users drawn together: bounds the memory, and is part of what a seed means (each chunk has its own stream)."""


REDRAWS = 30
"""Draws of an item not taken before that are tried before the weights of all items are written out."""


def shop(world: World) -> Histories:
    """Draw the history of every user, in which no item repeats. Loops over steps, never over users."""
    settings = world.settings
    streams = np.random.default_rng([settings.seed, 1]).spawn(-(-settings.num_users // CHUNK))
    walk, last_walk = Walk(world), Walk(world.last_law) if world.last_law else None
    lengths, items = [], []
    for chunk, rng in enumerate(streams):
        users = min(CHUNK, settings.num_users - chunk * CHUNK)
        extra = rng.geometric(1 / (settings.mean_length - settings.min_length + 1), size=users) - 1
        length = np.minimum(settings.min_length + extra, settings.max_length)
        length = length[np.argsort(-length, kind="stable")]  # longest first: those still shopping are a prefix
        taste = rng.integers(world.num_tastes, size=users)
        taken = walk.histories(taste, length, rng)
        if last_walk:
            # The last item is drawn as any other, and then a cold one in its place: no step before takes those.
            those = np.flatnonzero(rng.random(users) < settings.cold_last)
            taken[those, length[those] - 1] = last_walk.draw(taste[those], taken[those, length[those] - 2], rng)
        shuffled = rng.permutation(users)
        length, taken = length[shuffled], taken[shuffled]
        lengths.append(length)
        items.append(taken[np.arange(taken.shape[1]) < length[:, None]])
    offsets = np.zeros(settings.num_users + 1, np.int64)
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    return Histories(offsets, np.concatenate(items))


class Walk:
    """Draws next items by inverting cumulative sums: first the cell, then the item inside the cell."""

    def __init__(self, world: World) -> None:
        mass = world.cell_mass
        tastes, cells = mass.shape
        self.world, self.cell, self.num_cells = world, world.cell, cells
        # One row per (taste, cell of the last item), and one per taste for the first step. Row r rises from r to r + 1,
        # so that all rows together are one sorted array and a draw is one binary search.
        moves = (world.complement[None] * mass[:, None]).reshape(tastes * cells, cells)
        self.next_cell = rising(moves)
        self.first_cell = rising(mass)
        # What nobody may take stands first in its cell, and cells of it alone are never the last resort: so a draw at
        # the very end of an interval, where rounding decides, is an item that may be taken.
        self.last_cell = int(np.flatnonzero(mass[0])[-1])
        self.order = np.lexsort((world.weight[0] > 0, world.cell)).astype(np.int32)
        self.next_item = rising(world.weight[:, self.order])
        begin = np.zeros(cells + 1, np.int64)
        np.cumsum(np.bincount(world.cell, minlength=cells), out=begin[1:])
        self.begin, self.end = begin[:-1], begin[1:]

    def draw(
        self, taste: NDArray[np.int64], last: NDArray[np.int32] | None, rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """One next item per user `[n]`, given the taste and the last item of each (None: the first step)."""
        rows, table = (taste, self.first_cell)
        if last is not None:
            rows, table = taste * self.num_cells + self.cell[last], self.next_cell
        cell = np.searchsorted(table, rows + rng.random(len(rows)), side="right") - rows * self.num_cells
        cell = np.minimum(cell, self.last_cell)
        row = taste * len(self.order)
        low = np.where(self.begin[cell] > 0, self.next_item[row + self.begin[cell] - 1], taste)
        high = self.next_item[row + self.end[cell] - 1]
        place = np.searchsorted(self.next_item, low + rng.random(len(rows)) * (high - low), side="right") - row
        items: NDArray[np.int32] = self.order[np.clip(place, self.begin[cell], self.end[cell] - 1)]
        return items

    def draw_new(
        self, taste: NDArray[np.int64], taken: NDArray[np.int32], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """One next item per user `[n]` that is not among those `taken` `[n, t]`, from the weights written out."""
        drawn = np.empty(len(taste), np.int32)
        size = max(1, (1 << 24) // len(self.cell))
        for begin in range(0, len(taste), size):
            part = slice(begin, begin + size)
            weight = self.world.weight[taste[part]]
            weight *= self.world.complement[self.cell[taken[part, -1]]][:, self.cell]
            np.put_along_axis(weight, taken[part].astype(np.int64), 0.0, axis=1)
            table = rising(weight)
            rows = np.arange(len(weight))
            drawn[part] = np.searchsorted(table, rows + rng.random(len(rows)), side="right") - rows * len(self.cell)
        return drawn

    def histories(
        self, taste: NDArray[np.int64], length: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int32]:
        """Items `[n, longest]` of n users whose lengths fall; entries beyond a user's length mean nothing."""
        taken = np.full((len(taste), int(length[0])), -1, np.int32)
        for step in range(taken.shape[1]):
            waiting = np.arange(np.searchsorted(-length, -step, side="left"))
            # Who drew an item they already have draws again: that is the law given "not taken before". Where few items
            # hold nearly all the weight this could take long, so after some rounds the rest draw among what is left.
            for attempt in itertools.count():
                if len(waiting) == 0:
                    break
                last = taken[waiting, step - 1] if step else None
                if attempt == REDRAWS:
                    taken[waiting, step] = self.draw_new(taste[waiting], taken[waiting, :step], rng)
                    break
                drawn = self.draw(taste[waiting], last, rng)
                taken[waiting, step] = drawn
                waiting = waiting[(taken[waiting, :step] == drawn[:, None]).any(1)]
        return taken


def rising(weights: Floats) -> Floats:
    """Cumulative shares of every row, row r shifted to the interval (r, r + 1], flattened."""
    table = np.cumsum(weights, axis=1)
    table /= table[:, -1:]
    table[:, -1] = 1.0
    table += np.arange(len(table))[:, None]
    return table.reshape(-1)
