"""Training LightGCN: an item that a user has taken is to score above one that he has not (BPR)."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from macrec.checkpoint import Checkpoint
from macrec.data.split import Split, training_events
from macrec.errors import NotApplicable
from macrec.models.lightgcn import LightGCN, bipartite
from macrec.training import Event, Plan, Usage, best_device, generator_for, train

WEIGHTS, SHUFFLE, NEGATIVES = range(3)
"""What a random draw is for; see `generator_for`."""


@dataclass(frozen=True)
class LightGCNRecipe:
    """The network and how it learns: `epochs` over all edges, in batches of `batch`; `penalty` weighs the squared
    length of the vectors that a batch reads, before averaging. Width, layers and penalty are as published; the rate is
    higher, for fewer epochs.
    """

    width: int = 64
    layers: int = 2
    epochs: int = 60
    batch: int = 2048
    learning_rate: float = 5e-3
    penalty: float = 1e-4
    seed: int = 0


class Negatives:
    """Draws items that a user has not taken, each of them equally often; only items that somebody has taken count.

    `user`, `item` `[E]`: the edges, each once, sorted by user and then by item; items are numbered 0 to `items` - 1.
    """

    def __init__(self, user: NDArray[np.int64], item: NDArray[np.int64], items: int) -> None:
        self.items = items
        self.degree = np.bincount(user)
        self.begin = np.cumsum(self.degree) - self.degree
        # Of a user's sorted items the j-th has so many free items before it; a free item's rank is looked up there.
        self.before = user * items + item - (np.arange(len(user)) - self.begin[user])

    def draw(self, user: NDArray[np.int64], generator: torch.Generator) -> NDArray[np.int64]:
        """One for each of `user` `[B]`, who must not have taken all items, `[B]`."""
        free = self.items - self.degree[user]
        share = torch.rand(len(user), generator=generator, dtype=torch.float64).numpy()
        rank = np.minimum((share * free).astype(np.int64), free - 1)
        taken_before = np.searchsorted(self.before, user * self.items + rank, side="right") - self.begin[user]
        drawn: NDArray[np.int64] = rank + taken_before
        return drawn


class LightGCNTraining:
    """A `Task` for `macrec.training.train`: a network over the edges of the training events, each once per epoch.

    Raises NotApplicable where no user leaves out an item that another one takes.
    """

    def __init__(self, user: NDArray[np.integer], item: NDArray[np.integer], num_items: int, recipe: LightGCNRecipe):
        self.recipe, self.num_items = recipe, num_items
        _, users = np.unique(user, return_inverse=True)  # users without training events have no node
        edges = np.unique(users.astype(np.int64) * num_items + item)
        users, items = np.divmod(edges, num_items)
        self.taken, numbers = np.unique(items, return_inverse=True)
        self.users = int(users.max(initial=-1)) + 1
        self.negatives = Negatives(users, numbers, len(self.taken))
        learnable = self.negatives.degree[users] < len(self.taken)
        self.user, self.item = users[learnable], items[learnable]
        if not len(self.user):
            raise NotApplicable("nobody leaves out an item that somebody takes", fix="give more items or more users")
        graph = bipartite(users, items, self.users, num_items)
        self.module = LightGCN(graph, recipe.width, recipe.layers, generator_for(recipe.seed, WEIGHTS))
        self.module.to(best_device())
        self.per_epoch = max(1, round(len(self.user) / recipe.batch))
        self._order: tuple[int, NDArray[np.int64]] | None = None

    def plan(self, reports: int = 200) -> Plan:
        """The plan of this training, with about so many events."""
        steps = self.recipe.epochs * self.per_epoch
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=steps,
            learning_rate=self.recipe.learning_rate,
            weight_decay=0.0,
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """-log σ(score of a taken item - score of one that was not taken), the mean over a batch, and the penalty."""
        nodes = [torch.from_numpy(rows).to(self.module.embedding.device) for rows in self.triples(step)]
        nodes = [nodes[0], *(rows + self.users for rows in nodes[1:])]
        vectors = self.module()
        user, taken, other = (vectors[rows] for rows in nodes)
        ranking = softplus((user * (other - taken)).sum(1)).mean()
        penalty = sum(self.module.embedding[rows].square().sum() for rows in nodes) / (2 * len(nodes[0]))
        return ranking + self.recipe.penalty * penalty, {"ranking": ranking}

    def triples(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The users of `step`, an item that each has taken in training, and one that he has not, `[B]` each."""
        edges = self._edges(step)
        user = self.user[edges]
        drawn = self.negatives.draw(user, generator_for(self.recipe.seed, NEGATIVES, step))
        return user, self.item[edges], self.taken[drawn]

    def _edges(self, step: int) -> NDArray[np.int64]:
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.user), generator=generator_for(self.recipe.seed, SHUFFLE, epoch))
            self._order = epoch, order.numpy()
        return np.array_split(self._order[1], self.per_epoch)[part]

    def batch_size(self, step: int) -> int:
        """Edges in the batch of `step`."""
        return len(self._edges(step))

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """Nothing: it learns without looking at a validation user."""
        return {}, {}

    @torch.no_grad()
    def item_table(self) -> NDArray[np.float32]:
        """The vectors of all items after averaging, `[N, width]`; one that nobody has taken is where it was drawn."""
        table: NDArray[np.float32] = self.module()[self.users :].cpu().numpy()
        return table


def lightgcn_table(
    split: Split, num_items: int, recipe: LightGCNRecipe, folder: Path
) -> Generator[Event, None, NDArray[np.float32]]:
    """Train on the training events of `split`, or find that training in `folder`; `item_table` is what is returned."""
    user, item = training_events(split)
    task = LightGCNTraining(user, item, num_items, recipe)
    edges = hashlib.blake2b(np.stack([user, item]).astype(np.int32).tobytes(), digest_size=8).hexdigest()
    identity = {"system": "LightGCN", "edges": edges, "items": num_items, **asdict(recipe)}
    yield from train(task, task.plan(), Checkpoint.named(folder, identity))
    return task.item_table()
