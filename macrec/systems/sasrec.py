"""SASRec: a causal Transformer over item numbers that says, after every item of a history, which one comes next.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018. The loss is cross-entropy over all items, at
every position, with which it is a much stronger baseline than with sampled negatives: Klenitskiy and Vasilev, "Turning
Dross into Gold Loss: is BERT4Rec really better than SASRec?", RecSys 2023. It sees who took what in which order, and
nothing of what the items are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, gelu, linear, scaled_dot_product_attention

from macrec.checkpoint import Checkpoint
from macrec.data.dataset import Dataset
from macrec.data.ranking import Scores
from macrec.data.split import Samples, Split
from macrec.errors import NotApplicable
from macrec.evaluation.system import CELLS, ScoringSystem, learned
from macrec.evaluation.validation import validation_metrics, validation_users
from macrec.training import VALIDATION_LOSS, Decay, Event, Keep, Plan, Usage, Watch, best_device, generator_for, train

WEIGHTS, SHUFFLE = range(2)
"""What a random draw is for; see `generator_for`."""


@dataclass(frozen=True)
class SASRecRecipe:
    """The network and how it learns; the defaults were chosen by validation on the built-in catalog.

    States have `width` dimensions, shared by `heads`; there are `layers` blocks, and `dropout` on the embeddings, in
    attention and on what each block adds. The newest `max_history` items are read. At most `epochs` over all training
    targets, `batch` sequences a step; after each epoch up to `validate_users` users are measured, and `patience`
    epochs in a row with neither a better NDCG@10 nor a lower loss on them end the training (None: never).

    Raises ValueError for values of which no network or no training can be made.
    """

    width: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    max_history: int = 20
    epochs: int = 60
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    decay: Decay = "matrices"
    validate_users: int = 1000
    patience: int | None = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 1 and name != "seed":
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if self.width % self.heads:
            raise ValueError(f"width must be a multiple of heads, got {self.width} and {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be from 0 to below 1, got {self.dropout}")


class SASRec(ScoringSystem):
    """A SASRec with a softmax over all items; `folder` keeps its trainings, to be resumed or replayed from there.

    `device`: where it computes; the GPU by default, where there is one. It can recommend from its first event on, with
    what it has learned so far.
    """

    name = "SASRec"

    def __init__(
        self, recipe: SASRecRecipe | None = None, folder: Path | None = None, device: torch.device | None = None
    ) -> None:
        self.recipe, self.folder, self.device = recipe or SASRecRecipe(), folder, device or best_device()
        self._network: SASRecNetwork | None = None
        self.ends: tuple[Event, ...] = ()
        """The newest event of the training, which says what it took; empty before the first."""

    def fit(self, data: Dataset, split: Split) -> Generator[Event, None, None]:
        """Train on `split.train`; of all epochs the weights with the best "NDCG@10/validation" are kept.

        That, "HR@10/validation" and "loss/validation" are measured on users of `split.valid`, the same at all times;
        when it is empty nothing is measured and the last weights stay. Raises NotApplicable when there is nothing to
        train on, and DataError when the folder holds another training.
        """
        recipe = self.recipe
        network = SASRecNetwork(data.num_items, recipe).to(self.device)
        asked = validation_users(split, recipe.validate_users, recipe.seed)
        measure = partial(self._measured, asked) if len(asked) else None
        task = SASRecTraining(network, split.train, recipe, measure)
        identity = {"system": self.name, "data": data.fingerprint, "split": _digest(split), **asdict(recipe)}
        self._network = network
        checkpoint = Checkpoint.named(self.folder, identity) if self.folder is not None else None
        for event in train(task, task.plan(), checkpoint):
            self.ends = (event,)
            yield event

    @torch.no_grad()
    def loss(self, samples: Samples) -> float:
        """-log p of the targets of `samples`, in nats: the mean, without dropout."""
        rows = max(1, CELLS // self.num_items)
        total = 0.0
        for at in range(0, len(samples), rows):
            part = samples.take(np.arange(at, min(at + rows, len(samples))))
            logits, targets = torch.from_numpy(self.scores(part)), torch.from_numpy(part.targets).long()
            total += float(cross_entropy(logits.double(), targets, reduction="sum"))
        return total / len(samples)

    def _measured(self, samples: Samples) -> dict[str, float]:
        return validation_metrics(self.recommend, samples) | {VALIDATION_LOSS: self.loss(samples)}

    @property
    def num_items(self) -> int:
        """N."""
        return learned(self._network, self.name).embedding.num_embeddings

    @torch.no_grad()
    def scores(self, samples: Samples) -> Scores:
        """The logits of all items after the newest `max_history` items of each history, `[B, N]` float32."""
        network = learned(self._network, self.name).eval()
        begin = np.maximum(samples.start, samples.target - self.recipe.max_history)
        place, inside = _places(torch.tensor(begin), torch.tensor(samples.target))
        items = torch.tensor(samples.items[place[inside].numpy()], device=self.device)
        states = network(items, inside.to(self.device))
        newest = inside.sum(1).cumsum(0) - 1
        return cast(Scores, network.logits(states[newest.to(self.device)]).cpu().numpy())


class SASRecNetwork(nn.Module):
    """Embeddings of `items` items, positions counted from the newest item, causal blocks; weights from the seed.

    Sequences are padded on the right, and only where attention needs a matrix: as no item sees a later one, causality
    alone hides the padding, and all else is computed for the items that are there.
    """

    def __init__(self, items: int, recipe: SASRecRecipe) -> None:
        super().__init__()
        self.embedding = _embedding(items, recipe.width)
        self.age = _embedding(recipe.max_history, recipe.width)
        self.blocks = nn.ModuleList(Block(recipe) for _ in range(recipe.layers))
        self.norm = nn.LayerNorm(recipe.width)
        self.dropout = nn.Dropout(recipe.dropout)
        generator = generator_for(recipe.seed, WEIGHTS)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, items: Tensor, inside: Tensor) -> Tensor:
        """States `[P, width]` after each of `items` `[P]`, which fill the places `inside` `[B, T]` row by row.

        Row b is a sequence, oldest item first, and its True places come before all False ones.
        """
        age = inside.sum(1, keepdim=True) - inside.cumsum(1)
        x = self.dropout(self.embedding(items) + self.age(age[inside]))
        for block in self.blocks:
            x = block(x, inside)
        states: Tensor = self.norm(x)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """How well every item follows `states` `[..., width]`: products with its embedding, `[..., N]`."""
        return linear(states, self.embedding.weight)


class Block(nn.Module):
    """Causal self-attention and a feed-forward network; the norms come first."""

    def __init__(self, recipe: SASRecRecipe) -> None:
        super().__init__()
        width = recipe.width
        self.heads = recipe.heads
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.output = _linear(width, 3 * width), _linear(width, width)
        self.wide, self.narrow = _linear(width, 4 * width), _linear(4 * width, width)
        self.dropout = nn.Dropout(recipe.dropout)

    def forward(self, x: Tensor, inside: Tensor) -> Tensor:
        """The next states of `x` `[P, width]` at the places `inside` `[B, T]`, as in `SASRecNetwork.forward`."""
        asks = self.query_key_value(self.attention_norm(x))
        place = inside.flatten().nonzero().flatten()
        matrix = asks.new_zeros(inside.numel(), asks.shape[1]).index_copy(0, place, asks)
        query, key, value = matrix.view(*inside.shape, 3, self.heads, x.shape[1] // self.heads).permute(2, 0, 3, 1, 4)
        rate = self.dropout.p if self.training else 0.0
        read = scaled_dot_product_attention(query, key, value, dropout_p=rate, is_causal=True)
        x = x + self.dropout(self.output(read.transpose(1, 2).flatten(2).flatten(0, 1).index_select(0, place)))
        return x + cast(Tensor, self.dropout(self.narrow(gelu(self.wide(self.feed_forward_norm(x))))))


class Windows(NamedTuple):
    """W pieces of histories: piece i reads `items[begin:end]` and learns the targets at places `first` to `end`.

    Places in the flat event array, `[W]` each. Items before `first` - 1 are read and not asked about.
    """

    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, train: Samples, longest: int) -> Windows:
        """Pieces of at most `longest` items that hold every target of `train` once.

        The first piece of a user has the first `longest` targets, each with all that came before. Every further piece
        has the next half as many, and reads back as far as it may: so a target in it is told from at least
        `longest // 2 + 1` items. A user's items are those in any of the samples, so it does not matter how short
        their histories were cut.
        """
        order = np.argsort(train.target)
        user, target = train.user[order], train.target[order]
        head = np.flatnonzero(np.diff(user, prepend=-1))
        oldest = np.minimum.reduceat(train.start[order], head)
        oldest = np.repeat(oldest, np.diff(head, append=len(user)))
        number = target - oldest - 1
        piece = np.maximum(0, (number - longest) // -(-longest // 2) + 1)
        edge = np.flatnonzero((np.diff(user, prepend=-1) != 0) | (np.diff(piece, prepend=0) != 0))
        end = target[np.append(edge[1:], len(target)) - 1]
        return cls(np.maximum(oldest[edge], end - longest), end, target[edge])


class SASRecTraining:
    """A `Task` for `macrec.training.train`: a network and the targets of `samples`, each once per epoch.

    `measure_with` gives the numbers of a measurement. Raises NotApplicable when there are no samples.
    """

    def __init__(
        self,
        module: SASRecNetwork,
        samples: Samples,
        recipe: SASRecRecipe,
        measure_with: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        if len(samples) == 0:
            raise NotApplicable("there is nothing to train on", fix="give histories of 2 items or more")
        self.module, self.recipe, self.measure_with = module, recipe, measure_with
        self.device = next(module.parameters()).device
        is_target = np.zeros(len(samples.items), bool)
        is_target[samples.target] = True
        windows = Windows.of(samples, recipe.max_history)
        self.events, self.is_target, self.begin, self.end, self.first = (
            torch.tensor(column, device=self.device) for column in (samples.items, is_target, *windows)
        )
        before = torch.tensor(np.append(0, is_target.cumsum()), device=self.device)  # targets before each event
        self.targets = before[self.end + 1] - before[self.first]
        self.per_epoch = -(-len(self.begin) // recipe.batch)
        self._order: tuple[int, Tensor] | None = None

    def plan(self, reports: int = 200) -> Plan:
        """The plan of this training, with about so many events, and a measurement after each epoch."""
        steps = self.recipe.epochs * self.per_epoch
        keep = (Keep("NDCG@10/validation", "highest"),) if self.measure_with is not None else ()
        return Plan(
            steps=steps,
            report_every=max(1, steps // reports),
            measure_every=self.per_epoch,
            learning_rate=self.recipe.learning_rate,
            weight_decay=self.recipe.weight_decay,
            decay=self.recipe.decay,
            tables=("embedding", "age"),
            schedule="constant",
            keep=keep,
            watch=(Watch(VALIDATION_LOSS),) if keep else (),
            patience=self.recipe.patience if keep else None,
            seed=self.recipe.seed,
        )

    def losses(self, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """-log p of the next item, in nats: the mean over the M targets of a batch, whose logits `[M, N]` are held."""
        place, inside, asked = self.batch(step)
        states = self.module(self.events[place], inside)[asked]
        loss = cross_entropy(self.module.logits(states), self.events[place[asked] + 1].long())
        return loss, {"next item": loss}

    def batch_size(self, step: int) -> int:
        """Targets in the batch of `step`."""
        return int(self.targets[self._rows(step)].sum())

    def stepped(self, step: int) -> None:
        """Nothing is left to do after a step."""

    def measure(self) -> tuple[dict[str, float], Usage]:
        """What `measure_with` says."""
        return (self.measure_with() if self.measure_with is not None else {}), {}

    def batch(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """What the B windows of `step` read and ask: an epoch is one random order of all, cut into equal parts.

        The places in the event array that are read, `[P]`; which places of a matrix they fill row by row, `[B, T]`;
        and `[P]` whether the event after a place is to be predicted there.
        """
        rows = self._rows(step)
        matrix, inside = _places(self.begin[rows], self.end[rows])
        place = matrix[inside]
        new = (matrix + 1 >= self.first[rows, None])[inside]
        return place, inside, new & self.is_target[place + 1]

    def _rows(self, step: int) -> Tensor:
        epoch, part = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            order = torch.randperm(len(self.begin), generator=generator_for(self.recipe.seed, SHUFFLE, epoch))
            self._order = epoch, order.to(self.device)
        return self._order[1].tensor_split(self.per_epoch)[part]


def _places(begin: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """The places from `begin` to before `end`, `[B]` each, as a matrix `[B, T]`, and where it holds one of them."""
    longest = int((end - begin).max()) if len(begin) else 0
    place = begin[:, None] + torch.arange(longest, device=begin.device)
    return place, place < end[:, None]


def _digest(split: Split) -> str:
    """Digest of which samples `split` trains and validates on."""
    digest = hashlib.blake2b(digest_size=16)
    for samples in (split.train, split.valid):
        digest.update(str(len(samples)).encode())
        for column in (samples.user, samples.start, samples.target):
            digest.update(np.ascontiguousarray(column).data)
    return digest.hexdigest()


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """A linear map whose weights are not yet drawn: the constructor would use the global generator."""
    return cast(nn.Linear, nn.utils.skip_init(nn.Linear, inputs, outputs))  # type: ignore[no-untyped-call]


def _embedding(rows: int, width: int) -> nn.Embedding:
    """A table of vectors that are not yet drawn."""
    return cast(nn.Embedding, nn.utils.skip_init(nn.Embedding, rows, width))  # type: ignore[no-untyped-call]
